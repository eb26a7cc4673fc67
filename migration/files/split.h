/* SPDX-License-Identifier: PostgreSQL
 *
 * A file of SQL cut into its statements, and what its comments say to us. Knows SQL's lexical rules
 * (quotes, dollar quotes, nested comments, parentheses, bodies between BEGIN ATOMIC and END) with
 * standard_conforming_strings on, and no statement. psql's own commands are refused: there is no
 * psql here. Pure; everything that is returned points into the text.
 *
 * What comments can say, one line each, between statements:
 *   -- meridian: no-transaction          the file: each statement by itself        } in front of
 *   -- meridian: undo FILE | undo none   the file: what takes it back, or nothing  } the first one
 *   -- meridian: alone                   the next statement: in no transaction
 *   -- meridian: done-when SQL           the next statement: true where it has been carried out
 *   -- meridian: lint-ok RULE, …         the next statement: these rules are known to be broken
 *
 * Source: PostgreSQL documentation, "Lexical Structure", and CREATE FUNCTION's sql_body.
 */
#ifndef MIGRATION_FILES_SPLIT_H
#define MIGRATION_FILES_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

#define SPLIT_BYTES_MAX      ((size_t)16 << 20)
#define SPLIT_STATEMENTS_MAX 100000

struct script_statement {
	struct slice text; /* without the semicolon and what stands around it */
	unsigned line;     /* where it begins, from 1 */
	bool is_alone;
	struct slice done_when; /* n == 0: not said */
	struct slice lint_ok;   /* names of rules, as written */
};

struct script {
	struct script_statement *v;
	size_t n;
	bool no_transaction;
	struct slice undo; /* a file's name; n == 0: not said */
	bool undo_none;
};

/* Read all of `text`. 0, or -1 and *e (42601, 54000), which has the line; then *out is empty. */
int split_script(struct slice text, struct script *out, struct err *e) MUST_CHECK;
void script_fini(struct script *s);
/* Whether the rule is among those that the statement's lint_ok names. */
bool statement_allows(const struct script_statement *st, const char *rule);

#endif
