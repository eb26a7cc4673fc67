/* SPDX-License-Identifier: PostgreSQL
 *
 * The order in which a CockroachDB database becomes multi-region: the primary region before the
 * nodes of the others join (else the cluster spreads replicas over all regions at once), then those
 * nodes, then each region, the survival goal, the localities of tables, the region column made
 * visible; then the application, which has to know that column; then the rows' regions. Pure: a
 * catalog and the wish in, steps and findings out.
 *
 * Source: CockroachDB documentation, "Scale to Multiple Regions", "Multi-Region Capabilities
 * Overview", "Changefeeds in Multi-Region Deployments".
 */
#ifndef MIGRATION_REGIONS_PLANNER_H
#define MIGRATION_REGIONS_PLANNER_H

#include <stdbool.h>
#include <stddef.h>

#include "migration/grammar.h"
#include "migration/plan.h"
#include "migration/regions/catalog.h"
#include "migration/regions/ddl.h"

/* X(constant, the step's name, its phase): PREPARE comes before nodes of other regions join; DATA
 * makes the schema multi-region; FINALIZE is the part of the application and of the rows. */
#define REGIONS_STEPS(X)                                                                         \
	X(REGIONS_PARTITIONS, "partitions", PHASE_PREPARE) /* made by hand: taken away */        \
	X(REGIONS_PRIMARY, "primary_region", PHASE_PREPARE)                                      \
	X(REGIONS_NODES, "nodes", PHASE_DATA) /* waits for them */                               \
	X(REGIONS_ADD, "add_region", PHASE_DATA)                                                 \
	X(REGIONS_PRIMARY_LATER, "primary_region_changed", PHASE_DATA)                           \
	X(REGIONS_SURVIVAL, "survival", PHASE_DATA)                                              \
	X(REGIONS_FEEDS, "changefeeds", PHASE_DATA) /* stands in front of what would end them */ \
	X(REGIONS_COLUMN, "region_column", PHASE_DATA) /* computed from the city */              \
	X(REGIONS_LOCALITY, "locality", PHASE_DATA)                                              \
	X(REGIONS_VISIBLE, "visible", PHASE_DATA)                                                \
	X(REGIONS_DEPLOYED, "app_deployed", PHASE_FINALIZE) /* waits for ACK */                  \
	X(REGIONS_BACKFILL, "backfill", PHASE_FINALIZE)

#define REGIONS_CONSTANT(constant, name, phase) constant,
enum regions_step_kind { REGIONS_STEPS(REGIONS_CONSTANT) REGIONS_NSTEPS };
#undef REGIONS_CONSTANT

const char *regions_step_name(enum regions_step_kind k);

/* The column that REGION_COLUMN makes, and the one that CockroachDB makes. */
#define REGIONS_COMPUTED "region"
#define REGIONS_HIDDEN   "crdb_region"
#define REGIONS_MAP      "router" /* the one map that there is: what the proxy says of a city */

/* A zone configuration of a partition of that table or index. */
bool regions_is_zone_of(const struct regions_zone *z, const struct regions_table *t,
			const struct regions_partitioned *p);

/* The arguments of a step; what it has no use for is NULL. Kept in the step's row as JSON. */
struct regions_step {
	enum regions_step_kind kind;
	const struct migration_step *row; /* borrowed, as is: */
	const char *database;             /* both NULL in a plan */
	char *schema, *table;
	char *index;            /* PARTITIONS; NULL: the table itself */
	char *clause;           /* PARTITIONS: what it was, for ABORT */
	char *region;           /* PRIMARY, ADD; COLUMN: of cities that are not in the map */
	char *goal;             /* SURVIVAL: "zone", "region" */
	char *home;             /* FEEDS, LOCALITY: as SHOW TABLES will write it */
	char *column;           /* COLUMN, BACKFILL: of the city */
	struct strlist regions; /* NODES */
	struct strlist zones; /* PARTITIONS: those with a zone configuration, as ALTER names them */
	struct city_map cities; /* COLUMN, BACKFILL */
};

void regions_step_fini(struct regions_step *s);
char *regions_step_label(const struct regions_step *s);
char *regions_step_json(const struct regions_step *s);
/* -1 and *e: not such a text. */
int regions_step_parse(enum regions_step_kind kind, const char *json, struct regions_step *out,
		       struct err *e) MUST_CHECK;

struct regions_plan {
	struct regions_step *v;
	size_t n;
};

void regions_plan_fini(struct regions_plan *p);

struct regions_wish {
	const struct spec *spec;
	int migration;               /* its number, for what is said */
	bool computed;               /* option region_column = computed */
	const struct city_map *maps; /* one for each of spec->placings */
	const char *feeds;           /* option changefeeds */
	bool require_ack;
};

void regions_plan_make(struct regions_plan *out, const struct regions_wish *w,
		       const struct regions_catalog *c);
/* What is in the way (ERROR), what the operator should know first (WARN). */
void regions_judge(struct checks *out, const struct regions_wish *w,
		   const struct regions_catalog *c);

/* As SHOW TABLES writes what LOCALITY ( … ) asks for. */
char *regions_home_wanted(const struct regions_wish *w, const struct spec_placing *p);
/* As regions_catalog_table(); by a name in its parts. */
const struct regions_table *regions_table_of(const struct regions_catalog *c,
					     const struct spec_name *name);
/* The table gets another primary key. */
bool regions_changes_key(const struct spec_placing *p, const struct regions_table *t);
/* The cities of that table come from the map, and its region column is computed from them. */
bool regions_is_computed(const struct regions_wish *w, const struct spec_placing *p);

#endif
