/* SPDX-License-Identifier: PostgreSQL
 *
 * A question that goes to the workers, one after the other, chunk by chunk: listings of sessions,
 * and looking for one of them. The question is a letter that travels to the worker that can answer
 * and back to the console's; where the console has been freed meanwhile, it is dropped on its
 * return.
 */
#ifndef PROXY_ADMIN_FANOUT_H
#define PROXY_ADMIN_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ev/mailbox.h"
#include "proxy/admin/command.h"

#define FANOUT_CHUNK_SLOTS 256

enum answer {
	ANSWER_MORE, /* ask this worker again */
	ANSWER_NEXT, /* ask the next one */
	ANSWER_STOP, /* the worker had what was looked for: the run is done */
	ANSWER_FAIL, /* the run fails with a->err */
	ANSWER_WAIT, /* fanout_answered() will be called */
};

struct session;

struct fanout {
	struct letter letter; /* first */
	struct run_hold *hold;
	struct worker *home; /* the console's worker */
	struct worker *to;
	int to_index; /* among the process's workers, from 0 */
	enum answer (*answer)(struct fanout *a);
	enum answer last;

	/* the question; strings are NULL where they do not matter */
	uint64_t id;    /* of one session, or 0 */
	unsigned count; /* for the use of `answer` */
	char *region, *database, *user, *state, *access;
	unsigned slot;                                          /* first slot to look at */
	void (*row)(struct fanout *a, const struct session *s); /* fanout_sessions() calls it */

	/* the answer */
	struct rows rows;
	void *tally; /* the command's own data, which travels along; or NULL */
	void (*tally_free)(void *tally);
	struct err err;
};

/* A command's `begin` calls it to make the question; the caller fills in what is asked. */
struct fanout *fanout_begin(struct run *r, enum answer (*answer)(struct fanout *a));
/* Reads the id of a session into a->id; -1 and r->err (22023) where the text is no number. */
int fanout_take_id(struct run *r, struct fanout *a, const char *text);
/* Takes the region, where the statement names one; -1: there is none of that name. */
int fanout_take_region(struct run *r, struct fanout *a);
/* Takes region, database, user and state. */
int fanout_take_filters(struct run *r, struct fanout *a);
/* Whether something with these properties is what the filters ask for. */
bool fanout_fits(const struct fanout *a, const char *region, struct slice database,
		 struct slice user, const char *state);
/* `row` and `end` of a command that asks the workers. When all workers have answered ANSWER_NEXT, a
 * question with an id fails, as there is no such session. */
enum step fanout_row(struct run *r);
void fanout_end(struct run *r);

/* The worker that was asked calls it when it has the answer, after ANSWER_WAIT. */
void fanout_answered(struct fanout *a, enum answer last);

/* For use as `answer`: calls a->row for each session of the question in the next chunk of the
 * worker's slots. */
enum answer fanout_sessions(struct fanout *a);

#endif
