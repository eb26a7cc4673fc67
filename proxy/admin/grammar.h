/* SPDX-License-Identifier: PostgreSQL
 *
 * Parses a statement: which command of the tables it is, and with which arguments. The parser
 * interprets the syntax strings of the tables (command.h says how they are written), so what HELP
 * prints is what is accepted. It knows no command by name.
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
	bool rest;         /* several tokens, in which parameters are still written $n */
};

struct statement {
	const struct command *command; /* NULL: the statement is empty */
	struct argument args[ARGUMENTS_MAX];
	unsigned nargs;
	unsigned nparams;         /* highest $n */
	char *text;               /* owned; as the client sent it, for commands with keeps_text */
	struct column own_column; /* of commands with `describe` */
	char own_name[64];
};

/* A statement must not be moved once it is filled in (own_column points into it).
 *
 * Cuts the first statement (up to a semicolon or the end) from *text and recognises it. Returns 0
 * and *out (which the caller ends by statement_fini()), with command NULL where it was empty; or -1
 * and *e: 42601 with the nearest command as a hint, 54000 for one that is too long. Afterwards
 * *text is what follows the statement. */
int statement_parse(struct slice *text, const struct command_table *const *tables,
		    struct statement *out, struct err *e) MUST_CHECK;
/* Makes *out a copy with values in place of parameters; values[i] is that of $(i + 1), NULL for SQL
 * NULL. Returns -1 and *e (22004) for a NULL that the statement uses. */
int statement_bind(const struct statement *st, char *const *values, size_t n, struct statement *out,
		   struct err *e) MUST_CHECK;
void statement_fini(struct statement *st);

const char *statement_arg(const struct statement *st, const char *name);
bool statement_has(const struct statement *st, const char *keyword);
/* The columns of its answer: all of them where the statement says FULL, none where it answers with
 * a tag alone. */
struct heading statement_heading(const struct statement *st);

#endif
