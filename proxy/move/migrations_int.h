/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of struct proxy_migrations, for proxy/move/migrations.c and
 * proxy/move/migration_calls.c.
 */
#ifndef PROXY_MOVE_MIGRATIONS_INT_H
#define PROXY_MOVE_MIGRATIONS_INT_H

#include <pthread.h>
#include <sys/queue.h>

#include "migration/site.h"
#include "proxy/move/migrations.h"

#define CALLS_MAX 32

/* The threads of commands. */
struct calls {
	pthread_mutex_t lock;
	bool stopping;
	unsigned running;
	LIST_HEAD(, migration_call) all; /* until they are joined */
};

void calls_init(struct calls *c);
/* Every call detaches, and none begins any more. */
void calls_stop(struct calls *c);
/* Behind calls_stop(): returns when their threads have ended. */
void calls_join(struct calls *c);
void calls_fini(struct calls *c);

struct proxy_migrations {
	struct meridian *process;
	struct site site;
	pthread_mutex_t lock; /* of `world` */
	struct world *world;  /* the last one that was published */
	char id[96];          /* of this proxy */
	char region[128];     /* where it stands; "" */
	bool crash_points;
	pthread_mutex_t starting; /* of `migrations` until it is there */
	struct migrations *migrations;
	struct calls calls;
};

/* site_ops.traffic; `arg`: the process. */
struct traffic;
void proxy_migrations_traffic(void *arg, const char *database, struct traffic *out);

/* On a thread that may wait: there is a pm->migrations. -1 and *e (55000). */
int proxy_migrations_ready(struct proxy_migrations *pm, struct err *e);
/* With every signal blocked. */
int proxy_migrations_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
