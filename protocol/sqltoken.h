/* SPDX-License-Identifier: PostgreSQL
 *
 * The tokens of a text of SQL, as PostgreSQL's lexer cuts them where that matters to somebody who
 * only looks for words: comments (they nest), strings of every kind, quoted names, dollar quotes.
 * Numbers and operators are not told apart. Copies nothing, allocates nothing, never fails: what
 * has no end goes to the end of the text, which the server will refuse.
 *
 * Whether a backslash escapes in '…' hangs on standard_conforming_strings; the reader says which,
 * and is told where it would have made a difference.
 *
 * Grammar: PostgreSQL documentation, "Lexical Structure".
 */
#ifndef PROTOCOL_SQLTOKEN_H
#define PROTOCOL_SQLTOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* What a byte may be; a set. */
enum sqlbyte_kind {
	SQLBYTE_BLANK = 1 << 0,
	SQLBYTE_LETTER = 1 << 1, /* begins a word */
	SQLBYTE_DIGIT = 1 << 2,
	SQLBYTE_IN_WORD = 1 << 3,
	SQLBYTE_SPECIAL = 1 << 4, /* may begin something longer than itself */
	SQLBYTE_SEMICOLON = 1 << 5,
};

/* Where nothing of these stands, nothing begins that is of interest between statements' words. */
#define SQLBYTE_BEGINS (SQLBYTE_LETTER | SQLBYTE_SPECIAL | SQLBYTE_SEMICOLON)

extern const uint8_t sqltoken_kinds[256];

static inline unsigned
sqltoken_kind_of(char c)
{
	return sqltoken_kinds[(unsigned char)c];
}

struct sqltoken_scan {
	const char *p, *end;
	bool escapes;  /* backslashes escape in '…' */
	bool doubtful; /* there was a '…' for which that matters */
};

enum sqltoken_kind { SQLTOKEN_WORD, SQLTOKEN_NAME, SQLTOKEN_STRING, SQLTOKEN_MARK };

struct sqltoken {
	enum sqltoken_kind kind;
	char mark;         /* of SQLTOKEN_MARK: the byte; 0 for what is of no interest */
	bool exact;        /* text is what is meant: no escapes, no doubled quotes */
	struct slice text; /* without its quotes */
};

/* The next token; false at the end. */
bool sqltoken_next(struct sqltoken_scan *s, struct sqltoken *t);

#endif
