/* SPDX-License-Identifier: PostgreSQL
 *
 * A recursive-descent parser's hands: one token of look-ahead over the console's lexer, keywords,
 * names, and "expected …" where something else stands. Used by migration/grammar.c only. An error
 * sticks: after it nothing is accepted.
 */
#ifndef MIGRATION_PARSER_H
#define MIGRATION_PARSER_H

#include <stdbool.h>

#include "migration/grammar.h"
#include "protocol/console_lexer.h"

struct parser {
	struct lexer lex;   /* behind `token` */
	struct token token; /* the next one */
	bool failed;
	struct err *e;
};

/* Each int: 0, or -1 and *p->e. Strings they give are the caller's. */
int parser_init(struct parser *p, struct slice text, struct err *e);
/* 42601: what stands here is not what was expected. */
int parser_fail(struct parser *p, const char *expected);
int parser_too_many(struct parser *p);
/* A keyword or a mark; past it where it stands here. */
bool parser_accept(struct parser *p, const char *word);
/* The same, only where a string follows it. */
bool parser_accept_before_string(struct parser *p, const char *word);
int parser_expect(struct parser *p, const char *word);
int parser_expect_end_of_list(struct parser *p);
/* A name as it stands: word, "name" or 'string'. */
int parser_name(struct parser *p, char **out, const char *expected);
int parser_string(struct parser *p, char **out, const char *expected);
int parser_value(struct parser *p, char **out);
/* Names of SQL's: folded to lower case unless quoted. */
int parser_column(struct parser *p, char **out);
int parser_table(struct parser *p, struct spec_name *out);
/* Nothing but a semicolon follows. */
int parser_end(struct parser *p, const char *expected);

#endif
