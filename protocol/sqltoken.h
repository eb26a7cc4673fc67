/* SPDX-License-Identifier: PostgreSQL
 *
 * The one scanner of SQL: it cuts a text into tokens as PostgreSQL's lexer does, as far as that
 * matters to a reader who looks for words and values: comments (they nest), strings of every kind,
 * quoted names, dollar quotes, parameters. Operators are single marks. What reads SQL rests on it:
 * settings, effects, fingerprints, DEALLOCATE, the files and catalogs of migrations, and, with
 * wider words (console_lexer.h), the console. Copies nothing, allocates nothing, never fails: what
 * has no end goes to the end of the text, which the server will refuse.
 *
 * Whether a backslash escapes in '…' depends on standard_conforming_strings; the reader says which,
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
	const char *endless; /* what begins here (comment, string, name) has no end; or NULL */
	bool escapes;        /* backslashes escape in '…' */
	bool doubtful;       /* there was a '…' for which that matters */
};

static inline struct sqltoken_scan
sqltoken_begin(struct slice sql)
{
	return (struct sqltoken_scan){ .p = sql.p, .end = sql.n > 0 ? sql.p + sql.n : sql.p };
}

enum sqltoken_kind {
	SQLTOKEN_WORD,
	SQLTOKEN_NAME, /* "…", U&"…" */
	SQLTOKEN_STRING, /* '…', E'…', U&'…', $tag$…$tag$; B, N and X in front of '…' are words */
	SQLTOKEN_MARK,
};

struct sqltoken {
	enum sqltoken_kind kind;
	char mark;        /* of SQLTOKEN_MARK: its byte; '0': a number, '$': a parameter ($1), which
			     `text` shows; '\0': a byte that is of no interest */
	bool exact;       /* text is what is meant: no escapes, no doubled quotes */
	const char *from; /* where it begins, its quotes included; it ends at scan.p */
	struct slice text; /* without its quotes */
};

/* The next token; false at the end. */
bool sqltoken_next(struct sqltoken_scan *s, struct sqltoken *t);
/* Past the one blank or comment that begins at s->p, which is not the end; false: something else
 * begins there. */
bool sqltoken_skip_blank(struct sqltoken_scan *s);
/* What a WORD, a NAME or a STRING means, doubled quotes and escapes resolved; words keep their
 * case, backslashes in '…' are taken as they are. Its length is never greater than the text's; the
 * first `size` bytes of it are written. SIZE_MAX: it is not resolved (a U& form, \u, a NUL, a
 * string that goes on behind a line's end). */
size_t sqltoken_value(const struct sqltoken *t, char *to, size_t size);

static inline bool
sqltoken_is_word(const struct sqltoken *t, const char *word)
{
	return t->kind == SQLTOKEN_WORD && slice_is_nocase(t->text, word);
}

static inline bool
sqltoken_is_mark(const struct sqltoken *t, char mark)
{
	return t->kind == SQLTOKEN_MARK && t->mark == mark;
}

#endif
