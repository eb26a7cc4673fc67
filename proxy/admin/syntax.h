/* SPDX-License-Identifier: PostgreSQL
 *
 * Matches tokens against a syntax string (command.h says how one is written). This module knows
 * neither commands nor values. Syntax strings are part of the program: a malformed one is a bug.
 */
#ifndef PROXY_ADMIN_SYNTAX_H
#define PROXY_ADMIN_SYNTAX_H

#include <stdbool.h>

#include "base/slice.h"
#include "protocol/console_lexer.h"

#define SYNTAX_TOKENS_MAX   64
#define SYNTAX_CAPTURES_MAX 16

/* A token that matched a placeholder, or a keyword of the arguments. */
struct capture {
	struct slice name;
	unsigned token; /* index */
	bool keyword;
	bool rest; /* the value reaches to the end of the statement */
};

/* The caller fills in the n tokens and the end of their text. A statement with too many tokens has
 * n = SYNTAX_TOKENS_MAX + 1, and matches nothing but the rest of a statement. */
struct matcher {
	struct token tokens[SYNTAX_TOKENS_MAX + 1];
	unsigned n, at;
	unsigned furthest; /* the last token that any alternative has reached */
	struct capture captures[SYNTAX_CAPTURES_MAX];
	unsigned ncaptures;
	bool in_args;    /* keywords are captured from here on */
	const char *end; /* of the statement's text */
};

/* Matches all tokens against `words`, then `args` (NULL: none); fills in captures and furthest. */
bool syntax_match(struct matcher *m, const char *words, const char *args);
/* The number of keywords in a string of keywords. */
unsigned syntax_count_words(const char *words);

#endif
