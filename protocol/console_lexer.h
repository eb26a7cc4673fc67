/* SPDX-License-Identifier: PostgreSQL
 *
 * Cuts what an operator typed into tokens. Lexical rules are SQL's where SQL has them: 'strings'
 * with
 * '' inside, E'strings' with backslashes, "names", $1, -- and nested block comments. Bare words are
 * wider than SQL's, so that us-east1, db1:5432, 10.0.0.0/8 and 2.5s need no quotes. Knows no
 * command.
 *
 * Source: PostgreSQL documentation, "Lexical Structure".
 */
#ifndef PROTOCOL_CONSOLE_LEXER_H
#define PROTOCOL_CONSOLE_LEXER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum token_kind {
	TOKEN_END,
	TOKEN_SEMICOLON,
	TOKEN_WORD,   /* keyword, name or number */
	TOKEN_NAME,   /* "name" */
	TOKEN_STRING, /* 'string' or E'string' */
	TOKEN_PARAM,  /* $1 */
	TOKEN_PUNCT,  /* one of ( ) , = */
};

struct token {
	enum token_kind kind;
	struct slice text; /* as written, quotes included */
	unsigned param;    /* TOKEN_PARAM: 1 … LEXER_PARAM_MAX */
};

#define LEXER_PARAM_MAX 1000

struct lexer {
	struct slice rest;
};

/* The next token; -1 and *e (42601) for a string, name or comment that does not end. Past the end
 * it keeps answering TOKEN_END. */
int lexer_next(struct lexer *l, struct token *out, struct err *e) MUST_CHECK;
/* Append the value of a WORD, NAME or STRING without its quotes; -1 and *e where an escape makes no
 * valid text. */
int token_value(const struct token *t, struct buf *out, struct err *e) MUST_CHECK;

#endif
