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
void login_on_client(struct session *s);
void login_on_server(struct session *s, short what);

#endif
