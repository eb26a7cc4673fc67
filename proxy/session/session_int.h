/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of a session, for this room and those above it.
 *
 *   session.c      life: enter, close, farewell, timeouts; states.h, why.h
 *   login_state.h  what it needs until it is ready: opaque to the rest of this room
 *   relay.c        the heart: bytes between two sockets
 *   observers.h    what features see of them, and may do to them
 *   settings.c     SET, RESET and SHOW of meridian.* in the client's queries
 *   route.c        who is where: claims, locality, route
 *   server.c       a connection to a node; signon.c logs in on it, ask.c puts a question to it
 *   facts.c        what SHOW shows
 *   ops.h          what is asked of the rooms above
 *
 * What features keep of a session is opaque here.
 */
#ifndef PROXY_SESSION_SESSION_INT_H
#define PROXY_SESSION_SESSION_INT_H

#include <stdint.h>
#include <sys/queue.h>

#include "base/ev/loop.h"
#include "protocol/exchange.h"
#include "proxy/net/stream.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/observers.h"
#include "proxy/session/ops.h"
#include "proxy/session/server.h"
#include "proxy/session/session.h"
#include "proxy/session/states.h"
#include "proxy/sqlstate/prepared.h"

struct conf_database;
struct console;
struct credential;
struct http_conn;
struct login;
struct node_live;
struct pooled;
struct rehome;
struct sampler;
struct straggle;
struct settings;
struct traces;
struct worker;
struct world;

#define SESSION_HISTORY 8
#define SESSION_KEY_MAX 32 /* our secret: 4 bytes, or 32 under protocol 3.2 */

/* The last states that it was in: a ring. */
struct session_past {
	uint32_t at_ms[SESSION_HISTORY]; /* since the connection was accepted */
	uint8_t state[SESSION_HISTORY];
	uint8_t why[SESSION_HISTORY];
};

struct session {
	TAILQ_ENTRY(session) in_state;
	struct worker *worker;
	struct stream client;
	struct server *server;     /* attached, or NULL. From here on: what each read looks at */
	struct settings *settings; /* settings.c; or NULL */
	struct pooled *pooled;     /* its side of a pool (pooled.h), or NULL */
	struct traces *traces;     /* what it leaves on a server of its own, or NULL */
	struct sampler *sampler;   /* looks at some of its statements, or NULL */
	struct rehome *rehome;     /* on its way to another server, or NULL */
	struct straggle *straggle; /* its transaction is being ended, or NULL */
	struct exchange exchange;
	struct bulk_state bulk; /* of what the client sends */
	uint64_t rx_bytes, tx_bytes;
	uint8_t state;                  /* enum session_state; session_enter() alone writes it */
	uint8_t observers;              /* a set of 1 << enum observer_id: session_observe() */
	bool fatal_told;                /* the node's own FATAL has been forwarded */
	bool terminated;                /* the client has said Terminate */
	uint32_t quiet_moved;           /* what had moved when last looked at (its low bits) */
	struct prepared_names prepared; /* session_prepared() */
	struct login *login;            /* until ready, or NULL */
	struct console *console;        /* a console session, or NULL */
	struct http_conn *http;         /* it speaks, or came by, HTTP; or NULL */
	struct credential *credential;  /* what we authenticated it to; or NULL: the node does */
	struct claims claims;
	char *names; /* user, database, application_name, city: four strings in one */
	uint64_t id;
	int64_t connected_at_us; /* monotonic */
	int64_t quiet_since_us;  /* since when quiet_moved and quiet_activity are what they are;
				    before the relay: since when its deadline runs */
	struct addr peer, true_addr;
	struct addr hop; /* who speaks to us: the peer, or whom its PROXY header names */
	uint32_t slot;
	uint32_t hba_line;   /* of hba_file, that has let it in; or 0 */
	uint32_t cancel_pid; /* the process id that the client got, with `key` */
	uint16_t listener;
	uint8_t source, confidence, access;
	uint8_t quiet_activity;       /* enum exchange_activity when last looked at */
	uint8_t key_len, auth_method; /* enum auth_method that has let it in */
	uint8_t marks;                /* entered so far, modulo the ring */
	uint8_t why;                  /* enum why: NONE until it is closed */
	char country[3];
	bool local_admin; /* the unix socket says it is our own user */
	bool admitted;    /* counted against max_client_conn */
	uint8_t key[SESSION_KEY_MAX];
	struct session_past past;
};

static inline bool
session_has(const struct session *s, enum observer_id id)
{
	return (s->observers & 1u << id) != 0;
}

/* Those that the session has: a set of 1 << enum observer_id. */
static inline unsigned
session_observers_of(const struct session *s)
{
	return s->observers | s->worker->observers;
}

/* Its server is lent by a pool, where it has one. */
static inline bool
session_is_pooled(const struct session *s)
{
	return session_has(s, OBSERVER_POOL);
}

/* session.c */
struct session *session_new(struct worker *w, int take_fd, uint16_t listener,
			    const struct addr *peer);
void session_enter(struct session *s, enum session_state state);
/* As session_close(), with an error of the caller's own for the client. */
void session_close_err(struct session *s, enum why why, const struct err *e) __attribute__((cold));
/* Nothing more to say: close when the client has taken what is queued. */
void session_end(struct session *s, enum why why);
/* The same where the client may still be sending: it is read until it has heard us, or reset. */
void session_end_unread(struct session *s, enum why why);
/* Close both sides now. */
void session_abort(struct session *s, enum why why);
/* Enough of what the client sends is kept while the session waits: the client is not read for now,
 * but it is noticed when it hangs up. */
void session_only_watch(struct session *s);
/* Queue bytes for the client; closes the session where that fails. False: closed. */
bool session_say(struct session *s, const char *p, size_t n);
struct log_subject session_subject(const struct session *s);
struct slice session_name(const struct session *s, unsigned i);
enum { NAME_USER, NAME_DATABASE, NAME_APPLICATION, NAME_CITY, NAME_COUNT };
/* Where it is, or, in a pool, where it was last; NULL: nowhere yet. */
const struct node_live *session_place(const struct session *s);
void session_set_names(struct session *s, const struct slice v[NAME_COUNT]);
/* The table of what its client has prepared, made when a feature first hangs something on a name.
 */
struct prepared_names *session_prepared(struct session *s);
/* Deadlines of a session, checked by the worker's sweep. */
void session_check_deadline(struct session *s, int64_t now_us);

/* The state FAREWELL. */
void session_on_farewell_readable(struct session *s);
void session_on_farewell_drained(struct session *s);

/* observers.c */
/* Some of its statements are read from now on, where its database has statement_sample; else none.
 */
void session_sample(struct session *s, const struct conf_database *db);
void session_do_not_sample(struct session *s);
/* What it leaves on its server is noted from now on (traces_new()). */
void session_trace(struct session *s, struct slice packet);

/* relay.c */
void relay_on_client(struct session *s);
void relay_on_client_drained(struct session *s);
void relay_on_server(struct session *s, short what);
/* Whole messages, or the rest of one. False: the session is over. */
bool relay_to_server(struct session *s, const char *p, size_t n);
/* The node's answers: for the client; p is changed. The session may be over then. */
void relay_from_server(struct session *s, char *p, size_t n);
/* Bytes of the client that were read already. */
void relay_take(struct session *s, const char *p, size_t n);
/* What exchange_server() has counted. */
void relay_count(struct session *s, const struct exchange_tally *tally);

/* settings.c: what the client sends goes to the node through here. May end the session. */
void settings_take(struct session *s, const char *bytes, size_t n);
/* The beginning of a message is held back until the rest of it is there … */
bool settings_hold(const struct session *s);
/* … and belongs in front of the next bytes: put it there, at most SETTINGS_HELD_MAX. Returns how
 * many. Only where s->settings is not NULL. */
#define SETTINGS_HELD_MAX 1024
size_t settings_put_held(const struct session *s, char *to);
void settings_forget_held(struct session *s);
void settings_free(struct session *s);
/* Append the statement that raises this error in a server, in its place among its answers. */
void settings_put_raise(struct buf *sql, const struct err *e);

#endif
