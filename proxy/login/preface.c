/* SPDX-License-Identifier: PostgreSQL
 *
 * The first bytes of a connection, up to a complete startup packet. Nothing in them is trusted:
 * frame_cut_startup() bounds lengths (INV-4), client_login_timeout the time, and no byte is read
 * past a PROXY header, an SSLRequest or a ClientHello, since what follows may belong to TLS
 * (INV-7).
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/admin/console.h"
#include "proxy/cancel/cancel.h"
#include "proxy/cancel/peers.h"
#include "proxy/http/http.h"
#include "proxy/login/authenticate.h"
#include "proxy/login/login_int.h"
#include "proxy/move/subscriber.h"
#include "proxy/net/sock.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define TLS_CLIENT_HELLO 0x16 /* RFC 8446: content type of a handshake record */
#define PREFACE_READ     (16 * 1024)
#define PEER_NOT_TRUSTED "the peer is not in trusted_proxies"

static const struct conf_listener *
listener_of(const struct session *s)
{
	return &s->worker->world->config->listeners[s->listener];
}

static bool
peer_is_trusted(const struct session *s)
{
	return cidrlist_has(&s->worker->world->config->main.trusted_proxies, &s->peer);
}

static void
refuse_proxy_header(struct session *s, const char *why)
{
	struct err e;

	stat_add(&s->worker->stats.proxy_headers_refused, 1);
	if (!peer_is_trusted(s)) {
		stat_add(&s->worker->stats.claimed[SOURCE_TLV], 1);
		stat_add(&s->worker->stats.untrusted[SOURCE_TLV], 1);
	}
	err_set(&e, "", "invalid PROXY header");
	err_detail(&e, "%s", why);
	session_close_err(s, WHY_PROXY_HEADER, &e);
}

HOT void
preface_begin(struct session *s)
{
	enum tri_mode mode = listener_of(s)->proxy_protocol;
	unsigned uid;

	if (s->peer.family == ADDR_UNIX) {
		s->local_admin = sock_peer_uid(s->client.fd, &uid) && uid == geteuid();
		mode = MODE_OFF;
	}
	stream_want(&s->client, EV_READ);
	if (mode == MODE_REQUIRE && !peer_is_trusted(s)) {
		session_enter(s, SESSION_PROXY_HEADER);
		refuse_proxy_header(s, PEER_NOT_TRUSTED);
	} else if (mode != MODE_OFF) {
		session_enter(s, SESSION_PROXY_HEADER);
	} else {
		session_enter(s, SESSION_PREFACE);
	}
}

/* The connection ended, or failed, before the client said who it is. */
static void
connection_ended(struct session *s, ssize_t n)
{
	bool silent = s->login == NULL && s->state <= SESSION_PREFACE;

	if (n == STREAM_AGAIN)
		return;
	if (silent) /* a load balancer's check, which may end with a reset */
		session_abort(s, WHY_CLIENT_DONE);
	else
		session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
}

static void
take_proxy_header(struct session *s, const struct proxyhdr *h)
{
	stat_add(&s->worker->stats.proxy_headers, 1);
	if (!h->is_local && h->src.family != ADDR_NONE)
		s->true_addr = s->hop = h->src;
	locate_claim_tlvs(s, h);
	/* what follows begins like any connection, perhaps with a ClientHello */
	login_free(s->login);
	s->login = NULL;
	session_enter(s, SESSION_PREFACE);
}

static bool
again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Whether these bytes go to the parser of PROXY headers. From a peer that must not send one, only
 * what looks like one does: anything else gets its error in PostgreSQL's words. */
static bool
may_be_header(const struct session *s, char first)
{
	if (peer_is_trusted(s))
		return first != 0 && first != TLS_CLIENT_HELLO;
	return first == '\r' || first == 'P';
}

/* Whether these bytes begin a PROXY header, where a request of HTTP is possible too: both may begin
 * with a P. */
static enum parse
begins_header(struct slice in)
{
	static const char v1[] = "PROXY ";
	size_t n = in.n < sizeof(v1) - 1 ? in.n : sizeof(v1) - 1;

	if (in.p[0] == '\r')
		return PARSE_DONE;
	if (memcmp(in.p, v1, n) != 0)
		return PARSE_BAD;
	return n == sizeof(v1) - 1 ? PARSE_DONE : PARSE_MORE;
}

/* Take from the socket the bytes that were looked at. True: more are needed to know what they are,
 * or they begin a request. */
static bool
take_request(struct session *s, char *scratch, size_t n)
{
	enum parse p = PARSE_DONE;

	if (listener_of(s)->proxy_protocol == MODE_ALLOW && listener_of(s)->http)
		p = begins_header(buf_view(&s->login->inbox));
	if (p == PARSE_DONE)
		return false;
	(void)!recv(s->client.fd, scratch, n, 0);
	if (p == PARSE_BAD) {
		session_enter(s, SESSION_PREFACE);
		preface_on_inbox(s);
	}
	return true;
}

void
preface_on_proxy_header(struct session *s)
{
	char *scratch = s->worker->scratch;
	ssize_t n = recv(s->client.fd, scratch, PROXYHDR_MAX, MSG_PEEK);
	struct buf *inbox;
	struct proxyhdr h;
	size_t before, used;
	struct err e;

	if (n <= 0) {
		connection_ended(s, n == 0 ? 0 : again() ? STREAM_AGAIN : STREAM_FAILED);
		return;
	}
	if (s->login == NULL && !may_be_header(s, scratch[0])) {
		if (listener_of(s)->proxy_protocol == MODE_REQUIRE) {
			refuse_proxy_header(s, "this listener requires one");
			return;
		}
		session_enter(s, SESSION_PREFACE);
		preface_on_readable(s);
		return;
	}
	inbox = &session_login(s)->inbox;
	before = inbox->n;
	buf_put(inbox, scratch, (size_t)n);
	if (take_request(s, scratch, (size_t)n))
		return;
	if (!peer_is_trusted(s)) {
		refuse_proxy_header(s, PEER_NOT_TRUSTED);
		return;
	}
	switch (proxyhdr_parse(buf_view(inbox), &h, &used, &e)) {
	case PARSE_BAD:
		refuse_proxy_header(s, e.msg);
		break;
	case PARSE_MORE:
		(void)!recv(s->client.fd, scratch, (size_t)n, 0);
		break;
	case PARSE_DONE:
		/* exactly the header (INV-7) */
		(void)!recv(s->client.fd, scratch, used - before, 0);
		take_proxy_header(s, &h);
		break;
	}
}

void
preface_on_tls_hello(struct session *s)
{
	struct ssl_ctx_st *ctx = tlsset_listener(s->worker->world->tls, s->listener);

	if (ctx == NULL || stream_start_tls(&s->client, ctx, s->worker->tls, true) != 0) {
		session_abort(s, WHY_TLS_HANDSHAKE);
		return;
	}
	session_enter(s, SESSION_TLS_HANDSHAKE);
	preface_on_tls_handshake(s);
}

/* TLS without an SSLRequest before it. */
static bool
is_direct_tls(const struct session *s)
{
	bool direct = s->client.ssl != NULL;

	for (unsigned i = 0; i < s->marks && i < SESSION_HISTORY; i++)
		direct = direct && s->past.state[i] != SESSION_TLS_HELLO;
	return direct;
}

static void
refuse_without_alpn(struct session *s)
{
	struct err e;

	err_set(&e, "", "direct TLS connection without ALPN protocol negotiation");
	session_close_err(s, WHY_TLS_HANDSHAKE, &e);
}

void
preface_on_tls_handshake(struct session *s)
{
	struct stats *stats = &s->worker->stats;
	char reason[200];
	struct err e;
	int r = stream_handshake(&s->client);

	if (r == STREAM_AGAIN)
		return;
	/* the client may still speak HTTP: its first byte will tell */
	if (r == 1 && is_direct_tls(s) && !tls_alpn_is_postgresql(s->client.ssl) &&
	    (!listener_of(s)->http || s->http != NULL)) {
		refuse_without_alpn(s);
		return;
	}
	if (r != 1) {
		tls_last_error(s->client.ssl, reason, sizeof(reason));
		err_set(&e, "", "TLS handshake with the client failed: %s", reason);
		session_close_err(s, WHY_TLS_HANDSHAKE, &e);
		return;
	}
	stat_add(&stats->tls_handshakes, 1);
	if (tls_was_resumed(s->client.ssl))
		stat_add(&stats->tls_resumed, 1);
	(void)locate_claim_name(s, slice_str(tls_server_name(s->client.ssl)));
	session_enter(s, SESSION_STARTUP);
}

/* Answer an SSLRequest or GSSENCRequest with one byte. Bytes sent along with the request would be
 * plaintext taken for TLS (CVE-2021-23214): a protocol violation (INV-7). */
static void
answer_request(struct session *s, enum startup_kind kind)
{
	bool tls = kind == STARTUP_SSL && s->state == SESSION_PREFACE && s->client.ssl == NULL &&
		   tlsset_listener(s->worker->world->tls, s->listener) != NULL;

	if (s->login->inbox.n != STARTUP_BYTES_MIN || s->state == SESSION_STARTUP) {
		session_close(s, WHY_PROTOCOL,
			      s->state == SESSION_STARTUP
				  ? "Encryption was requested inside an encrypted connection."
				  : "Received unencrypted data after an encryption request.");
		return;
	}
	login_free(s->login);
	s->login = NULL;
	if (session_say(s, tls ? "S" : "N", 1) && tls)
		session_enter(s, SESSION_TLS_HELLO);
}

HOT void
session_admit(struct session *s)
{
	struct meridian *p = s->worker->process;
	unsigned limit = (unsigned)s->worker->world->config->main.max_client_conn;

	if (s->worker->draining) {
		session_close(s, WHY_SHUTDOWN, NULL);
		return;
	}
	if (descriptors_short(p->descriptors)) {
		stat_add(&s->worker->stats.clients_without_descriptors, 1);
		session_close(s, WHY_TOO_MANY, DESCRIPTORS_NONE_LEFT);
		return;
	}
	if (atomic_fetch_add(&p->clients, 1) >= limit && limit > 0) {
		atomic_fetch_sub(&p->clients, 1);
		stat_add(&s->worker->stats.clients_refused, 1);
		session_close(s, WHY_TOO_MANY, NULL);
		return;
	}
	s->admitted = true;
	if (locate_session(s))
		auth_begin(s);
}

static void
begin_session(struct session *s, struct slice packet)
{
	struct login *l = s->login;

	/* nearly always: the packet is all that the client has sent */
	if (packet.n == l->inbox.n) {
		l->packet = l->inbox;
		l->inbox = (struct buf){ .cap = l->packet.cap };
	} else {
		buf_slice(&l->packet, packet);
		buf_drop(&l->inbox, packet.n);
	}
	l->packet.cap = STARTUP_BYTES_MAX;
	l->world = world_ref(worker_world(s->worker));
	if (listener_of(s)->tls == MODE_REQUIRE && !stream_is_encrypted(&s->client) &&
	    s->peer.family != ADDR_UNIX)
		session_close(s, WHY_TLS_REQUIRED, NULL);
	else if (slice_is(login_startup(l)->database, CONSOLE_DATABASE))
		consoles_begin(s);
	else if (subscriber_begin(s))
		session_admit(s);
}

static HOT void
take_packet(struct session *s, struct slice packet)
{
	struct startup *st = worker_startup(s->worker);
	struct err e;

	if (startup_parse(packet, st, &e) != PARSE_DONE) {
		session_close_err(s, WHY_PROTOCOL, &e);
		return;
	}
	if (listener_of(s)->peers_only && (st->kind == STARTUP_V3 || st->kind == STARTUP_CANCEL)) {
		session_close(s, WHY_NOT_ALLOWED, "This address is for other proxies alone.");
		return;
	}
	switch (st->kind) {
	case STARTUP_SSL:
	case STARTUP_GSSENC:
		answer_request(s, st->kind);
		break;
	case STARTUP_CANCEL:
		cancel_begin(s, st);
		break;
	case STARTUP_FLEET_HELLO:
		peers_on_hello(s, &e);
		break;
	case STARTUP_FLEET_LETTER: /* it must follow a challenge */
	case STARTUP_BAD_VERSION:
		session_close_err(s, WHY_PROTOCOL, &e);
		break;
	case STARTUP_V3:
		begin_session(s, packet);
		break;
	}
}

/* Direct TLS begins with a ClientHello, which must stay in the socket for OpenSSL to read. */
static bool
starts_with_client_hello(struct session *s)
{
	char first;

	return s->state == SESSION_PREFACE && s->login == NULL && s->client.ssl == NULL &&
	       tlsset_listener(s->worker->world->tls, s->listener) != NULL &&
	       stream_peek(&s->client, &first) && first == TLS_CLIENT_HELLO;
}

HOT void
preface_on_readable(struct session *s)
{
	ssize_t n;

	if (starts_with_client_hello(s)) {
		preface_on_tls_hello(s);
		return;
	}
	n = stream_recv(&s->client, s->worker->scratch, PREFACE_READ);
	if (n <= 0) {
		connection_ended(s, n);
		return;
	}
	buf_put(&session_login(s)->inbox, s->worker->scratch, (size_t)n);
	preface_on_inbox(s);
}

/* A request of HTTP begins with the name of a method; no PostgreSQL client begins with a letter. */
static bool
is_http(const struct session *s)
{
	return listener_of(s)->http && !listener_of(s)->peers_only && s->http == NULL &&
	       http_may_begin(s->login->inbox.p[0]) &&
	       (s->state == SESSION_PREFACE ||
		(is_direct_tls(s) && !tls_alpn_is_postgresql(s->client.ssl)));
}

/* Terminate in place of a startup packet: node-postgres sends it when its connection is closed at
 * once. PostgreSQL closes such a connection without an error. */
static bool
says_terminate(struct slice in)
{
	return in.n >= 4 && in.p[0] == MSG_TERMINATE && memcmp(in.p + 1, "\0\0", 3) == 0;
}

HOT void
preface_on_inbox(struct session *s)
{
	struct slice packet;

	if (is_http(s)) {
		http_begin(s);
		return;
	}
	/* over direct TLS the client must have agreed on its protocol (ALPN), or one protocol could
	 * be taken for another */
	if (s->state == SESSION_STARTUP && is_direct_tls(s) && s->http == NULL &&
	    !tls_alpn_is_postgresql(s->client.ssl)) {
		refuse_without_alpn(s);
		return;
	}
	switch (frame_cut_startup(buf_view(&s->login->inbox), &packet)) {
	case PARSE_MORE:
		break;
	case PARSE_BAD:
		if (says_terminate(buf_view(&s->login->inbox)))
			session_abort(s, WHY_CLIENT_GONE);
		else
			session_close(s, WHY_PROTOCOL, "Invalid length of startup packet.");
		break;
	case PARSE_DONE:
		take_packet(s, packet);
		break;
	}
}
