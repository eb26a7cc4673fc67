/* SPDX-License-Identifier: PostgreSQL
 *
 * What the two files of protocol/exchange.h share:
 *
 *   exchange.c        the following of the two streams, and what each message does
 *   exchange_rounds.c   what is outstanding: the queue of rounds, errors, and what is known of it
 * all
 */
#ifndef PROTOCOL_EXCHANGE_INT_H
#define PROTOCOL_EXCHANGE_INT_H

#include "base/hot.h"
#include "protocol/exchange.h"

#define ROUND_BITS    4
#define ROUNDS_MAX    16
#define IGNORED_MAX   15
#define COUNT_MANY    254 /* so many or more … */
#define COUNT_UNKNOWN 255

/* The rounds that are outstanding: the entries of `queue`. */
enum round {
	ROUND_SYNC,
	ROUND_BARE_SYNC, /* with nothing since the one before */
	ROUND_QUERY,
	ROUND_QUERY_ENDED, /* … and, behind it, a CopyDone sent before CopyInResponse was seen */
	ROUND_COPY_END,    /* such a CopyDone in an extended-query sequence; nothing answers it */
	ROUND_COPY_END_BEHIND,   /* … behind the Sync of that sequence; it goes with that one */
	ROUND_QUERY_IN_SEQUENCE, /* with extended messages in front */
	ROUND_QUERY_IN_DOUBT,    /* such a one that may have been discarded */
	ROUND_SYNC_IN_DOUBT,     /* a BARE_SYNC, or what stands in front of it, is answered */
};

static inline enum round
round_at(const struct exchange *x, unsigned i)
{
	return (enum round)(x->queue >> (ROUND_BITS * i) & 15);
}

static inline void
round_set(struct exchange *x, unsigned i, enum round u)
{
	x->queue &= ~((uint64_t)15 << (ROUND_BITS * i));
	x->queue |= (uint64_t)u << (ROUND_BITS * i);
}

static inline bool
round_is_sync(enum round u)
{
	return u == ROUND_SYNC || u == ROUND_BARE_SYNC;
}

static inline bool
round_is_copy_end(enum round u)
{
	return u == ROUND_COPY_END || u == ROUND_COPY_END_BEHIND;
}

static inline bool
round_is_query(enum round u)
{
	return u == ROUND_QUERY || u == ROUND_QUERY_ENDED || u == ROUND_QUERY_IN_SEQUENCE;
}

/* The server is in the middle of extended-query messages, and a Sync must follow. */
static inline bool
exchange_is_open(const struct exchange *x)
{
	return x->open || x->reopened || x->skip;
}

void round_add(struct exchange *x, enum round u);
void round_remove(struct exchange *x, unsigned i);
void rounds_forget(struct exchange *x);

/* One more ReadyForQuery; most often the only one. */
void await_round_slow(struct exchange *x, enum round u);

static HOT_INLINE void
await_round(struct exchange *x, enum round u)
{
	if (UNLIKELY(x->pending > 0 || x->queued > 0)) {
		await_round_slow(x, u);
		return;
	}
	x->pending = x->queued = 1;
	x->queue = u;
}

/* … for a Query, or FunctionCall, with extended messages in front. */
void await_query_in_sequence(struct exchange *x);
/* A Sync that the server is taken to ignore. */
void ignore_sync(struct exchange *x);
/* All that is owed may have been discarded by the server … */
bool rounds_in_doubt(const struct exchange *x);
/* … and was: the client goes on, and the server would have answered before. */
void rounds_drop(struct exchange *x);
/* One ReadyForQuery has come; most often the only one that was outstanding. */
void round_answered_slow(struct exchange *x);

static HOT_INLINE void
round_answered(struct exchange *x)
{
	if (UNLIKELY(x->pending != 1 || x->queued != 1 || x->unsure > 0 ||
		     x->queue >= ROUND_COPY_END)) {
		round_answered_slow(x);
		return;
	}
	x->pending = x->queued = 0;
	x->queue = 0;
	x->beyond = 0;
	x->ignored = 0;
}

/* An ErrorResponse has begun: what the server discards is not outstanding. EXCHANGE_DISCARDED,
 * EXCHANGE_OWN or 0.
 */
unsigned attribute_error(struct exchange *x);

#endif
