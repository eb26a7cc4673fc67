/* SPDX-License-Identifier: PostgreSQL
 *
 * What a plan to distribute a database is made from: its tables, their keys, and the cluster, as
 * values. Filled by dist_load.h from a server or by a test from a table; nothing here asks a
 * server.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_CATALOG_H
#define MIGRATION_DISTRIBUTE_DIST_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* pg_dist_partition, read. */
enum dist_state {
	DIST_LOCAL,     /* a plain table */
	DIST_HALF,      /* 'n', 's': known to Citus, its rows on the coordinator: half way */
	DIST_REFERENCE, /* 'n', 't' */
	DIST_HASH,      /* 'h' */
	DIST_OTHER,     /* append, range, … */
};

static inline enum dist_state
dist_state_from(char partmethod, char repmodel)
{
	if (partmethod == 'h')
		return DIST_HASH;
	if (partmethod != 'n')
		return DIST_OTHER;
	return repmodel == 't' ? DIST_REFERENCE : DIST_HALF;
}

struct dist_table {
	uint32_t oid;
	char *name;   /* as SQL writes it: public.orders, "odd name".t */
	char *schema; /* as it is */
	char *table;
	char relkind; /* 'r', 'p', 'f' */
	bool is_temp, is_unlogged, is_partition, is_heir, has_heirs;
	bool is_ours;      /* we may alter it */
	bool has_identity; /* REPLICA IDENTITY that UPDATE and DELETE can use */
	/* the distribution column */
	char *column_type; /* NULL: it has no such column */
	bool is_generated, has_nulls, nulls_unknown, is_primary_key;
	/* what it is already */
	enum dist_state state;
	char *distributed_by; /* DIST_HASH: the column */
	int colocation;
	/* how much there is */
	int64_t bytes, rows;
	double writes; /* a second */
	/* what stands in the way */
	struct strlist triggers;
	struct strlist identities; /* columns GENERATED … AS IDENTITY */
	struct strlist serials;    /* columns of int and smallint with nextval() */
	/* what Citus loses when it makes the table anew, as statements: dist_load_trimmings() */
	struct strlist trimmings;
	struct strlist keys_without; /* UNIQUE, PRIMARY KEY, EXCLUDE without the column */
};

struct dist_key { /* FOREIGN KEY */
	char *name;
	size_t from, to; /* in tables[]: has it, is referred to */
	struct strlist columns, refers;
	struct strlist sets;       /* SET NULL (columns), where it names them */
	char on_delete, on_update; /* 'a', 'r', 'c', 'n', 'd' */
	char *definition;          /* pg_get_constraintdef() */
	char *comment;             /* NULL: none */
	bool is_valid;
};

struct dist_server {
	bool has_citus;
	bool is_coordinator;
	bool is_registered; /* the coordinator is in pg_dist_node */
	int workers;        /* that take shards */
	char *wal_level;
	char *plugins; /* output_plugin_libraries; NULL: there is no such setting */
	int slots_free, senders_free;
	int replication_factor;
	char *connects_back;        /* why it cannot; NULL: it can */
	struct strlist unreachable; /* pairs of nodes that do not reach each other */
	double bytes_per_second;    /* of a copy, estimated */
};

struct dist_catalog {
	struct dist_table *tables; /* by name */
	size_t ntables;
	struct dist_key *keys;
	size_t nkeys;
	struct dist_server server;
};

void dist_catalog_fini(struct dist_catalog *c);
/* Zeroed, with nothing but its name; the pointer lives until the next call. */
struct dist_table *dist_catalog_add_table(struct dist_catalog *c, const char *schema,
					  const char *table);
struct dist_key *dist_catalog_add_key(struct dist_catalog *c, const char *name, size_t from,
				      size_t to);
/* ntables: there is none. schema NULL: public before others; *is_ambiguous (may be NULL) where
 * several others have one. */
size_t dist_catalog_find(const struct dist_catalog *c, const char *schema, const char *table,
			 bool *is_ambiguous);
/* "a, b, c", the caller's. */
char *dist_list_join(const struct strlist *list);

#endif
