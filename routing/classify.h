/* SPDX-License-Identifier: PostgreSQL
 *
 * Whether a text of SQL only reads, so that a standby can run it, and gives the same answer there
 * once it has replayed enough. It is parsed with PostgreSQL's own grammar (libpg_query), and every
 * part of the tree must be one that is known to read: what is not known writes. Functions,
 * operators and types are looked up by name: those that PostgreSQL brings along are known, others
 * by what the catalog of the database says (classify_catalog.h). Any other name may be anything,
 * and writes.
 *
 * A text that is wrongly taken for a read fails on the standby with 25006 and changes nothing.
 *
 * Costs some 10 to 100 us for a text and allocates; callers keep the answer. Any thread.
 * Source: PostgreSQL documentation, "Hot Standby: User's Overview"; libpg_query's README.
 */
#ifndef ROUTING_CLASSIFY_H
#define ROUTING_CLASSIFY_H

#include <stdbool.h>

#include "base/slice.h"

/* name, what is shown of it; of several reasons in one text the first counts */
/* clang-format off */
#define CLASSIFY_REASONS(R)                                                         \
	R(READ,        "reads only")                                                \
	R(READ_ONLY,   "opens a transaction that is READ ONLY")                     \
	R(UNPARSABLE,  "is not understood")                                         \
	R(TOO_LONG,    "is too long, or too deep, to be looked at")                               \
	R(TRANSACTION, "opens or ends a transaction that may write")                \
	R(BEGIN,       "opens a transaction that may write, for all that it says")  \
	R(STATEMENT,   "is no query")                                               \
	R(CHANGES,     "changes data")                                              \
	R(INTO,        "makes a table")                                             \
	R(LOCKS,       "locks rows")                                                \
	R(FUNCTION,    "calls a function that may write, or is not known")          \
	R(OPERATOR,    "has an operator that is not known")                         \
	R(TYPE,        "has a type that is not known")                              \
	R(RELATION,    "asks for what belongs to the server or the session")        \
	R(EXPRESSION,  "has a part that is not known")                              \
	R(MISJUDGED,   "was refused by a standby before")
/* clang-format on */

enum classify_reason {
#define R(name, text) CLASSIFY_##name,
	CLASSIFY_REASONS(R)
#undef R
	    CLASSIFY_REASON_COUNT
};

#define CLASSIFY_TEXT_MAX ((size_t)64 * 1024) /* longer texts are not looked at, nor deep ones */
#define CLASSIFY_WHAT_MAX 64

struct classify {
	enum classify_reason reason;
	char what[CLASSIFY_WHAT_MAX]; /* the function, the statement … that decided; "" */
};

struct classify_catalog;

/* All statements of the text together; one without any reads. `catalog`: of its database; NULL: not
 * known. */
void classify(struct slice sql, const struct classify_catalog *catalog, struct classify *out);
/* A name decided that the catalog may know. */
static inline bool
classify_is_of_names(enum classify_reason reason)
{
	return reason == CLASSIFY_FUNCTION || reason == CLASSIFY_OPERATOR ||
	       reason == CLASSIFY_TYPE;
}

static inline bool
classify_is_read(enum classify_reason reason)
{
	return reason == CLASSIFY_READ || reason == CLASSIFY_READ_ONLY;
}

const char *classify_reason_name(enum classify_reason reason); /* "read", "read only", "locks" … */
const char *classify_reason_text(enum classify_reason reason);

#endif
