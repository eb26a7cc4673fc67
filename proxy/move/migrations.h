/* SPDX-License-Identifier: PostgreSQL
 *
 * Migrations in this process: what migration/site.h asks for, answered from the world as it is, and
 * the threads on which the console's commands wait for databases.
 *
 * A call is one command. Its thread gives rows, notices and lines into a queue of bounded size; the
 * console's worker takes them out. Both sides hold a reference; whoever goes first leaves the other
 * to find out: the thread by the sink's is_cancelled(), the console by MIGRATION_CALL_OVER.
 */
#ifndef PROXY_MOVE_MIGRATIONS_H
#define PROXY_MOVE_MIGRATIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "migration/command.h"

struct meridian;
struct proxy_migrations;
struct world;

/* A reference of the world that is published to the workers goes here too. */
struct proxy_migrations *proxy_migrations_new(struct meridian *m, bool crash_points);
void proxy_migrations_publish(struct proxy_migrations *pm, struct world *take_world);
/* Look who serves which database (at most 3 s) and begin to watch; `turn` is called again and again
 * meanwhile: letters to loops that do not run yet, or any more, are delivered in it. */
void proxy_migrations_start(struct proxy_migrations *pm, void (*turn)(struct meridian *m));
/* Commands are detached, executors stop at their next step, threads end. */
void proxy_migrations_stop(struct proxy_migrations *pm, void (*turn)(struct meridian *m));
void proxy_migrations_free(struct proxy_migrations *pm); /* after the stop; accepts NULL */

/* ---- calls ---- */

struct migration_call;

enum call_item_kind { CALL_ROW, CALL_NOTICE, CALL_LINE };

/* What the thread said; its receiver's. */
struct call_item {
	enum call_item_kind kind;
	struct call_item *next;
	char **values; /* CALL_ROW; NULL: SQL NULL */
	size_t n;
	char severity[12]; /* CALL_NOTICE */
	struct err *notice;
	char *line; /* CALL_LINE */
};

void call_item_free(struct call_item *item); /* accepts NULL */

/* Strings of the request are copied. NULL and *e: 53300 where there are too many. The reference is
 * the caller's: call_drop(). */
struct migration_call *call_start(struct proxy_migrations *pm, const struct migration_request *rq,
				  struct err *e);

enum call_state {
	CALL_SAYS, /* *item is the next thing */
	CALL_WAITS,
	CALL_OVER, /* *failed, and *e where it is */
};

/* Where there is nothing to take, `wake` is called with `arg` when there is, once, on the call's
 * thread, and not after call_drop(). */
enum call_state call_take(struct migration_call *c, struct call_item **item, bool *failed,
			  struct err *e, void (*wake)(void *arg), void *arg);
/* Nobody listens any more: the command detaches. Returns the `arg` of a wake that has not been
 * called and never will be; NULL. */
void *call_drop(struct migration_call *c);

#endif
