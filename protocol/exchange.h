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
 * exchange_expect_ready() first.
 *
 * The reasoning about COPY, Sync and error skipping stands in exchange_rounds.c. Format: PostgreSQL
 * documentation, "Message Flow" and "Message Formats".
 */
#ifndef PROTOCOL_EXCHANGE_H
#define PROTOCOL_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/frame.h"
#include "protocol/startup.h"

/* What happened in one call; a set. */
enum exchange_event {
	EXCHANGE_READY = 1 << 0,     /* a ReadyForQuery has passed */
	EXCHANGE_QUERY = 1 << 1,     /* the client sent a Query, FunctionCall or Execute */
	EXCHANGE_ERROR = 1 << 2,     /* an ErrorResponse has begun */
	EXCHANGE_FATAL = 1 << 3,     /* an ErrorResponse of severity FATAL or PANIC has passed */
	EXCHANGE_TERMINATE = 1 << 4, /* the client said Terminate */
	EXCHANGE_COPY = 1 << 5,      /* COPY in, out or both has begun */
	EXCHANGE_PARAMETER = 1 << 7, /* a ParameterStatus has begun */
	EXCHANGE_BAD =
	    1 << 6, /* not the protocol; sticks: this direction is not followed any more */
};

enum exchange_activity {
	EXCHANGE_IDLE,
	EXCHANGE_ACTIVE,
	EXCHANGE_IN_TRANSACTION,
	EXCHANGE_IN_FAILED_TRANSACTION,
	EXCHANGE_COPYING,
	EXCHANGE_REPLICATING,
};

enum exchange_copy {
	EXCHANGE_COPY_NONE,
	EXCHANGE_COPY_IN,       /* the server reads CopyData */
	EXCHANGE_COPY_IN_ENDED, /* … and the client has sent CopyDone or CopyFail */
	EXCHANGE_COPY_OUT,
	EXCHANGE_COPY_BOTH, /* streaming replication */
};

#define EXCHANGE_TALLY_MAX 8

/* What has passed in one call and is worth counting. */
struct exchange_tally {
	unsigned
	    transactions; /* ReadyForQuery messages outside a transaction: so many have ended */
	unsigned errors;  /* ErrorResponse messages that were complete with this call … */
	char sqlstates[EXCHANGE_TALLY_MAX]
		      [5]; /* … and the codes of the first of them; zeros: none */
	/* only with EXCHANGE_BAD: bytes in front of the message that is none; SIZE_MAX: it has
	 * begun in an earlier call */
	size_t good;
};

/* One direction. */
struct exchange_side {
	uint32_t left;    /* bytes of the current body still to come */
	uint8_t have : 3; /* bytes of a header that was cut by the end of a read */
	uint8_t at : 4;   /* in an ErrorResponse: how far into the value of a field */
	uint8_t bad : 1;
	uint8_t head[5]; /* the bytes of that header */
	uint8_t type;    /* of the current body, where its bytes are looked at; else 0 */
	uint8_t count;   /* so many messages of a kind, up to a limit (exchange_rounds.c) */
};

/* One cache line. Only the two counters are for reading; the rest has functions. */
struct exchange {
	struct exchange_side client;
	struct exchange_side server;
	uint64_t simple;   /* counter: Query and FunctionCall messages */
	uint64_t extended; /* counter: Execute messages */
	union {
		uint64_t queue;             /* the rounds outstanding, oldest first, 4 bits each
					       (exchange_rounds.c) */
		struct exchange_list *list; /* … while `listed` (exchange_list.h) */
	};
	uint32_t pending;      /* ReadyForQuery messages that are still to come */
	uint8_t queued;        /* entries in queue */
	uint8_t copy;          /* enum exchange_copy */
	char tx;               /* last status byte: I, T, E */
	uint8_t error_field;   /* where in an ErrorResponse we are: field type, 0 between fields */
	uint8_t due;           /* answers due in front of the oldest Query that has them due
				  (exchange_rounds.c) */
	char sqlstate[5];      /* of the last ErrorResponse; zeros before the first */
	uint16_t beyond : 1;   /* more is awaited than queue can hold */
	uint16_t open : 1;     /* extended-protocol messages were sent, and no Sync since */
	uint16_t reopened : 1; /* … or one, but the server has ignored it (ignored) */
	uint16_t skip : 1;     /* the server discards messages until Sync */
	uint16_t ignored : 3;  /* Sync messages that went into a COPY's data: no answer is due */
	uint16_t unsure : 2;   /* rounds to wait until pending can be trusted again */
	uint16_t doubted : 1;  /* less may be outstanding than pending: an error was in doubt */
	uint16_t listed : 1;   /* the form with one entry for each request */
	uint16_t query_ends : 1; /* exchange_set_query_ends() */
	uint16_t fatal : 1;      /* severity of the ErrorResponse that is passing … */
	uint16_t fatal_sure : 1; /* … known from its unlocalised field */
	uint16_t terminated : 1;
	uint16_t replication : 1; /* it is a session of that kind */
};

void exchange_init(struct exchange *x, enum replication kind);
void exchange_fini(struct exchange *x);
/* Whether a Query ends what an error has the server discard, and is answered by a ReadyForQuery, as
 * a Sync is (CockroachDB). */
void exchange_set_query_ends(struct exchange *x, bool ends);
/* *x begins where the client of `of` stands in its messages, with a server that has failed all that
 * was outstanding: nothing is, and what is left of an extended query is discarded. In the compact
 * form. A header that is half through is the caller's (exchange_client_framer). */
void exchange_init_failed(struct exchange *x, const struct exchange *of);
/* The server owes one more ReadyForQuery, for something that did not pass through
 * exchange_client(): the end of the login, or a query of our own. */
void exchange_expect_ready(struct exchange *x);

/* The server is another one: nothing is outstanding, no transaction is open. The counters go on. */
void exchange_restart(struct exchange *x);

/* Follow n bytes of one direction. Returns a set of enum exchange_event. `tally`, if there is one,
 * is added to: clear its two counts first. */
unsigned exchange_client(struct exchange *x, const char *p, size_t n);
unsigned exchange_server(struct exchange *x, const char *p, size_t n, struct exchange_tally *tally);

/* Where messages begin in the bytes that the client says next … */
static inline struct framer
exchange_client_framer(const struct exchange *x)
{
	struct framer f = { .left = x->client.left, .have = x->client.have };

	memcpy(f.head, x->client.head, sizeof(f.head));
	return f;
}

/* … and in those that go to it. */
static inline struct framer
exchange_server_framer(const struct exchange *x)
{
	struct framer f = { .left = x->server.left, .have = x->server.have };

	memcpy(f.head, x->server.head, sizeof(f.head));
	return f;
}

/* No header and no body is half way through. */
static inline bool
exchange_at_client_boundary(const struct exchange *x)
{
	return x->client.left == 0 && x->client.have == 0;
}

static inline bool
exchange_at_server_boundary(const struct exchange *x)
{
	return x->server.left == 0 && x->server.have == 0;
}

/* ReadyForQuery messages that the server has still to send. */
static inline uint32_t
exchange_pending(const struct exchange *x)
{
	return x->pending;
}

/* As far as we know, the server refuses what comes next, or passes over it: it is in a failed
 * transaction, or waits for a Sync. */
static inline bool
exchange_refuses(const struct exchange *x)
{
	return x->skip || (x->tx == 'E' && x->pending == 0);
}

/* The server has something to answer, or to be told. */
bool exchange_is_busy(const struct exchange *x);
/* It has neither, beyond doubt, and the client is not in the middle of a message. */
bool exchange_is_settled(const struct exchange *x);
/* One Query and nothing else is to be answered. */
bool exchange_awaits_query(const struct exchange *x);
/* How many of the next n bytes of one direction belong to a message that has begun before them. */
size_t exchange_client_rest(const struct exchange *x, const char *p, size_t n);
size_t exchange_server_rest(const struct exchange *x, const char *p, size_t n);
/* How many of the server's next n bytes it says up to the end of what is outstanding: what stands
 * behind the last ReadyForQuery that is to come answers something that the exchange does not know.
 */
size_t exchange_server_part(const struct exchange *x, const char *p, size_t n);
/* How many bytes end the server's message that is half through, or its header where that is; 0:
 * none is. */
size_t exchange_server_left(const struct exchange *x);
/* The server's next n bytes complete a ReadyForQuery that has begun before them. */
bool exchange_server_ends_ready(const struct exchange *x, size_t n);

/* The server discards what the client sends, up to a Sync. */
static inline bool
exchange_skips(const struct exchange *x)
{
	return x->skip;
}

/* 'I', 'T' or 'E', as of the last ReadyForQuery. */
static inline char
exchange_tx_status(const struct exchange *x)
{
	return x->tx;
}

/* Nothing is outstanding, the client is in the middle of nothing, no transaction is open. */
bool exchange_is_idle(const struct exchange *x);
/* The server may have discarded all that it is taken to owe, and wait for a Sync: the client has
 * heard of an error, and at most a ReadyForQuery is still to come, which would not take long. */
bool exchange_is_in_doubt(const struct exchange *x);
/* It has, and waits for one: the client heard of an error, and of the Query that was discarded with
 * what failed it will hear nothing, unless it says Sync. It has said nothing since. */
bool exchange_is_stranded(const struct exchange *x);
/* The server connection may be exchanged now: idle beyond doubt, not a replication session, and
 * the client has not said Terminate. (What the session has set up on the server is not known here.)
 */
bool exchange_safe_point(const struct exchange *x);
enum exchange_activity exchange_activity(const struct exchange *x);
/* "idle", "active", "idle in transaction", "idle in transaction (aborted)", "copy", "replication"
 */
const char *exchange_activity_name(enum exchange_activity a);

#endif
