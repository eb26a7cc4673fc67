/* SPDX-License-Identifier: PostgreSQL
 *
 * What the two files of protocol/flow.h share:
 *
 *   flow.c        the following of the two streams, and what each message does
 *   flow_owed.c   what the server owes: the queue of units, errors, and what is known of it all
 */
#ifndef PROTOCOL_FLOW_INT_H
#define PROTOCOL_FLOW_INT_H

#include "base/hot.h"
#include "protocol/flow.h"

#define FLOW_UNIT_BITS     4
#define FLOW_QUEUE_MAX     16
#define FLOW_SWALLOWED_MAX 15
#define FLOW_SAID_MANY     254 /* so many or more … */
#define FLOW_SAID_UNKNOWN  255

/* What is owed: the entries of `queue`. */
enum unit {
	UNIT_SYNC,
	UNIT_BARE_SYNC, /* with nothing since the one before */
	UNIT_QUERY,
	UNIT_QUERY_ENDED,  /* … and, behind it, a CopyDone sent before CopyInResponse was seen */
	UNIT_MARK,         /* such a CopyDone in an extended-query sequence; it owes nothing */
	UNIT_MARK_BEHIND,  /* … behind the Sync of that sequence; it goes with that one */
	UNIT_QUERY_BEHIND, /* with extended messages in front */
	UNIT_DOUBT,        /* such a one that may have been discarded */
	UNIT_DOUBT_SYNC,   /* a BARE_SYNC, or what stands in front of it, is answered */
};

static inline enum unit
unit_at(const struct flow *f, unsigned i)
{
	return (enum unit)(f->queue >> (FLOW_UNIT_BITS * i) & 15);
}

static inline void
unit_set(struct flow *f, unsigned i, enum unit u)
{
	f->queue &= ~((uint64_t)15 << (FLOW_UNIT_BITS * i));
	f->queue |= (uint64_t)u << (FLOW_UNIT_BITS * i);
}

static inline bool
unit_is_sync(enum unit u)
{
	return u == UNIT_SYNC || u == UNIT_BARE_SYNC;
}

static inline bool
unit_is_mark(enum unit u)
{
	return u == UNIT_MARK || u == UNIT_MARK_BEHIND;
}

static inline bool
unit_is_query(enum unit u)
{
	return u == UNIT_QUERY || u == UNIT_QUERY_ENDED || u == UNIT_QUERY_BEHIND;
}

/* The server is in the middle of extended-query messages, and a Sync must follow. */
static inline bool
flow_is_open(const struct flow *f)
{
	return f->open || f->reopened || f->skip;
}

void unit_add(struct flow *f, enum unit u);
void unit_remove(struct flow *f, unsigned i);
void units_forget(struct flow *f);

/* One more ReadyForQuery; most often the only one. */
void owe_more(struct flow *f, enum unit u);

static HOT_INLINE void
owe(struct flow *f, enum unit u)
{
	if (UNLIKELY(f->pending > 0 || f->queued > 0)) {
		owe_more(f, u);
		return;
	}
	f->pending = f->queued = 1;
	f->queue = u;
}

/* … for a Query, or FunctionCall, with extended messages in front. */
void owe_behind(struct flow *f);
/* A Sync that the server is taken to ignore. */
void owe_not(struct flow *f);
/* All that is owed may have been discarded by the server … */
bool owed_in_doubt(const struct flow *f);
/* … and was: the client goes on, and the server would have answered before. */
void owed_no_more(struct flow *f);
/* One ReadyForQuery has come; most often the only one that was owed. */
void owed_settle_more(struct flow *f);

static HOT_INLINE void
owed_settle(struct flow *f)
{
	if (UNLIKELY(f->pending != 1 || f->queued != 1 || f->unsure > 0 || f->queue >= UNIT_MARK)) {
		owed_settle_more(f);
		return;
	}
	f->pending = f->queued = 0;
	f->queue = 0;
	f->beyond = 0;
	f->swallowed = 0;
}

/* An ErrorResponse has begun: what the server discards is not owed. FLOW_DISCARDED, FLOW_OWN or 0.
 */
unsigned owed_blame(struct flow *f);

#endif
