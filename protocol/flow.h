/* SPDX-License-Identifier: PostgreSQL
 *
 * Follows both directions of a live session while its bytes stream by: pipeline depth, transaction
 * status, COPY, and with them the one question that matters, "may this session be moved now?".
 * Sees message headers only (and the status byte of ReadyForQuery, and severity and SQLSTATE of
 * ErrorResponse, which it also tallies for statistics); never buffers a message, never allocates,
 * never calls back. It does not judge the protocol: what it does not know it skips by its length,
 * so that the server has the last word; where the client has said it, the server is taken to owe
 * that.
 *
 * The state after k bytes of one direction and j of the other depends on those bytes and on how the
 * two directions were interleaved, never on how they were cut into calls.
 *
 * Feed each direction's bytes in the order in which they are sent on. Start it when the login is
 * over, that is with the byte behind the first ReadyForQuery; to start earlier, say
 * flow_expect_ready() first.
 *
 * The reasoning about COPY, Sync and error skipping stands in flow_owed.c. Format: PostgreSQL
 * documentation, "Message Flow" and "Message Formats".
 */
#ifndef PROTOCOL_FLOW_H
#define PROTOCOL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/startup.h"

/* What happened in one call; a set. */
enum flow_event {
	FLOW_READY = 1 << 0,     /* a ReadyForQuery has passed */
	FLOW_QUERY = 1 << 1,     /* the client sent a Query, FunctionCall or Execute */
	FLOW_ERROR = 1 << 2,     /* an ErrorResponse has begun */
	FLOW_FATAL = 1 << 3,     /* an ErrorResponse of severity FATAL or PANIC has passed */
	FLOW_TERMINATE = 1 << 4, /* the client said Terminate */
	FLOW_COPY = 1 << 5,      /* COPY in, out or both has begun */
	FLOW_PARAMETER = 1 << 7, /* a ParameterStatus has begun */
	FLOW_BAD = 1 << 6, /* not the protocol; sticks: this direction is not followed any more */
	FLOW_UNANSWERED = 1 << 8, /* FLOW_ERROR, and nothing since the last ReadyForQuery answers */
	/* FLOW_ERROR, with a Query or FunctionCall behind messages without a Sync: it was that of
	 * one of those, and the Query is discarded; or it was the Query's own. Neither: not known.
	 */
	FLOW_DISCARDED = 1 << 9,
	FLOW_OWN = 1 << 10,
};

enum flow_activity {
	FLOW_IDLE,
	FLOW_ACTIVE,
	FLOW_IN_TRANSACTION,
	FLOW_IN_FAILED_TRANSACTION,
	FLOW_COPYING,
	FLOW_REPLICATING,
};

enum flow_copy {
	FLOW_COPY_NONE,
	FLOW_COPY_IN,       /* the server reads CopyData */
	FLOW_COPY_IN_ENDED, /* … and the client has sent CopyDone or CopyFail */
	FLOW_COPY_OUT,
	FLOW_COPY_BOTH, /* streaming replication */
};

#define FLOW_TALLY_MAX 8

/* What has passed in one call and is worth counting. */
struct flow_tally {
	unsigned
	    transactions; /* ReadyForQuery messages outside a transaction: so many have ended */
	unsigned errors;  /* ErrorResponse messages that were complete with this call … */
	char sqlstates[FLOW_TALLY_MAX][5]; /* … and the codes of the first of them; zeros: none */
	/* only with FLOW_BAD: bytes in front of the message that is none; SIZE_MAX: it has begun in
	 * an earlier call */
	size_t good;
};

/* One direction. */
struct flow_side {
	uint32_t left;    /* bytes of the current body still to come */
	uint8_t have : 3; /* bytes of a header that was cut by the end of a read */
	uint8_t at : 4;   /* in an ErrorResponse: how far into the value of a field */
	uint8_t bad : 1;
	uint8_t head[5]; /* the bytes of that header */
	uint8_t type;    /* of the current body, where its bytes are looked at; else 0 */
	uint8_t said;    /* so many messages of a kind, up to a limit (flow_owed.c) */
};

/* One cache line. Only the two counters are for reading; the rest has functions. */
struct flow {
	struct flow_side client;
	struct flow_side server;
	uint64_t simple;     /* counter: Query and FunctionCall messages */
	uint64_t extended;   /* counter: Execute messages */
	uint64_t queue;      /* what the client awaits, oldest first, 4 bits each (flow_owed.c) */
	uint32_t pending;    /* ReadyForQuery messages still owed by the server */
	uint8_t queued;      /* entries in queue */
	uint8_t copy;        /* enum flow_copy */
	char tx;             /* last status byte: I, T, E */
	uint8_t error_field; /* where in an ErrorResponse we are: field type, 0 between fields */
	uint8_t
	    behind; /* answers due in front of the oldest Query that has them due (flow_owed.c) */
	char sqlstate[5];        /* of the last ErrorResponse; zeros before the first */
	uint16_t beyond : 1;     /* more is awaited than queue can hold */
	uint16_t open : 1;       /* extended-protocol messages were sent, and no Sync since */
	uint16_t reopened : 1;   /* … or one, but the server has ignored it (swallowed) */
	uint16_t skip : 1;       /* the server discards messages until Sync */
	uint16_t swallowed : 4;  /* Sync messages that went into a COPY's data: no answer is due */
	uint16_t unsure : 2;     /* rounds to wait until pending can be trusted again */
	uint16_t told : 1;       /* flow_be_told() */
	uint16_t fatal : 1;      /* severity of the ErrorResponse that is passing … */
	uint16_t fatal_sure : 1; /* … known from its unlocalised field */
	uint16_t terminated : 1;
	uint16_t replication : 2; /* enum replication */
};

void flow_init(struct flow *f, enum replication kind);
/* Whose errors those are that come is not to be told by the answers: what passes here is not all
 * that is sent and answered, and somebody else knows the rest, flow_forgive(), flow_assure(); or
 * the server answers a Query with ReadyForQuery even where it discards it (CockroachDB). For good.
 */
void flow_be_told(struct flow *f);
/* The server owes one more ReadyForQuery, for something that did not pass through flow_client():
 * the end of the login, or a query of our own. */
void flow_expect_ready(struct flow *f);

/* The server has discarded n of the Query and FunctionCall messages that it was taken to owe an
 * answer to, for an error of extended-query messages in front of them; with `skips` it goes on to
 * discard, up to a Sync that is yet to come. For who knows more of what was sent than is kept here.
 */
void flow_forgive(struct flow *f, uint32_t n, bool skips);

/* The server has not discarded the oldest message that it is taken to owe an answer to: where that
 * is in doubt, it is not any more. For the same. */
void flow_assure(struct flow *f);

/* The server is another one: nothing is owed, no transaction is open. The counters go on. */
void flow_restart(struct flow *f);

/* Follow n bytes of one direction. Returns a set of enum flow_event. `tally`, if there is one, is
 * added to: clear its two counts first. */
unsigned flow_client(struct flow *f, const char *p, size_t n);
unsigned flow_server(struct flow *f, const char *p, size_t n, struct flow_tally *tally);

/* No header and no body is half way through. */
static inline bool
flow_at_client_boundary(const struct flow *f)
{
	return f->client.left == 0 && f->client.have == 0;
}

static inline bool
flow_at_server_boundary(const struct flow *f)
{
	return f->server.left == 0 && f->server.have == 0;
}

/* ReadyForQuery messages the server still owes. */
static inline uint32_t
flow_pending(const struct flow *f)
{
	return f->pending;
}

/* As far as we know, the server refuses what comes next, or passes over it: it is in a failed
 * transaction, or waits for a Sync. */
static inline bool
flow_refuses(const struct flow *f)
{
	return f->skip || (f->tx == 'E' && f->pending == 0);
}

/* The server has something to answer, or to be told. */
bool flow_owes(const struct flow *f);
/* It has neither, beyond doubt, and the client is not in the middle of a message. */
bool flow_is_settled(const struct flow *f);
/* One Query and nothing else is to be answered. */
bool flow_awaits_query(const struct flow *f);
/* How many of the next n bytes of one direction belong to a message that has begun before them. */
size_t flow_client_rest(const struct flow *f, const char *p, size_t n);
size_t flow_server_rest(const struct flow *f, const char *p, size_t n);
/* How many Syncs that were sent a CopyInResponse has the server ignore, where it comes behind
 * `told` more of what is owed: ReadyForQuery messages, and Syncs that one in front of it has it
 * ignore. */
unsigned flow_ignored_syncs(const struct flow *f, unsigned told);
/* How many bytes end the server's message that is half through, or its header where that is; 0:
 * none is. */
size_t flow_server_left(const struct flow *f);
/* The server's next n bytes complete a ReadyForQuery that has begun before them. */
bool flow_server_ends_ready(const struct flow *f, size_t n);

/* The server discards what the client sends, up to a Sync. */
static inline bool
flow_skips(const struct flow *f)
{
	return f->skip;
}

/* 'I', 'T' or 'E', as of the last ReadyForQuery. */
static inline char
flow_tx_status(const struct flow *f)
{
	return f->tx;
}

/* The server owes nothing, the client is in the middle of nothing, no transaction is open. */
bool flow_is_idle(const struct flow *f);
/* The server may have discarded all that it is taken to owe, and wait for a Sync: the client has
 * heard of an error, and at most a ReadyForQuery is still to come, which would not take long. */
bool flow_is_in_doubt(const struct flow *f);
/* It has, and waits for one: the client heard of an error, and of the Query that was discarded with
 * what failed it will hear nothing, unless it says Sync. It has said nothing since. */
bool flow_is_stranded(const struct flow *f);
/* The server connection may be exchanged now: idle beyond doubt, not a replication session, and
 * the client has not said Terminate. (What the session has set up on the server is not known here.)
 */
bool flow_safe_point(const struct flow *f);
enum flow_activity flow_activity(const struct flow *f);
/* "idle", "active", "idle in transaction", "idle in transaction (aborted)", "copy", "replication"
 */
const char *flow_activity_name(enum flow_activity a);

#endif
