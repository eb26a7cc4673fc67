/* SPDX-License-Identifier: PostgreSQL
 *
 * Inside the lint: what its files share. A rule looks at the tokens of one statement, says which
 * table it is about (lint_look_at), and says what it found.
 */
#ifndef MIGRATION_FILES_LINT_INT_H
#define MIGRATION_FILES_LINT_INT_H

#include "migration/files/lint.h"
#include "migration/files/stmt.h"

struct lint_rule {
	const char *name;
	const char *fix;
};

struct lint_at {
	struct lint *lint;
	const struct script_statement *st;
	struct stmt_tokens t;
	bool in_transaction;
	struct slice table;
	struct lint_table facts;
	bool is_made; /* by a statement in front of this one */
};

void lint_say(struct lint_at *at, const struct lint_rule *rule, enum check_severity severity,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void lint_say_table(struct lint_at *at, const struct lint_rule *rule, const char *what);
void lint_look_at(struct lint_at *at, struct slice table);
void lint_look_at_column(struct lint_at *at, struct slice column, struct lint_column *out);
size_t lint_find(const struct stmt_tokens *t, size_t i, size_t end, const char *words);

/* ALTER TABLE: lint_alter.c; i stands behind the words. */
void lint_alter_table(struct lint_at *at, size_t i);
/* Whether a column of type `from` becomes `to` without a look at the rows. */
bool lint_type_grows(const char *from, struct slice to);

#endif
