/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files about stragglers share. straggle.c takes hold of a straggler and keeps what its
 * server says, straggle_end.c finds out what the client is to be told, straggle_client.c answers
 * the client in the server's place. No other file includes this one.
 */
#ifndef PROXY_MOVE_STRAGGLE_INT_H
#define PROXY_MOVE_STRAGGLE_INT_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "proxy/move/straggle.h"

struct aborted;

/* The limit for what is kept of a held server's bytes; behind it the server is not read. */
#define STRAGGLE_HELD_MAX ((size_t)1 << 20)

enum straggle_stage {
	ROLLING_BACK, /* our ROLLBACK is outstanding */
	SEIZED,       /* what the server says is kept, the client is not read */
	DELIVERED,    /* … and has gone through the relay: `said` is what the client would hear */
	ANSWERING,    /* we answer the client */
	HOLDING_CLIENT, /* the transaction is over; what the client has said since is held */
	REPLAYING,      /* the server is sent what we have answered in its place */
	SERVER_GONE,    /* no transaction was open when the server went */
};

struct straggle {
	struct session *session;
	enum straggle_stage stage;
	bool discards_server; /* what the server says is not an answer to the client */
	bool server_gone;     /* the server has closed the connection */
	/* what the session had on its server is lost: the client reconnects at the end */
	bool must_reconnect;
	int outcome;
	struct buf held;         /* SEIZED: the server's bytes, as they came */
	struct buf said;         /* DELIVERED: the bytes the client is to hear */
	struct buf rest;         /* HOLDING_CLIENT: the client's bytes */
	struct aborted *aborted; /* ANSWERING */
	struct event timer;
	void (*ready)(void *arg);
	void *arg;
};

/* Call the `ready` that is set, once. */
void straggle_call_ready(struct straggle *st);
void straggle_wait_for(struct straggle *st, void (*ready)(void *arg), void *arg);
/* Read the client; or do not, and be told only when it hangs up. */
void straggle_read_client(struct session *s, bool read);

void straggle_free(struct straggle *st); /* accepts NULL */

/* ---- straggle_end.c ---- */

/* What the server says has been followed: what comes next may be done. */
void straggle_on_answer(struct session *s, bool is_ready);

/* The server has said all, or has had its time: tell the client what became of its transaction. */
void straggle_finish(struct straggle *st);
/* The freeze is over, and the migration has not said what became of the transaction. */
void straggle_release(struct straggle *st);

/* ---- straggle_client.c ---- */

/* The client can be read, or has taken what there was for it; the session may be over then. */
void straggle_on_client(struct session *s);
void straggle_on_client_drained(struct session *s);
/* Give up the server connection. */
void straggle_drop_server(struct straggle *st);
/* Follow the client's requests anew, from a message boundary on, as another server will get
 * them. */
void straggle_restart(struct straggle *st);
/* Answer what the client awaits, and what it says next, without the server. */
void straggle_answer(struct straggle *st);
/* The session has no request or transaction open: it goes on, or is told to reconnect. */
void straggle_end(struct straggle *st);

#endif
