/* SPDX-License-Identifier: PostgreSQL
 *
 * The watcher, for its own files: a thread for each region, that knows which databases have a
 * control schema (watch.c), and one for each of those, that asks it (watch_db.c). A thread that
 * waits for a database waits for no other one. In a database it finds the orders of executors on
 * other proxies (fleet_proxy.c; fleet.h gives them). An order, a row of meridian.freeze, is obeyed
 * once: it is identified by its migration, attempt and word.
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

struct region_watch {
	struct watch *w;
	char region[64];
	pthread_t thread;
	bool is_started;
	unsigned heard;       /* watch.asked, at the last look */
	pthread_mutex_t lock; /* of what follows, and what struct watched says */
	bool is_tried;        /* one look is over, good or not */
	bool is_reached;      /* the last was good */
	struct watched *dbs;  /* the region's thread changes the list */
};

struct watch {
	struct migrations *ms;
	struct routes *routes;
	struct region_watch *regions;
	size_t nregions;
	atomic_uint
	    asked; /* counts requests for the redirected clients: all threads look at once */
	pthread_mutex_t lock; /* of news */
	pthread_cond_t cond;
	unsigned news; /* counts calls of watch_wake() */
};

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

/* Wake all threads: a command collects redirections, a thread of a database shall end, or the watch
 * ends. */
void watch_wake(struct watch *w);
/* Wait until the next look of the region (d NULL) or the database is due, whose last one was when
 * watch.asked was `heard`; false: there is none any more. */
bool watch_wait(struct watch *w, unsigned heard, struct watched *d);
/* Give routes.c the rows that were read from the databases of the region. */
void watch_tell_routes(struct region_watch *r);

/* ---- watch_db.c ---- */

/* The thread of a struct watched, until it has to go or all is over. */
void *watched_main(void *arg);
/* Take what is notified there within that time; only where it has a connection. */
void watched_listen(struct watched *d, int64_t us);
void watched_free(struct watched *d);

/* ---- fleet_proxy.c ---- */

/* Write the heartbeat of this proxy (meridian.proxy), then obey. */
void fleet_proxy_heartbeat(struct migrations *ms, struct watched *d);
/* Do what executors on other proxies order. */
void fleet_proxy_obey(struct migrations *ms, struct watched *d);
/* This proxy stops: no executor waits for it any more. */
void fleet_proxy_leave(struct migrations *ms, struct watched *d);
void orders_free(struct obeyed_order *o);

#endif
