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
#include "proxy/move/straggle_states.h"

struct aborted;

/* The limit for what is kept of a held server's bytes; behind it the server is not read. */
#define STRAGGLE_HELD_MAX ((size_t)1 << 20)

struct straggle {
	struct session *session;
	enum straggle_state state; /* straggle_enter() is the only writer */
	/* What the server says answers a question of Meridian's own, not the client. That is found
	 * out when the session is taken hold of, and no later state changes it: so it is none. */
	bool discards_server;
	int outcome;
	struct buf held;         /* HOLDING_SERVER …: the server's bytes, as they came */
	struct buf said;         /* DELIVERED: the bytes the client is to hear */
	struct buf rest;         /* HOLDING_CLIENT: the client's bytes */
	struct aborted *aborted; /* ANSWERING */
	struct event timer;
	void (*ready)(void *arg);
	void *arg;
};

/* Enter a state that may follow; anything else is a bug. */
void straggle_enter(struct straggle *st, enum straggle_state state);
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
/* Give up the server connection. Where that loses what the session had on it: MUST_RECONNECT. */
void straggle_drop_server(struct straggle *st);
/* Follow the client's requests anew, from a message boundary on, as another server will get
 * them. */
void straggle_restart(struct straggle *st);
/* Answer what the client awaits, and what it says next, without the server. */
void straggle_answer(struct straggle *st);
/* The session has no request or transaction open: it goes on, or, where its state says so, is told
 * to reconnect. */
void straggle_end(struct straggle *st);

#endif
