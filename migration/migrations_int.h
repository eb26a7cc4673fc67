/* SPDX-License-Identifier: PostgreSQL
 *
 * struct migrations, for the files of the engine: the executors of this process (migrations.c),
 * where control schemas have been found (find.c), the watcher (watch.c).
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
struct control_db {
	struct site_node node;
	char *dbname;
};

struct control_dbs {
	struct control_db *v;
	size_t n;
};

/* The databases that were looked into on the node of a region that takes writes. */
struct region_dbs {
	struct region_dbs *next;
	char region[64];
	int64_t at_us;     /* clock_us() of the last whole look; 0: never */
	int64_t failed_us; /* … of the last that failed; 0: none */
	struct control_dbs found;
	int64_t emptied_us; /* when those without a control schema were looked into last */
	struct strlist empty;
};

struct migrations {
	struct site site;
	const struct kind *kinds[MIGRATION_NKINDS]; /* a test's; NULL: the program's own */
	atomic_bool is_over;

	pthread_mutex_t lock; /* of executors */
	struct executor *executors;
	unsigned nexecutors; /* made since the start */

	pthread_mutex_t dbs_lock; /* of dbs */
	struct region_dbs *dbs;

	struct watch *watch;
};

const struct site *migrations_site(const struct migrations *ms);
const struct kind *migrations_kind(const struct migrations *ms, enum migration_kind id);
bool migrations_are_over(const struct migrations *ms);

/* ---- find.c ---- */

PGconn *migrations_open(struct migrations *ms, const struct site_node *node, const char *dbname,
			struct err *e);

/* How long a statement of a look may take, and one of a thread that reads what it has found. */
#define ANSWER_US INT64_C(5000000)
/* How old what is known of the control schemas may usually be. */
#define LOOK_AGE_US INT64_C(10000000)

void control_dbs_fini(struct control_dbs *dbs);
bool control_dbs_have(const struct control_dbs *dbs, const struct site_node *node,
		      const char *dbname);
/* The databases with a control schema on the region's node that takes writes, as they were found at
 * most `age_us` ago; `out` grows. -1 and *e: the node cannot be asked. */
int control_dbs_of_region(struct migrations *ms, const char *region, int64_t age_us,
			  struct control_dbs *out, struct err *e);
/* The same of all regions. *e: why the last one that could not be asked could not (msg "": all
 * could); `unasked` (may be NULL) gets the names of those regions. */
void control_dbs_everywhere(struct migrations *ms, int64_t age_us, struct control_dbs *out,
			    struct strlist *unasked, struct err *e);
/* A control schema was just made there. */
void control_dbs_note(struct migrations *ms, const struct site_node *node, const char *dbname);
/* A connection to read or to change a row: a statement on it has ANSWER_US. NULL and *e. */
PGconn *control_db_open(struct migrations *ms, const struct control_db *f, struct err *e);
void region_dbs_free(struct region_dbs *l);

/* ---- watch.c ---- */

struct watch *watch_start(struct migrations *ms);
void watch_stop(struct watch *w);

#endif
