/* SPDX-License-Identifier: PostgreSQL
 *
 * How a database is distributed: which tables, by which method, in which order, which foreign keys
 * are dropped on the way and when they come back, and what stands against it. A function of the
 * catalog and of what the operator said.
 *
 * The order is that of the foreign keys, parents first. create_distributed_table() takes a table
 * with its keys when its parents are done. create_distributed_table_concurrently() takes none but
 * those to itself: every other key in and out is dropped before, also those to tables that are
 * done, and comes back when both of its ends are.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_PLANNER_H
#define MIGRATION_DISTRIBUTE_DIST_PLANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/distribute/dist_catalog.h"
#include "migration/grammar.h"
#include "migration/plan.h"

/* Above this many changes a second a table is not blocked. */
#define DIST_WRITES_MAX 10.0
/* A table without the column that others refer to is copied to every node up to this size. */
#define DIST_REFERENCE_MAX ((int64_t)100 << 20)

struct dist_wish {
	const char *column;
	const struct spec_name *root;    /* NULL: not said */
	const struct spec_table *tables; /* none: all that have the column */
	size_t ntables;
	int64_t lock_budget_us;
	bool is_atomic;
	bool orphans_stop; /* orphans = error */
};

/* X(constant, the step's name: also its crash point) */
#define DIST_ACTS(X)                                  \
	X(DIST_KEEP_KEYS, "keys")                     \
	X(DIST_ORPHANS, "orphans")                    \
	X(DIST_DROP_KEYS, "drop_keys")                \
	X(DIST_BLOCKING, "distribute")                \
	X(DIST_CONCURRENT, "distribute_concurrently") \
	X(DIST_REFER, "reference")                    \
	X(DIST_ALL, "distribute_all")                 \
	X(DIST_TRIM, "trimmings")                     \
	X(DIST_ADD_KEYS, "add_keys")                  \
	X(DIST_VALIDATE, "validate_key")              \
	X(DIST_TRUNCATE, "truncate_local")

#define DIST_CONSTANT(constant, word) constant,
enum dist_act { DIST_ACTS(DIST_CONSTANT) DIST_NACTS };
#undef DIST_CONSTANT

/* What becomes of a table. */
struct dist_choice {
	bool is_in;              /* the migration is about it */
	enum spec_method method; /* METHOD_CHOOSE: nothing, it is done already */
	char why[160];
};

struct dist_step {
	enum dist_act act;
	size_t table;     /* catalog.ntables: no single one */
	size_t colocated; /* the table that it is colocated with; catalog.ntables: none */
	size_t *keys;     /* in catalog.keys */
	size_t nkeys;
	size_t *tables; /* of DIST_ALL */
	size_t ntables;
};

struct dist_plan {
	struct dist_choice *choice; /* per table of the catalog */
	size_t *order;              /* of all tables */
	size_t root;                /* ntables: none */
	bool *is_cut;               /* per key: it closed a circle */
	struct dist_step *steps;
	size_t nsteps;
	struct checks findings;
};

/* Always a plan; what stands against it is in its findings. */
void dist_plan_make(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w);
void dist_plan_fini(struct dist_plan *p);

/* dist_checks.c: what stands against it, from the catalog alone, into the plan's findings: what
 * Citus would refuse in the middle of the way is known before the first step. */
void dist_checks(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w);

/* Seconds that a copy of so many bytes takes. */
double dist_seconds(const struct dist_catalog *c, int64_t bytes);
/* Whether the table has been distributed by that column. */
bool dist_is_done(const struct dist_table *t, const char *column);

#endif
