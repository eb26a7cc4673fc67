/* SPDX-License-Identifier: PostgreSQL
 *
 * What the watcher (watch.c, watch_db.c) knows of a database with a control schema, and how they
 * answer what an executor on another proxy asks of the fleet (answer.c; the asking is fleet.h's). A
 * row of meridian.freeze is done once: told by its migration, attempt and word.
 */
#ifndef MIGRATION_WATCH_H
#define MIGRATION_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/migrations_int.h"
#include "migration/routes.h"

struct answers;
struct region_watch;

/* What has no other word is its own thread's. */
struct watched {
	struct watched *next; /* with `thread` and `is_started`: the region's thread's */
	pthread_t thread;
	bool is_started;
	atomic_bool is_gone;    /* there is nothing of ours any more */
	struct region_watch *r; /* as `at` for ever */
	struct finding at;

	bool is_tried; /* one look is over, good or not; as the next three by region_watch.lock */
	int64_t looked_us; /* the last good look; 0: none */
	struct route_row *rows;
	size_t nrows;

	PGconn *c;         /* NULL: none now */
	bool is_active;    /* a migration there is not over */
	bool is_silent;    /* the last look was none */
	unsigned heard;    /* watch.asked, at the last look */
	int64_t active_us; /* the last good look at which it was active, or the first; 0: none */
	struct answers *answers;
	unsigned doubts;  /* so many looks in a row a migration's remark was to be another one */
	int64_t flush_us; /* when callers are written next (redirect.h); 0: at once */
	unsigned flushes;
};

/* We are there: the row of meridian.proxy; and look what is asked. */
void answers_beat(struct migrations *ms, struct watched *d);
/* Only look what is asked. */
void answers_give(struct migrations *ms, struct watched *d);
/* We go: no executor waits for us. */
void answers_leave(struct migrations *ms, struct watched *d);
void answers_free(struct answers *a);

#endif
