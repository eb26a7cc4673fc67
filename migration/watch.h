/* SPDX-License-Identifier: PostgreSQL
 *
 * What the watcher's threads (watch.c) know of a database with a control schema, and how they
 * answer what an executor on another proxy asks of the fleet (answer.c; the asking is fleet.h's). A
 * row of meridian.freeze is done once: told by its migration, attempt and word.
 */
#ifndef MIGRATION_WATCH_H
#define MIGRATION_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/migrations_int.h"
#include "migration/routes.h"

struct answers;

struct watched {
	struct watched *next;
	struct finding at;
	PGconn *c;         /* NULL: none now */
	bool is_active;    /* a migration there is not over */
	int64_t looked_us; /* the last good look; 0: none */
	int64_t active_us; /* … at which it was active, or the first; 0: none */
	struct route_row *rows;
	size_t nrows;
	struct answers *answers;
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
