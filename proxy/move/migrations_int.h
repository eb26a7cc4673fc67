/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of struct proxy_migrations, shared by migrations.c and migration_calls.c.
 */
#ifndef PROXY_MOVE_MIGRATIONS_INT_H
#define PROXY_MOVE_MIGRATIONS_INT_H

#include <pthread.h>
#include <sys/queue.h>

#include "migration/site.h"
#include "proxy/move/migrations.h"

#define CALLS_MAX 32

/* The commands that run, each on a thread of its own. */
struct calls {
	pthread_mutex_t lock;
	bool stopping;
	unsigned running;
	LIST_HEAD(, migration_call) all; /* until their threads are joined */
};

void calls_init(struct calls *c);
/* Every call detaches, and no new one is admitted. */
void calls_stop(struct calls *c);
/* After calls_stop(): wait until the calls' threads have ended. */
void calls_join(struct calls *c);
void calls_fini(struct calls *c);

struct proxy_migrations {
	struct meridian *process;
	struct site site;
	pthread_mutex_t lock; /* of `world` */
	struct world *world;  /* the last one published */
	char id[96];          /* this proxy's */
	char region[128];     /* this proxy's; "": it has none */
	bool crash_points;
	pthread_mutex_t starting; /* guards `migrations` until it is set */
	struct migrations *migrations;
	struct calls calls;
};

/* site_ops.traffic; `arg` is the struct meridian. */
struct traffic;
void proxy_migrations_traffic(void *arg, const char *database, struct traffic *out);

/* Make sure that pm->migrations exists, on a thread that may wait. -1 and *e (55000): it cannot. */
int proxy_migrations_ready(struct proxy_migrations *pm, struct err *e);
/* Start a thread with every signal blocked. Returns as pthread_create(). */
int proxy_migrations_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
