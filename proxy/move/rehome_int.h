/* SPDX-License-Identifier: PostgreSQL
 *
 * Shared by the files that move a session to another server (rehome.h), and called by the session,
 * its relay, its pool and its connections.
 *
 *   rehome.c        the stages and their order: rehome_states.h
 *   rehome_login.c  the connection to the new node
 *   rehome_state.c  what the session has left on the old server, and how the new one gets it
 */
#ifndef PROXY_MOVE_REHOME_INT_H
#define PROXY_MOVE_REHOME_INT_H

#include <event2/event_struct.h>

#include "base/buf.h"
#include "proxy/move/rehome.h"
#include "proxy/move/rehome_states.h"

struct ask_answer;
struct pool;
struct pooled;
struct vars;

#define REHOME_INBOX_MAX ((size_t)256 * 1024)

struct rehome {
	struct session *session;
	enum rehome_state state; /* rehome_enter() in rehome.c is the only writer */
	enum rehome_stage goal;  /* NONE: no caller wants a stage */
	struct node_live *live;  /* the node to go to: one reference; NULL: not known yet */
	char *dbname;            /* NULL: as the configuration says */
	struct server *server;   /* the new one, or NULL */
	struct pooled *place;    /* in the queue of the new pool, or NULL */
	struct pool *pool;       /* … the pool whose queue that is, or NULL */
	struct vars *settings;   /* what the client has set */
	/* with pool = off: what the client was told of its settings */
	struct vars *told;
	struct buf inbox; /* the new server's bytes that were not looked at yet … */
	/* … and what the client is to hear once that server is its own */
	struct buf later;
	struct event timer;
	/* The move is dropped when the PAUSE ends. The owner says so with each call, in any state.
	 */
	bool frozen;
	rehome_done_fn *done;
	void *arg;
};

/* ---- called by the session, its relay, its pool and the connections ---- */

/* Whether the client must not be read between two transactions. */
bool rehome_holds(const struct session *s);
/* Where s->rehome is not NULL: the old server has said something, or our question to it was
 * answered: the session may be at a safe point. */
void rehome_on_quiet(struct session *s);
/* The PAUSE that froze the session is over. */
void rehome_on_thaw(struct session *s);
/* Events of the new server before the session has it; the server may be freed by this. */
void rehome_on_server(struct rehome *r, short what);
void rehome_on_server_freed(struct rehome *r);

/* ---- rehome.c: also the new pool's answers ---- */

void rehome_fail(struct rehome *r, const struct err *e);
/* The connection to the new node is logged in. */
void rehome_logged_in(struct rehome *r, struct server *sv);

/* ---- rehome_login.c ---- */

void rehome_login(struct rehome *r);
/* Close the connection, or leave the pool's queue. */
/* Mark the pool's connection as kept for this session, or unmark it. */
void rehome_reserve(struct rehome *r, struct server *sv, bool reserved);
void rehome_let_go(struct rehome *r);
/* The new connection is gone. A caller that waits for it gets the reason; else it is opened anew
 * when it is wanted. */
void rehome_server_lost(struct rehome *r, const char *reason);
/* Read what the new server says without being asked. False: the connection is of no use any
 * more. */
bool rehome_consume(struct rehome *r, const char *p, size_t n);

/* ---- rehome_state.c ---- */

/* Append the question for the session's state, with its Sync. */
void rehome_put_question(const struct rehome *r, struct buf *messages);
/* Read the answer: *messages is what the new server must be told, and the result is the number of
 * Sync in it; 0: it need not be told anything. -1 and *e: why the session cannot be moved. */
int rehome_read_answer(struct rehome *r, const struct ask_answer *a, struct buf *messages,
		       unsigned *syncs, struct err *e) MUST_CHECK;

#endif
