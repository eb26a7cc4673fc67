/* SPDX-License-Identifier: PostgreSQL
 *
 * The arguments of a step of the plan, as JSON in the control schema: all that is needed is in it,
 * so that a step can be done, repeated and undone when the catalogs have changed.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_ARGS_H
#define MIGRATION_DISTRIBUTE_DIST_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "migration/distribute/dist_planner.h"

struct dist_key_args {
	char *name;          /* of the constraint */
	char *table, *refer; /* as SQL writes them */
	struct strlist columns, refers;
	char *comment;    /* NULL: none */
	char *definition; /* without NOT VALID */
	bool is_valid;
};

enum dist_verify { DIST_VERIFY_OFF, DIST_VERIFY_COUNT, DIST_VERIFY_FULL };

struct dist_table_args {
	char *table;
	bool is_reference;
};

struct dist_args {
	char *table;     /* NULL: no single one */
	char *column;    /* to distribute by */
	char *colocated; /* the table that it is colocated with; NULL: none */
	char *why;
	double seconds;
	long long bytes;
	enum dist_verify verify; /* not of the JSON: the option as it is now */
	bool is_partitioned;
	bool is_irreversible;     /* it has an identity column */
	bool is_alone;            /* no key leads to a table that Citus had before */
	bool is_sequential;       /* keys lead to reference tables: one connection to each node */
	struct strlist trimmings; /* of the tables, as statements */
	struct dist_key_args *keys;
	size_t nkeys;
	struct dist_table_args *tables;
	size_t ntables;
};

/* The caller frees. */
char *dist_args_text(const struct dist_step *s, const struct dist_plan *p,
		     const struct dist_catalog *c, const struct dist_wish *w);
/* 0 and *out (fini it); -1 and *e where it is no such text. */
int dist_args_parse(struct dist_args *out, const char *json, struct err *e);
void dist_args_fini(struct dist_args *a);

#endif
