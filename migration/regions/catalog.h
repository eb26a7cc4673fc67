/* SPDX-License-Identifier: PostgreSQL
 *
 * What a CockroachDB cluster says of itself, as far as making a database multi-region asks for it:
 * regions, the database, its tables with their localities, old partitions and zone configurations,
 * changefeeds, schema changes under way. Plain data: read.c fills it from a connection, tests fill
 * it by hand, the planner and the rules only look. Owns all its strings; NULL is SQL's NULL.
 *
 * Source: SHOW REGIONS, SHOW DATABASES, SHOW TABLES, SHOW CREATE TABLE, SHOW ZONE CONFIGURATIONS,
 * SHOW CHANGEFEED JOBS, crdb_internal.jobs, crdb_internal.cluster_queries.
 */
#ifndef MIGRATION_REGIONS_CATALOG_H
#define MIGRATION_REGIONS_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* ---- where a table lives ---- */

enum home_kind {
	HOME_NONE, /* the database is not multi-region */
	HOME_GLOBAL,
	HOME_TABLE, /* name: the region; NULL: the primary one */
	HOME_ROW,   /* name: the column; NULL: the hidden crdb_region */
};

struct table_home {
	enum home_kind kind;
	char *name;
};

/* As SHOW TABLES writes it ("REGIONAL BY ROW AS region", NULL); what is none of these is NONE. */
void home_parse(const char *text, struct table_home *out);
bool home_is_same(const struct table_home *a, const struct table_home *b);
void home_fini(struct table_home *l);

/* ---- the catalog ---- */

struct regions_column {
	char *name;
	char *type;
	bool is_nullable;
};

/* A table or an index of it that is partitioned by hand, as before multi-region SQL. */
struct regions_partitioned {
	char *index; /* NULL: the table */
	char *text;  /* the PARTITION BY clause, whole */
	struct strlist names;
};

struct regions_table {
	char *schema, *name;
	char *type; /* "table", "view", … */
	char *owner;
	int64_t rows; /* estimate; -1 not known */
	char *locality;
	char *create; /* SHOW CREATE TABLE; NULL: not asked */
	struct regions_column *columns;
	size_t ncolumns;
	struct regions_partitioned *partitioned;
	size_t npartitioned;
};

struct regions_zone {
	char *target; /* "TABLE movr.public.users", "PARTITION us_west OF INDEX …" */
	char *sql;
};

struct regions_feed {
	char *id; /* of the job, or of the query */
	bool is_sinkless;
	char *text;   /* the statement, as the server repeats it */
	char *tables; /* full_table_names; NULL */
};

struct regions_job {
	char *id, *type, *description, *status;
};

struct regions_catalog {
	char *version;     /* NULL: it is no CockroachDB */
	char *database;    /* its name there */
	char *user;        /* our own role */
	bool is_admin;     /* of the cluster */
	char *licence;     /* why multi-region statements are refused; NULL: they are not */
	char *owner;       /* of the database */
	char *primary;     /* its primary region; NULL: not multi-region */
	char *survival;    /* "zone", "region"; NULL */
	bool has_own_type; /* something is named crdb_internal_region and is not CockroachDB's */
	struct strlist cluster; /* regions that have nodes */
	struct strlist regions; /* of the database */
	struct regions_table *tables;
	size_t ntables;
	struct regions_zone *zones;
	size_t nzones;
	struct regions_feed *feeds;
	size_t nfeeds;
	struct regions_job *jobs; /* schema changes that are not over */
	size_t njobs;
};

void regions_catalog_fini(struct regions_catalog *c);

struct regions_table *regions_catalog_add_table(struct regions_catalog *c, const char *schema,
						const char *name, const char *locality);
void regions_table_add_column(struct regions_table *t, const char *name, const char *type,
			      bool is_nullable);
void regions_catalog_add_zone(struct regions_catalog *c, const char *target, const char *sql);
void regions_catalog_add_feed(struct regions_catalog *c, const char *id, bool is_sinkless,
			      const char *text, const char *tables);
void regions_catalog_add_job(struct regions_catalog *c, const char *id, const char *type,
			     const char *description, const char *status);

/* "users", "public.users": NULL where there is none, or two of a bare name. */
const struct regions_table *regions_catalog_table(const struct regions_catalog *c,
						  const char *name);
const struct regions_column *regions_table_column(const struct regions_table *t, const char *name);

/* Whether SHOW CREATE TABLE has that column NOT VISIBLE. */
bool regions_column_is_hidden(const char *create, const char *column);
/* The PARTITION BY clauses in t->create, into t->partitioned. */
void regions_table_find_partitions(struct regions_table *t);

#endif
