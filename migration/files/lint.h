/* SPDX-License-Identifier: PostgreSQL
 *
 * What is known to be dangerous in a change of a live database, statement by statement. The rules
 * have the names that squawk and strong_migrations gave them; how grave a finding is depends on
 * what the database says of the table now (size, writes, whether a constraint has been validated
 * already). Pure: the facts come from the caller. Reads words, not a syntax tree: what it does not
 * understand it does not judge.
 *
 * Sources: PostgreSQL documentation, ALTER TABLE ("Notes"), CREATE INDEX ("Building Indexes
 * Concurrently"), "Explicit Locking".
 */
#ifndef MIGRATION_FILES_LINT_H
#define MIGRATION_FILES_LINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"
#include "migration/files/split.h"
#include "migration/kind.h"

/* Below both a table is small: its locks are short. */
#define LINT_SMALL_BYTES  ((int64_t)1 << 20)
#define LINT_SMALL_WRITES 1.0

struct lint_table {
	bool exists;
	bool is_partitioned;
	int64_t bytes; /* with its indexes */
	double writes; /* a second, rows inserted, updated, deleted */
};

struct lint_column {
	bool exists;
	char type[128];   /* as format_type() says it */
	bool is_not_null; /* already, or by a validated CHECK */
	int64_t calls;    /* of statements that name it and its table; -1: not known */
	char source[64];  /* of the calls: "this proxy, last 3 h" */
};

/* Names as the file writes them, quotes included. */
struct lint_facts {
	void *arg; /* NULL functions: nothing is known */
	void (*table)(void *arg, struct slice table, struct lint_table *out);
	void (*column)(void *arg, struct slice table, struct slice column, struct lint_column *out);
	int version; /* server_version_num of the oldest server; 0: not known */
};

struct lint_finding {
	const char *rule;
	enum check_severity severity; /* ERROR: do not; WARN: look; INFO: here it does no harm */
	struct buf text;              /* what happens */
	const char *fix;
};

/* From file to file: tables that the files themselves have made are not in use yet. */
struct lint {
	const struct lint_facts *facts;
	struct strlist made;
	void (*found)(void *to, const struct lint_finding *f);
	void *to;
};

/* One statement of a file. `in_transaction`: others of the file share its transaction. */
void lint_statement(struct lint *l, const struct script_statement *st, bool in_transaction);
void lint_fini(struct lint *l);

/* Which way a statement goes, for regions that replicate to each other: what is added must be at
 * the subscriber first, what is taken away at the publisher first. A set. */
enum lint_way { LINT_ADDS = 1 << 0, LINT_TAKES = 1 << 1 };
unsigned lint_way(struct slice statement);

#endif
