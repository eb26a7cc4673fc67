/* SPDX-License-Identifier: PostgreSQL
 *
 * Between the files that move a session to another server (rehome.h), and what they want to be told
 * by the session, its relay, its pool and the connections.
 *
 *   rehome.c        the order of things
 *   rehome_login.c  the connection to the new node
 *   rehome_state.c  what the session has left on the old server, and how the new one gets it
 */
#ifndef PROXY_MOVE_REHOME_INT_H
#define PROXY_MOVE_REHOME_INT_H

#include <event2/event_struct.h>

#include "base/buf.h"
#include "proxy/move/rehome.h"

struct ask_answer;
struct pool;
struct pooled;
struct vars;

#define REHOME_INBOX_MAX ((size_t)256 * 1024)

/* What is under way between two stages. An answer of the old server is waited for even where the
 * move was given up meanwhile, and perhaps begun anew. */
enum rehome_question {
	REHOME_QUESTION_NONE,
	REHOME_ASKS_OLD,  /* the old server is asked what the session has left there */
	REHOME_TELLS_NEW, /* the new one is told */
};

struct rehome {
	struct session *session;
	enum rehome_stage stage, goal; /* goal NONE: nobody wants anything any more */
	struct node_live *live;        /* where to: one reference; NULL: nobody has said */
	char *dbname;                  /* NULL: as the configuration says */
	struct server *server;         /* the new one, or NULL */
	struct pooled *place;          /* in the queue of the new pool, or NULL */
	struct pool *pool;             /* … that was joined, or NULL */
	struct vars *settings;         /* what the session has set */
	struct vars *told;             /* with pool = off: what the client was told of it */
	struct buf inbox;              /* bytes of the new server, not looked at yet … */
	struct buf later;              /* … and what the client is to hear when it is its own */
	struct event timer;
	enum rehome_question question;
	bool frozen;      /* it is dropped with the PAUSE */
	bool asked_again; /* … because the last answer was that it had been cancelled */
	rehome_done_fn *done;
	void *arg;
};

/* ---- what the others say ---- */

/* The client is not to be read between two transactions. */
bool rehome_holds(const struct session *s);
/* Where s->rehome is not NULL: the old server has said something, or was asked all there was to
 * ask: it may be a safe point. */
void rehome_on_quiet(struct session *s);
/* Its PAUSE is over. */
void rehome_on_thaw(struct session *s);
/* The new server's events, while nobody has it; it is being freed. */
void rehome_on_server(struct rehome *r, short what);
void rehome_on_server_freed(struct rehome *r);
/* The new pool's answers. */
void rehome_on_lent(struct rehome *r, struct server *sv);
void rehome_on_refused(struct rehome *r, const struct err *e);

/* ---- rehome.c ---- */

void rehome_fail(struct rehome *r, const struct err *e);
/* There is a connection. */
void rehome_logged_in(struct rehome *r, struct server *sv);

/* ---- rehome_login.c ---- */

void rehome_login(struct rehome *r);
/* Close it, or leave the queue. */
/* The connection is for this session, and for nobody any more. */
void rehome_reserve(struct rehome *r, struct server *sv, bool reserved);
void rehome_let_go(struct rehome *r);
/* It is gone. Who waits for it is told; else it is opened anew when it is wanted. */
void rehome_lost(struct rehome *r, const char *reason);
/* What it says that nobody has asked for. False: it is of no use any more. */
bool rehome_take_all(struct rehome *r, const char *p, size_t n);

/* ---- rehome_state.c ---- */

/* Append the question, with its Sync. */
void rehome_put_question(const struct rehome *r, struct buf *messages);
/* Read the answer: *messages is what the new server must be told, with so many Sync in them; 0:
 * nothing. -1 and *e: why it cannot be moved. */
int rehome_read_answer(struct rehome *r, const struct ask_answer *a, struct buf *messages,
		       unsigned *syncs, struct err *e) MUST_CHECK;

#endif
