/* SPDX-License-Identifier: PostgreSQL
 *
 * From text to a statement: which command of the tables it is, and with which arguments. The syntax
 * strings of the tables are interpreted as they stand (command.h says how they are written), so
 * what HELP prints is what is accepted. Knows no command by name.
 */
#ifndef PROXY_ADMIN_GRAMMAR_H
#define PROXY_ADMIN_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "proxy/admin/command.h"
#include "proxy/admin/syntax.h"

#define ARGUMENTS_MAX SYNTAX_CAPTURES_MAX

struct argument {
	struct slice name; /* placeholder or keyword, as the syntax string spells it */
	char *value;       /* owned; NULL: a keyword, or a parameter not bound yet */
	unsigned param;    /* $n, or 0 */
	bool rest;         /* more than one token: parameters stand in it as they were written */
};

struct statement {
	const struct command *command; /* NULL: nothing was said */
	struct argument args[ARGUMENTS_MAX];
	unsigned nargs;
	unsigned nparams;         /* highest $n */
	char *text;               /* owned; as it was said, for commands that keep it */
	struct column own_column; /* of commands that describe themselves */
	char own_name[64];
};

/* A statement is not moved once it is filled in (own_column points into it).
 *
 * Cut the first statement (up to a semicolon or the end) from *text and recognise it. 0 and *out
 * (fini it), with command NULL where it was empty; or -1 and *e: 42601 with what is nearest, 54000
 * for one that is too long. *text stands behind the statement. */
int statement_parse(struct slice *text, const struct command_table *const *tables,
		    struct statement *out, struct err *e) MUST_CHECK;
/* A copy with values in place of parameters; values[i] is that of $(i + 1), NULL for SQL NULL. -1
 * and *e (22004) for a NULL that is used. */
int statement_bind(const struct statement *st, char *const *values, size_t n, struct statement *out,
		   struct err *e) MUST_CHECK;
void statement_fini(struct statement *st);

const char *statement_arg(const struct statement *st, const char *name);
bool statement_has(const struct statement *st, const char *keyword);
/* Columns of its answer, all of them where it says FULL; none where it answers with a tag alone. */
struct heading statement_heading(const struct statement *st);

#endif
