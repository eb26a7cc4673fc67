/* SPDX-License-Identifier: PostgreSQL
 *
 * The watcher, for its own files: a thread for each region, that knows which databases there are
 * (watch.c), and one for each of those, that asks it (watch_db.c). A thread that waits for a
 * database waits for no other one.
 */
#ifndef MIGRATION_WATCH_INT_H
#define MIGRATION_WATCH_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/migrations_int.h"
#include "migration/watch.h"

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

#endif
