/* SPDX-License-Identifier: PostgreSQL
 *
 * A question that goes to the workers, one after the other, chunk by chunk: listings of sessions,
 * and looking for one of them. The question is a letter that travels to the worker that can answer
 * and back to the console's; where the console has gone meanwhile, it is dropped on its return.
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
	ANSWER_STOP, /* found: the run is done */
	ANSWER_FAIL, /* ask->err: the run fails */
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

	/* what is asked; strings are NULL where they do not matter */
	uint64_t id;    /* of one session */
	unsigned count; /* the answers' */
	char *region, *database, *user, *state, *access;
	unsigned slot;                                          /* first slot to look at */
	void (*row)(struct fanout *a, const struct session *s); /* of fanout_sessions() */

	/* what is answered */
	struct rows rows;
	void *tally; /* the command's, which goes along; or NULL */
	void (*tally_free)(void *tally);
	struct err err;
};

/* In `begin`: what to ask; the caller fills in the rest of it. */
struct fanout *fanout_begin(struct run *r, enum answer (*answer)(struct fanout *a));
/* Reads argument `id` into ask->id; -1 and r->err (22023). */
int fanout_take_id(struct run *r, struct fanout *a);
/* The same of a text that is no argument of that name. */
int fanout_set_id(struct run *r, struct fanout *a, const char *text);
/* Its region, where it names one: -1, there is none of that name. */
int fanout_take_region(struct run *r, struct fanout *a);
/* The same, and database, user and state. */
int fanout_take_filters(struct run *r, struct fanout *a);
/* As `row` and `end` of a command. When every worker has said ANSWER_NEXT, a question with an id
 * fails: there is no such session. */
enum step fanout_row(struct run *r);
void fanout_end(struct run *r);

/* On the worker that was asked, behind ANSWER_WAIT. */
void fanout_answered(struct fanout *a, enum answer last);

/* Answers for `answer`: each session of a chunk of slots through a->row. */
enum answer fanout_sessions(struct fanout *a);

#endif
