/* SPDX-License-Identifier: PostgreSQL
 *
 * Matches tokens against a syntax string (command.h says how one is written), which is interpreted
 * as it stands. Knows neither commands nor values. Syntax strings are our own: a malformed one is a
 * bug.
 */
#ifndef PROXY_ADMIN_SYNTAX_H
#define PROXY_ADMIN_SYNTAX_H

#include <stdbool.h>

#include "base/slice.h"
#include "protocol/console_lexer.h"

#define SYNTAX_TOKENS_MAX   64
#define SYNTAX_CAPTURES_MAX 16

/* A token that stands where the syntax has a placeholder, or a keyword of the arguments. */
struct capture {
	struct slice name;
	unsigned token; /* index */
	bool keyword;
	bool rest; /* the value goes on to the end of the statement */
};

/* The caller fills in the tokens (n of them; one more than SYNTAX_TOKENS_MAX stands for many, and
 * matches nothing but the rest of a statement) and where their text ends. */
struct matcher {
	struct token tokens[SYNTAX_TOKENS_MAX + 1];
	unsigned n, at;
	unsigned furthest; /* token that no alternative got beyond */
	struct capture captures[SYNTAX_CAPTURES_MAX];
	unsigned ncaptures;
	bool in_args;    /* keywords are kept from here on */
	const char *end; /* of the statement's text */
};

/* All tokens against `words`, then `args` (NULL: none); fills captures and furthest. */
bool syntax_match(struct matcher *m, const char *words, const char *args);
/* How many keywords there are in a string of keywords. */
unsigned syntax_count_words(const char *words);

#endif
