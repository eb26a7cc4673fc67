/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client says outside a transaction, cut into units: what belongs together and is to run on
 * one server. A unit is a Query, a FunctionCall, or the messages of the extended protocol up to
 * their Sync. Pure: bytes in, the first unit's length and what it is out.
 *
 * Source: PostgreSQL documentation, "Message Flow: Simple Query", "Extended Query".
 */
#ifndef PROXY_READS_UNITS_H
#define PROXY_READS_UNITS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct unit {
	size_t n;        /* bytes: only where it reads */
	unsigned reason; /* enum classify_reason or enum reads_reason */
	unsigned runs;   /* so many statements; of a query with more behind a ';': 2 */
};

/* What the caller knows of texts: enum classify_reason of one, and the text of what the client has
 * prepared under a name (false: not known). */
struct unit_judge {
	enum classify_reason (*text)(void *arg, struct slice sql);
	bool (*prepared)(void *arg, struct slice name, struct slice *sql);
	void *arg;
};

/* MORE: it is not over, and what there is of it reads. DONE: *out; where it does not read, it need
 * not be over. */
enum parse units_cut(struct slice in, const struct unit_judge *judge, struct unit *out) MUST_CHECK;
/* One that runs no more than one statement, so that what is sent behind it is read behind it (COPY
 * reads what comes), and not in a transaction that it has opened. */
bool units_is_single(struct slice unit);
/* … and that is COMMIT or ROLLBACK, as drivers say it. */
bool units_ends_transaction(struct slice unit);
/* How long the first unit is, whatever it says; 0: it is not over. */
size_t units_length(struct slice in);
/* A message of that type ends a unit: it is answered by ReadyForQuery. */
bool units_is_end(char type);
/* The text of its i-th Execute, or of its Query, 0-based. False: that is not known. */
bool units_executed_text(struct slice unit, const struct unit_judge *judge, size_t i,
			 struct slice *sql);
/* Take the next text off the messages of a unit. False: there is none. */
bool units_next_text(struct slice *unit, struct slice *sql);

#endif
