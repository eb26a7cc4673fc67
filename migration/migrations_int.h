/* SPDX-License-Identifier: PostgreSQL
 *
 * struct migrations, for the files of the engine: the executors of this process (migrations.c),
 * where control schemas have been found (look.c), the watcher (watch.c).
 */
#ifndef MIGRATION_MIGRATIONS_INT_H
#define MIGRATION_MIGRATIONS_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "migration/engine.h"
#include "migration/site.h"

struct executor;
struct watch;

/* A database with a control schema. */
struct finding {
	struct site_node node;
	char *dbname;
};

struct findings {
	struct finding *v;
	size_t n;
};

/* What was found on the node of a region that takes writes. */
struct looked {
	struct looked *next;
	char region[64];
	int64_t at_us;     /* clock_us() of the last whole look; 0: never */
	int64_t failed_us; /* … of the last that failed; 0: none */
	struct findings found;
	int64_t emptied_us; /* when all the others were looked into last */
	struct strlist empty;
};

struct migrations {
	struct site site;
	const struct kind *kinds[MIGRATION_NKINDS]; /* NULL: the program's own */
	atomic_bool is_over;

	pthread_mutex_t lock; /* of executors */
	struct executor *executors;
	unsigned nexecutors; /* made since the start */

	pthread_mutex_t finding; /* of looked */
	struct looked *looked;

	struct watch *watch;
};

const struct site *migrations_site(const struct migrations *ms);
const struct kind *migrations_kind(const struct migrations *ms, enum migration_kind id);
bool migrations_are_over(const struct migrations *ms);

/* ---- look.c ---- */

PGconn *migrations_open(struct migrations *ms, const struct site_node *node, const char *dbname,
			struct err *e);

/* So long a look, and who reads what it has found, waits for what it has asked. */
#define ANSWER_US INT64_C(5000000)

void findings_fini(struct findings *f);
/* Those of a region's node that takes writes, as they were found at most `age_us` ago; `out` grows.
 * -1 and *e: it cannot be asked. */
#define LOOK_AGE_US INT64_C(10000000)
int migrations_look(struct migrations *ms, const char *region, int64_t age_us, struct findings *out,
		    struct err *e);
/* A control schema was just made there. */
void migrations_note(struct migrations *ms, const struct site_node *node, const char *dbname);
/* To read what is there, or to change a row: a statement on it has ANSWER_US. NULL and *e. */
PGconn *finding_open(struct migrations *ms, const struct finding *f, struct err *e);
void looked_free(struct looked *l);

/* ---- watch.c ---- */

struct watch *watch_start(struct migrations *ms);
void watch_stop(struct watch *w);

#endif
