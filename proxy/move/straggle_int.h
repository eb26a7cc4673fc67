/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files of stragglers have in common: straggle.c takes hold of them and keeps what their
 * server says, straggle_end.c finds out what is to be said, straggle_client.c answers in the
 * server's place. Nobody else includes it.
 */
#ifndef PROXY_MOVE_STRAGGLE_INT_H
#define PROXY_MOVE_STRAGGLE_INT_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "proxy/move/straggle.h"

struct aborted;

/* Of what a server says behind the client's back; then it is not read. */
#define STRAGGLE_HELD_MAX ((size_t)1 << 20)

enum straggle_stage {
	ROLLING,   /* our ROLLBACK is under way */
	SEIZED,    /* what the server says is kept, the client is not read */
	DELIVERED, /* … and has been followed: `said` is what the client would hear */
	ANSWERING, /* the client is answered by us */
	KEEPING,   /* its transaction is over, what it has said since waits */
	REPAYING,  /* the server is told what we have answered for it */
	LOST,      /* nothing is open, but the server has gone */
};

struct straggle {
	struct session *session;
	enum straggle_stage stage;
	bool deaf;   /* what the server says is no answer to the client */
	bool lost;   /* it has closed the connection */
	bool doomed; /* what the session had there is gone: it cannot go on without that */
	int outcome;
	struct buf held;         /* SEIZED: of the server, as it came */
	struct buf said;         /* DELIVERED: as the client is to hear it */
	struct buf rest;         /* KEEPING: of the client */
	struct aborted *aborted; /* ANSWERING */
	struct event timer;
	void (*ready)(void *arg);
	void *arg;
};

/* Whoever waits for it is told, once. */
void straggle_call_ready(struct straggle *st);
void straggle_wait_for(struct straggle *st, void (*ready)(void *arg), void *arg);
/* The client is read, or is not and is gone when the kernel says so. */
void straggle_read_client(struct session *s, bool read);

void straggle_free(struct straggle *st); /* accepts NULL */

/* ---- straggle_end.c ---- */

/* What the server says has been followed: what comes next may be done. */
void straggle_on_answer(struct session *s, bool is_ready);

/* What the server has said is all, or its time is over: the client hears what became of it. */
void straggle_finish(struct straggle *st);
/* The freeze is over, and nobody has said what became of it. */
void straggle_release(struct straggle *st);

/* ---- straggle_client.c ---- */

/* The client can be read, or has taken what there was for it; the session may be over then. */
void straggle_on_client(struct session *s);
void straggle_on_client_drained(struct session *s);
/* Give up the server connection. */
void straggle_leave_server(struct straggle *st);
/* What the client says next goes to another server, from the first byte of a message on. */
void straggle_restart(struct straggle *st);
/* The server is not asked any more: what the client awaits is answered, and what it says next. */
void straggle_answer(struct straggle *st);
/* Nothing of the client's is open any more. */
void straggle_be_done(struct straggle *st);

#endif
