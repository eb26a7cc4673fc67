/* SPDX-License-Identifier: PostgreSQL
 *
 * Migrations in this process: what migration/site.h asks for, answered from the current world, and
 * the threads on which the console's commands wait for databases.
 *
 * A call is one command. Its thread puts rows, notices and lines into a queue of bounded size; the
 * console's worker takes them out. Both hold a reference. Where the console goes first, the thread
 * learns it from the sink's is_cancelled(); where the thread ends first, the console reads
 * CALL_OVER.
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

/* This object also gets a reference of each world that is published to the workers. */
struct proxy_migrations *proxy_migrations_new(struct meridian *m, bool crash_points);
void proxy_migrations_publish(struct proxy_migrations *pm, struct world *take_world);
/* Find out who serves which database (at most 3 s) and begin to watch. `turn` is called again and
 * again meanwhile, to deliver letters to loops that do not run yet. */
void proxy_migrations_start(struct proxy_migrations *pm, void (*turn)(struct meridian *m));
/* Detach the commands, let executors stop at their next step, and end all threads. `turn` delivers
 * letters to loops that do not run any more. */
void proxy_migrations_stop(struct proxy_migrations *pm, void (*turn)(struct meridian *m));
void proxy_migrations_free(struct proxy_migrations *pm); /* after the stop; accepts NULL */

/* ---- calls ---- */

struct migration_call;

enum call_item_kind { CALL_ROW, CALL_NOTICE, CALL_LINE };

/* One thing that the call's thread said; it belongs to its receiver. */
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

/* Begin a command; the strings of the request are copied. NULL and *e (53300): there are too many.
 * The caller gives its reference back by call_drop(). */
struct migration_call *call_start(struct proxy_migrations *pm, const struct migration_request *rq,
				  struct err *e);

enum call_state {
	CALL_SAYS, /* *item is the next thing said */
	CALL_WAITS,
	CALL_OVER, /* *failed is set, and *e where it is true */
};

/* Take the next item. Where there is none yet, `wake` is called once with `arg` when there is, on
 * the call's thread, and not after call_drop(). */
enum call_state call_take(struct migration_call *c, struct call_item **item, bool *failed,
			  struct err *e, void (*wake)(void *arg), void *arg);
/* The console is not listening any more: the command detaches. Returns the `arg` of a `wake` that
 * is set and will not be called now; NULL: there is none. */
void *call_drop(struct migration_call *c);

#endif
