/* SPDX-License-Identifier: PostgreSQL
 *
 * A session until it is ready: between the files that bring it there (preface.c, locate.c,
 * attach.c, login.c). What it needs that long is proxy/session/login_state.h.
 */
#ifndef PROXY_LOGIN_LOGIN_INT_H
#define PROXY_LOGIN_LOGIN_INT_H

#include "base/ev/loop.h"
#include "protocol/http.h"
#include "protocol/proxyhdr.h"
#include "protocol/startup.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"
#include "routing/route.h"

struct attempt;
struct auth;
struct credential;
struct lookup;
struct ownlogin;
struct worker;
struct world;

/* preface.c */
void preface_begin(struct session *s);
void preface_on_proxy_header(struct session *s);
void preface_on_readable(struct session *s);
/* There are bytes in login->inbox that no event of a descriptor will announce. */
void preface_on_inbox(struct session *s);
/* A client of a database, its startup packet read: begin its login, if the limits allow it. */
void session_admit(struct session *s);
void preface_on_tls_hello(struct session *s);
void preface_on_tls_handshake(struct session *s);

/* locate.c */
/* False: a meridian.* setting was wrong; the session is over. */
bool locate_session(struct session *s);
void locate_claim_tlvs(struct session *s, const struct proxyhdr *h);
/* The name that the client asked for (TLS SNI, AUTHORITY, Host) is a claim if it ends in the
 * listener's sni_suffix; then true. Replaces the claim of an earlier name. */
bool locate_claim_name(struct session *s, struct slice name);
/* The claims of a console's session, for EXPLAIN about itself. */
void locate_claim_console(struct session *s);
/* What the head of a request tells of the client: claims, and s->true_addr; anew for each request
 * (INV-16). */
void locate_claim_headers(struct session *s, const struct http_head *h);

/* attach.c */
void attach_begin(struct session *s);
/* The DETAIL of an error that ends the wait for a node: which node it is, and which were tried
 * before. */
void attach_explain_wait(const struct session *s, struct err *e);
/* The route of a login, by its world and by the region that clients of its place went to before. */
void attach_route(struct session *s, struct route *out);
/* Begin an attempt at the next node of the route; none is under way. Where none is left the session
 * waits (failover.c), or is over. */
void attach_next(struct session *s);
void attach_on_client(struct session *s);
void attach_stop(struct login *l);

/* failover.c */
/* No node is left to be tried on this route. True: it waits for another (failover_wait), and
 * attach_begin() or attach_next() is called later. */
bool failover_waits(struct session *s, const struct route *route);
/* It waits no more, l->failover is NULL then. */
void failover_stop(struct login *l);

/* login.c */
void login_begin(struct session *s, struct buf *take_inbox);
void login_on_client(struct session *s);
void login_on_server(struct session *s, short what);

/* consoles.c: sessions of the console */
/* The startup packet names the console: authenticate the client, or let it in. */
void consoles_begin(struct session *s);
/* The client has proven itself. */
void consoles_open(struct session *s);
void consoles_on_readable(struct session *s);
void consoles_on_drained(struct session *s);

/* redirect.c: clients that come by the region that their database has left */
/* Called before the session gets a server. False: it was refused, and is over. */
bool redirect_admits(struct session *s);
/* The client is let in: count it, and put the notice before its first ReadyForQuery. */
void redirect_welcome(struct session *s, struct buf *out);

#endif
