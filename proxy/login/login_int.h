/* SPDX-License-Identifier: PostgreSQL
 *
 * A session until it is ready: what it needs that long, and the files that bring it there
 * (preface.c, locate.c, attach.c, login.c; locate.c also moves live ones). Included by
 * session_int.h.
 */
#ifndef PROXY_LOGIN_LOGIN_INT_H
#define PROXY_LOGIN_LOGIN_INT_H

#include "base/ev/loop.h"
#include "protocol/http.h"
#include "protocol/proxyhdr.h"
#include "protocol/startup.h"
#include "proxy/auth/throttle.h"
#include "proxy/session/server.h"
#include "proxy/session/session.h"
#include "routing/route.h"

struct attempt;
struct auth;
struct credential;
struct lookup;
struct ownlogin;
struct worker;
struct world;

#define ATTEMPTS_MAX 2

/* What a session needs until it is ready. */
struct login {
	struct session *session;
	struct buf inbox;    /* bytes of the client not consumed yet */
	struct buf packet;   /* the startup packet: login_startup() */
	struct buf text;     /* unescaped settings */
	struct world *world; /* one reference: indices below are of this one */
	const struct conf_database *database;
	enum access access;
	struct locality locality;
	uint16_t candidates[ROUTE_NODES_MAX];
	uint16_t ncandidates, next;
	uint16_t node; /* attached to: index */
	struct route_home home;
	int64_t decided_at_us;
	struct attempt *attempts[ATTEMPTS_MAX];
	struct event hedge;         /* when to try the next one beside the first */
	struct buf failures;        /* "us-east1 db1:5432: connection refused; …" */
	struct buf refused;         /* the pools that had nothing for it: ids of their nodes */
	struct buf server_inbox;    /* bytes of the node not forwarded yet */
	uint32_t auth_code;         /* last Authentication message of the node */
	bool asked;                 /* a request of the node has been forwarded */
	size_t heard;               /* bytes of the node since it is attached */
	struct ownlogin *own;       /* Meridian answers the node's requests itself, or NULL */
	struct auth *auth;          /* Meridian finds out who it is (authenticate.h), or NULL */
	struct lookup *lookup;      /* what auth_query knows of it (lookup.h), or NULL */
	struct credential *said;    /* a password said in front of being asked, or NULL */
	struct turn *turn;          /* it waits for its turn (guard.h), or NULL */
	struct throttle_turns took; /* … and what it has taken */
	char *through; /* a server that replicates from this place (through.h), or NULL */
};

/* session.c */
/* The login's part: made at the first byte, given back when ready. */
struct login *session_login(struct session *s);
void login_free(struct login *l);
/* The startup packet, read into the worker's scratch (anew where another one was read there since):
 * a burst of logins holds packets, not tables of parameters. Valid until the next login's call on
 * this worker. */
const struct startup *login_startup(const struct login *l);

/* preface.c */
void preface_begin(struct session *s);
void preface_on_proxy_header(struct session *s);
void preface_on_readable(struct session *s);
/* Bytes are there, in login->inbox, that no descriptor will announce. */
void preface_on_inbox(struct session *s);
/* A session of an application, its startup packet read: where there is room for it, off it goes. */
void session_admit(struct session *s);
void preface_on_tls_hello(struct session *s);
void preface_on_tls_handshake(struct session *s);

/* locate.c */
/* False: the session is over, a meridian.* setting was wrong. */
bool locate_session(struct session *s);
void locate_claim_tlvs(struct session *s, const struct proxyhdr *h);
/* The name that the client asked for (TLS SNI, AUTHORITY, Host): a claim where it ends in the
 * listener's sni_suffix: then true. Replaces what an earlier one said. */
bool locate_claim_name(struct session *s, struct slice name);
/* What a session of the console would be routed by: for EXPLAIN, where it is the subject. */
void locate_claim_console(struct session *s);
/* What a request's head says of the caller: claims, and s->true_addr. Each request anew. */
void locate_claim_headers(struct session *s, const struct http_head *h);
/* The claims of a live session have changed: who it is, and where its next attachment goes, is
 * decided anew. This is where a session that may move begins to. */
void session_moved_locality(struct session *s);
/* The client has SET a place. */
void locate_set(struct session *s, enum claim_kind kind, struct slice value);
/* The claim that a setting makes, by its name without "meridian."; -1: none of ours. */
int locate_setting(struct slice name);
/* The route of a live session as it is now, by the world of now (and as if `as_if` were decided,
 * unless it is NULL). */
void locate_route_again(struct session *s, int sticky_region, const struct authority *as_if,
			struct route *out);
/* Append the route of a live session as it is now: "us-east1, us-west1". */
void locate_put_route(struct session *s, struct buf *b);
void locate_input(const struct session *s, const struct world *w, bool strict,
		  struct locality_input *in);

/* attach.c */
void attach_begin(struct session *s);
/* The DETAIL of an error that ends the wait for a node: which one that is, and what came before. */
void attach_explain_wait(const struct session *s, struct err *e);
/* Where a login goes, by its world and by where callers of its place went before. */
void attach_route(struct session *s, struct route *out);
void attach_on_client(struct session *s);
void attach_stop(struct login *l);

/* login.c */
void login_begin(struct session *s, struct buf *take_inbox);
/* What a ParameterStatus of a node teaches goes to control. Returns why the node does not fit. */
const char *login_learn(struct worker *w, const struct node *n, enum access want, struct server *sv,
			struct slice body);
/* Errors that say "not here, not now" rather than "not you": another node may do better. */
bool login_another_may_do(struct slice sqlstate);
/* … and the node is well: a role may have a limit of its own, and everybody may name a library that
 * is not there (local_preload_libraries). */
bool login_says_nothing_of_node(struct slice sqlstate);
void login_on_client(struct session *s);
void login_on_server(struct session *s, short what);

#endif
