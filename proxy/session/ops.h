/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session and its server connection ask of the rooms above, which they may not include:
 * proxy/rooms.c fills it in. What belongs to a feature that a session may have is no function here
 * but an observer (observers.h).
 */
#ifndef PROXY_SESSION_OPS_H
#define PROXY_SESSION_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proxy/session/states.h"
#include "proxy/session/why.h"

struct login;
struct server;
struct session;

/* What each state does with a client that can be read, or has taken all that was queued. */
struct session_handlers {
	void (*on_readable)(struct session *s);
	void (*on_drained)(struct session *s);
};

struct session_ops {
	struct session_handlers states[SESSION_STATE_COUNT];

	/* The way in: a client has connected; it goes on to be attached to a node; struct login is
	 * given back, and before that, no node is tried any more; the DETAIL of the node that is
	 * waited for. */
	void (*begin)(struct session *s);
	void (*attach)(struct session *s);
	void (*login_ends)(struct login *l);
	void (*attach_stop)(struct login *l);
	void (*explain_attach)(const struct session *s, struct err *e);

	/* What a console, a request over HTTP and a cancel key have of it. */
	void (*free_console)(struct session *s);
	void (*forget_key)(struct session *s);
	void (*cancel_query)(struct session *s);
	/* Where s->http is not NULL. */
	bool (*http_speaks)(const struct session *s);
	bool (*http_awaits_answer)(const struct session *s);
	void (*http_put_farewell)(struct session *s, enum why why, const struct err *e,
				  struct buf *out);
	void (*http_check_deadline)(struct session *s, int64_t now_us);
	void (*http_free)(struct session *s);
	const char *(*http_transport)(const struct session *s); /* NULL: TCP, or a unix socket */
	const char *(*http_target)(const struct session *s);

	/* Whether it could be moved to another server; else *why, in a word. */
	bool (*can_move)(const struct session *s, const char **why);
	/* Its claims have changed, and it is a pool's. */
	void (*pool_moved_locality)(struct session *s);
	/* A meridian.* setting that is no claim, without that prefix, is set, or reset (value.p
	 * NULL); or only looked at (not `now`). -1: *e says why it is refused. What is not known
	 * is none of ours. */
	int (*set)(struct session *s, struct slice name, struct slice value, bool now,
		   struct err *e);
	/* RESET ALL: all of them. */
	void (*reset_all)(struct session *s);
	/* Append the expression that SHOW selects in place of it; `again`: it is kept, and
	 * evaluated later. False: none of ours. */
	bool (*show)(struct session *s, struct slice name, bool again, struct buf *sql);

	/* Events of a server connection, by who has it: an attempt to attach it, a session that
	 * waits for it, no session (it is idle in its pool), the login that is relayed, a request
	 * of POST /sql. */
	void (*attempt_on_server)(struct server *sv, short what);
	void (*next_on_server)(struct server *sv, short what);
	void (*idle_on_server)(struct server *sv, short what);
	void (*login_on_server)(struct session *s, short what);
	void (*sql_on_server)(struct session *s, short what);
	/* It is being freed: by its cancel requests, the session that waits for it, its pool. */
	void (*server_forget_cancels)(struct server *sv);
	void (*server_next_freed)(struct server *sv);
	void (*server_leave_pool)(struct server *sv);
};

extern const struct session_ops session_ops;

#endif
