/* SPDX-License-Identifier: PostgreSQL
 *
 * Why a transaction of a session with reads = nearest runs nearby, or at home: what its text says
 * (routing/classify.h), and what the session and the map say besides.
 */
#ifndef PROXY_READS_REASONS_H
#define PROXY_READS_REASONS_H

#include <stdbool.h>

#include "routing/classify.h"

/* clang-format off */
#define READS_REASONS(R)                                                                        \
	R(PROTOCOL,     "is asked by Flush, FunctionCall or COPY, or in pieces too large to keep") \
	R(PREPARED,     "runs a prepared statement that is not known")                          \
	R(SERIALIZABLE, "would be SERIALIZABLE, which no standby can be")                       \
	R(NO_NEARER,    "reads, but no usable standby of its cluster is nearer than home")      \
	R(NO_POSITION,  "reads, but how far the session has seen its data is not known")        \
	R(LOST,     "reads, but what the session has seen was lost in a fail-over, or of an "  \
			"earlier timeline whose end is not known")                               \
	R(PINNED, "is of a session that home keeps something for: a temporary table, a lock, "   \
		  "a channel that it listens on")                                                \
	R(BEHIND,       "reads, but the standby nearby had not replayed enough")                \
	R(REFUSED, "was taken for a read, and refused by the standby")
/* clang-format on */

/* Behind those of enum classify_reason. */
enum reads_reason {
	READS_BEFORE_FIRST = CLASSIFY_REASON_COUNT - 1, /* counts on from there */
#define R(name, text) READS_##name,
	READS_REASONS(R)
#undef R
	    READS_REASON_COUNT
};

/* It runs nearby for that reason. */
static inline bool
reads_is_near(unsigned reason)
{
	return reason < CLASSIFY_REASON_COUNT && classify_is_read((enum classify_reason)reason);
}

const char *reads_reason_name(unsigned reason); /* as an identifier: "for_function", "behind" … */
const char *reads_reason_text(unsigned reason);

#endif
