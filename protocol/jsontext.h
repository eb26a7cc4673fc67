/* SPDX-License-Identifier: PostgreSQL
 *
 * JSON as text (RFC 8259): read token by token from its beginning to its end, with no memory but
 * the reader's own 300 bytes, in time that is proportional to its length. What a token holds is a
 * slice of the text: nothing is copied, nothing becomes a tree.
 *
 * Tokens come in an order that makes JSON, or else JSONTEXT_BAD ends them.
 */
#ifndef PROTOCOL_JSONTEXT_H
#define PROTOCOL_JSONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define JSONTEXT_DEPTH_MAX 2048 /* lists and objects in each other */

enum jsontext_token {
	JSONTEXT_BAD, /* from here on nothing else: jsontext_wrong() */
	JSONTEXT_END,
	JSONTEXT_OBJECT, /* … and what is in it, JSONTEXT_NAME before each value, up to
			    JSONTEXT_OBJECT_END */
	JSONTEXT_OBJECT_END,
	JSONTEXT_LIST,
	JSONTEXT_LIST_END,
	JSONTEXT_NAME, /* … as JSONTEXT_STRING */
	JSONTEXT_STRING,
	JSONTEXT_NUMBER,
	JSONTEXT_TRUE,
	JSONTEXT_FALSE,
	JSONTEXT_NULL,
};

/* What texts of JSONTEXT_STRING may hold. */
enum jsontext_strings {
	JSONTEXT_ANY_STRINGS,  /* whatever the grammar allows */
	JSONTEXT_TEXT_STRINGS, /* what is text in UTF-8: no \u0000, no half of a surrogate pair */
};

struct jsontext {
	const char *begin, *p, *end;
	const char *wrong;
	unsigned depth, max_depth;
	uint8_t expect;
	uint8_t strings;
	uint8_t objects[JSONTEXT_DEPTH_MAX / 8]; /* a bit for each level that is open */
};

/* The text must outlive the reader. `max_depth` at most JSONTEXT_DEPTH_MAX. */
void jsontext_init(struct jsontext *j, struct slice text, unsigned max_depth,
		   enum jsontext_strings strings);
/* The next token and its text: of a name or string what stands between its quotes, as it stands
 * there. */
enum jsontext_token jsontext_next(struct jsontext *j, struct slice *text);
/* Behind the token that begins a value (not behind a JSONTEXT_NAME): its end, up to which all is
 * read. The text of the whole value, from where `first`, the text of that token, began.
 * JSONTEXT_BAD where there is no end; else `token`. */
enum jsontext_token jsontext_rest(struct jsontext *j, enum jsontext_token token,
				  struct slice *first);
/* What is wrong, and where (both counted from 1, columns in bytes). */
const char *jsontext_wrong(const struct jsontext *j, unsigned *line, unsigned *column);

bool jsontext_is_valid(struct slice text, unsigned max_depth, enum jsontext_strings strings);
bool jsontext_is_number(struct slice text);

/* What the text of a JSONTEXT_STRING means, which comes from a reader of JSONTEXT_TEXT_STRINGS: cut
 * the next piece from its front, a run of it as it stands there or what an escape is for (in
 * `store`). */
struct slice jsontext_piece(struct slice *string, char store[4]);
/* Append all of it. */
void jsontext_put(struct buf *b, struct slice string);
/* Whether it means that. */
bool jsontext_means(struct slice string, const char *text);

#endif
