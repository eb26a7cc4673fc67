/* SPDX-License-Identifier: PostgreSQL
 *
 * What the watcher (watch.c, watch_db.c) knows of a database with a control schema, and the orders
 * of executors on other proxies that it finds there (fleet_proxy.c; fleet.h gives them). An
 * order, a row of meridian.freeze, is obeyed once: it is identified by its migration, attempt and
 * word.
 */
#ifndef MIGRATION_WATCH_H
#define MIGRATION_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/migrations_int.h"
#include "migration/routes.h"

struct obeyed_order;
struct region_watch;

/* Fields without another word belong to the database's own thread. */
struct watched {
	struct watched *next; /* with `thread` and `is_started`: the region's thread's */
	pthread_t thread;
	bool is_started;
	atomic_bool is_gone;    /* the control schema is not there any more */
	struct region_watch *r; /* as `at` for ever */
	struct control_db at;

	bool is_tried; /* one look is over, good or not; as the next three by region_watch.lock */
	int64_t looked_us; /* the last good look; 0: none */
	struct route_row *rows;
	size_t nrows;

	PGconn *c;         /* NULL: none now */
	bool is_active;    /* a migration there is not over */
	bool is_silent;    /* the last look has failed */
	unsigned heard;    /* watch.asked, at the last look */
	int64_t active_us; /* the last good look at which it was active, or the first; 0: none */
	struct obeyed_order *obeyed;
	unsigned stall_looks; /* so many looks in a row something else stood in the way than the row
				 says */
	int64_t flush_us;     /* when callers are written next (redirect.h); 0: at once */
	unsigned flushes;
};

/* Write the heartbeat of this proxy (meridian.proxy), then obey. */
void fleet_proxy_heartbeat(struct migrations *ms, struct watched *d);
/* Do what executors on other proxies order. */
void fleet_proxy_obey(struct migrations *ms, struct watched *d);
/* This proxy stops: no executor waits for it any more. */
void fleet_proxy_leave(struct migrations *ms, struct watched *d);
void orders_free(struct obeyed_order *o);

#endif
