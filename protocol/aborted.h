/* SPDX-License-Identifier: PostgreSQL
 *
 * Answers a client in the place of a server that had its transaction ended from outside: its next
 * command fails with 40001, those behind it with 25P02, until it has ended the transaction. As a
 * server in a failed transaction does, but for one thing: COMMIT fails as well (40001), where a
 * server answers with the tag ROLLBACK, which drivers take for success. ROLLBACK answers ROLLBACK.
 *
 * Nothing is ever said that was not asked for. Simple and extended protocol, pipelines (after an
 * error all is skipped up to the Sync), what is left of a COPY, messages that were half through.
 * Knows bytes, not sockets. Memory is bounded: messages above ABORTED_LOOK_MAX are not looked into.
 *
 * A statement that was prepared before has a text only its server knows, unless `text_of` does:
 * where it could be the ROLLBACK or COMMIT, the second one that is refused ends the transaction, or
 * the client would never get out of it. What was prepared or closed meanwhile with a name is to be
 * said to the next server: `owed`.
 *
 * Source: PostgreSQL documentation, "Message Flow"; exec_simple_query(), exec_parse_message() and
 * their like in postgres.c for what is allowed in a failed transaction.
 */
#ifndef PROTOCOL_ABORTED_H
#define PROTOCOL_ABORTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "protocol/exchange.h"

#define ABORTED_LOOK_MAX ((size_t)4096)
#define ABORTED_OWED_MAX ((size_t)64 * 1024)
#define ABORTED_SAY_MAX  ((size_t)64 * 1024)
#define ABORTED_NAMES    8 /* of statements, and of portals, that are kept */

/* What a text does in a transaction that has failed. */
enum aborted_verb {
	ABORTED_REFUSED, /* it fails */
	ABORTED_COMMIT,  /* it fails, and the transaction is over */
	ABORTED_ROLLBACK,
	ABORTED_EMPTY,   /* nothing */
	ABORTED_UNKNOWN, /* the text is not known */
};

enum aborted_verb aborted_verb_of(struct slice sql);

struct aborted_name {
	char name[64];
	enum aborted_verb verb;
	bool used;
};

struct aborted {
	struct exchange exchange; /* of the client and what answers here */
	struct buf in;            /* the beginning of a message */
	struct buf owed;          /* Parse and Close messages that were answered */
	bool told;                /* 40001 has been said */
	bool over;                /* the next ReadyForQuery is the transaction's end */
	bool refused;             /* a statement whose text is not known was */
	bool terminated;          /* the client has said Terminate, or what is not the protocol */
	struct aborted_name statements[ABORTED_NAMES], portals[ABORTED_NAMES];
	/* The text of a statement that was prepared before; false: not known. May be NULL. */
	bool (*text_of)(void *arg, struct slice name, struct slice *sql);
	void *arg;
};

/* At the moment when the server is no longer asked: what the client awaits is answered into `out`
 * where there is anything. True: it is over already, nothing was open but that. More than `out` may
 * hold: out->failed, and nothing of it is to be said. */
bool aborted_begin(struct aborted *a, const struct exchange *x, struct buf *out);
void aborted_fini(struct aborted *a);
/* The client's next n bytes; *used: how many were for the transaction. True: it is over; what is in
 * `in` and the rest of the bytes is for the next server, behind `owed`. False with bytes left, of a
 * client that has not terminated: there are ABORTED_SAY_MAX bytes or more in `out` and less than a
 * KiB beyond that, which are to be said first. */
bool aborted_client(struct aborted *a, const char *p, size_t n, size_t *used, struct buf *out);

#endif
