/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files of protocol/exchange.h share:
 *
 *   exchange.c          the following of the two streams, and what each message does
 *   exchange_rounds.c   the compact form: the queue of rounds, errors, and what is known of it all
 *   exchange_list.c     the listed form: the list, and what messages do to it
 *   exchange_filter.c   … and the server's bytes
 */
#ifndef PROTOCOL_EXCHANGE_INT_H
#define PROTOCOL_EXCHANGE_INT_H

#include "base/buf.h"
#include "base/hot.h"
#include "protocol/exchange.h"
#include "protocol/exchange_list_int.h"

#define ROUND_BITS    4
#define ROUNDS_MAX    16
#define IGNORED_MAX   7
#define COUNT_MANY    254 /* so many or more … */
#define COUNT_UNKNOWN 255
#define LENGTH_MAX    ((uint32_t)INT32_MAX)

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

static inline const uint64_t *
rounds_of(const struct exchange *x)
{
	return x->listed ? &x->list->rounds : &x->queue;
}

/* ReadyForQuery messages that are to come for the rounds; what is listed has others. */
static inline uint32_t
rounds_pending(const struct exchange *x)
{
	return x->listed ? x->pending - x->list->ends : x->pending;
}

static inline enum round
round_at(const struct exchange *x, unsigned i)
{
	return (enum round)(*rounds_of(x) >> (ROUND_BITS * i) & 15);
}

static inline void
rounds_put(struct exchange *x, uint64_t rounds)
{
	if (x->listed)
		x->list->rounds = rounds;
	else
		x->queue = rounds;
}

static inline void
round_set(struct exchange *x, unsigned i, enum round u)
{
	uint64_t others = *rounds_of(x) & ~((uint64_t)15 << (ROUND_BITS * i));

	rounds_put(x, others | (uint64_t)u << (ROUND_BITS * i));
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
/* All that is outstanding may have been discarded by the server … */
bool rounds_in_doubt(const struct exchange *x);
/* … and was: the client goes on, and the server would have answered before. */
void rounds_drop(struct exchange *x);

/* The client says Sync … */
static HOT_INLINE void
doubt_ends_with_sync(struct exchange *x)
{
	if (UNLIKELY(x->pending == 1) && rounds_in_doubt(x))
		rounds_drop(x);
}

/* … or Query. */
static HOT_INLINE void
doubt_ends_with_query(struct exchange *x)
{
	if (UNLIKELY(x->pending == 1) && rounds_in_doubt(x) &&
	    round_at(x, 0) == ROUND_SYNC_IN_DOUBT)
		rounds_drop(x);
}
/* One ReadyForQuery has come; most often the only one that was outstanding. */
void round_answered_slow(struct exchange *x);

static HOT_INLINE void
round_answered(struct exchange *x)
{
	if (UNLIKELY(x->pending != 1 || x->queued != 1 || x->unsure > 0 || x->doubted ||
		     x->queue >= ROUND_COPY_END)) {
		round_answered_slow(x);
		return;
	}
	x->pending = x->queued = 0;
	x->queue = 0;
	x->beyond = 0;
	x->ignored = 0;
}

/* ---- exchange.c: what both forms do ---- */

/* A header is there, and the body begins. False: it is none. */
static HOT_INLINE bool
begin_body(struct exchange_side *side, const uint8_t *head)
{
	uint32_t len = get_u32(head + 1);

	if (UNLIKELY(len < 4 || len > LENGTH_MAX)) {
		side->bad = true;
		return false;
	}
	side->left = len - 4;
	side->type = 0;
	return true;
}

static HOT_INLINE void
count_message(struct exchange_side *side)
{
	if (!UNLIKELY(side->count >= COUNT_MANY))
		side->count++;
}

/* A message of an extended query, or what the server takes for one. */
static HOT_INLINE void
begin_sequence(struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_IN)
		x->copy = EXCHANGE_COPY_IN_ENDED;
	x->open = 1;
}

/* CopyDone or CopyFail, of the rounds. */
unsigned exchange_on_copy_end(struct exchange *x);
/* A header of the server's has passed. */
unsigned on_server_message(struct exchange *x, uint8_t type);
/* n > 0 bytes of a body of the server's whose type is to be looked at; `last`: it ends with them.
 */
unsigned look_at_server_body(struct exchange *x, struct slice part, bool last,
			     struct exchange_tally *tally);

/* ---- errors ---- */

/* An ErrorResponse has begun: what the server discards is not outstanding. */
void attribute_error(struct exchange *x);

#endif
