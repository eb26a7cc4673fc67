/* SPDX-License-Identifier: PostgreSQL
 *
 * Where HTTP ends and PostgreSQL begins: CONNECT (RFC 9110 section 9.3.6) and the opening handshake
 * of a WebSocket (RFC 6455 section 4). The target that they name is shown and not dialled: only the
 * route decides where a session goes.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "proxy/http/http_int.h"
#include "proxy/http/pings.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define TARGET_MAX ((size_t)255)
#define TOKEN_MAX  ((size_t)64) /* more than any has (routing/token.h) */

static const char *const transport_names[] = {
	[TRANSPORT_PLAIN] = "tcp",
	[TRANSPORT_WEBSOCKET] = "websocket",
	[TRANSPORT_CONNECT] = "connect",
	[TRANSPORT_SQL] = "sql",
};

const char *
transport_name(enum transport t)
{
	return transport_names[t];
}

HOT enum transport
http_transport(const struct session *s)
{
	return s->http != NULL ? (enum transport)s->http->transport : TRANSPORT_PLAIN;
}

static bool
is_loopback(const struct addr *a)
{
	static const uint8_t six[16] = { [15] = 1 };

	return (a->family == ADDR_IPV4 && a->ip[0] == 127) ||
	       (a->family == ADDR_IPV6 && memcmp(a->ip, six, sizeof(six)) == 0);
}

bool
http_hop_is_private(const struct session *s)
{
	return stream_is_encrypted(&s->client) || s->peer.family == ADDR_UNIX ||
	       is_loopback(&s->hop) ||
	       cidrlist_has(&s->worker->world->config->main.trusted_proxies, &s->hop);
}

const char *
http_target(const struct session *s)
{
	return s->http != NULL && s->http->target != NULL ? s->http->target : "";
}

const char *
http_token(const struct session *s)
{
	return s->http != NULL ? s->http->token : NULL;
}

bool
http_take_token(struct http_conn *c)
{
	struct slice token = http_header(&c->request->head, HTTP_TOKEN_HEADER);

	free(c->token);
	/* one that is cut is none */
	c->token =
	    token.n > 0 ? xstrndup(token.p, token.n < TOKEN_MAX ? token.n : TOKEN_MAX) : NULL;
	return token.p != NULL;
}

bool
upgrade_is_asked(const struct http_head *h)
{
	return h->method == HTTP_CONNECT || http_asks_websocket(h);
}

/* Whether another stream is allowed by http_max_streams. */
static bool
admit_stream(struct session *s)
{
	struct meridian *p = s->worker->process;
	unsigned limit = (unsigned)s->worker->world->config->main.http_max_streams;

	if (s->worker->draining) {
		http_refuse(s, 503, "", "draining");
		return false;
	}
	if (atomic_fetch_add(&p->streams, 1) >= limit && limit > 0) {
		atomic_fetch_sub(&p->streams, 1);
		stat_add(&s->worker->stats.http_streams_refused, 1);
		http_refuse(s, 503, "Retry-After: 1\r\n", "http_max_streams is reached");
		return false;
	}
	s->http->is_stream = true;
	return true;
}

/* The value of `address` in the query of a WebSocket's URL, with which Neon's driver and others
 * name their target; a CONNECT names it by its target. */
static struct slice
target_of(const struct http_head *h)
{
	struct slice rest = h->query, pair;

	if (h->method == HTTP_CONNECT)
		return h->target;
	while (rest.n > 0) {
		pair = slice_cut(&rest, '&');
		if (slice_starts(pair, "address="))
			return slice_skip(pair, strlen("address="));
	}
	return slice_of("", 0);
}

/* The session begins anew; `behind` came behind the head and is PostgreSQL's. */
static void
begin_anew(struct session *s, enum transport transport, struct slice behind)
{
	struct http_conn *c = s->http;
	struct slice target = target_of(&c->request->head);

	c->transport = (uint8_t)transport;
	if (target.n > 0)
		c->target = xstrndup(target.p, target.n < TARGET_MAX ? target.n : TARGET_MAX);
	(void)http_take_token(c);
	s->quiet_since_us = clock_us();
	/* a peer that speaks HTTP on a unix socket is a proxy: its own user proves nothing about
	 * its client */
	s->local_admin = false;
	if (behind.n > 0)
		buf_slice(&session_login(s)->inbox, behind);
	http_request_free(c);
	/* requests before this one may have filled the inbox, so that the client was not read */
	stream_want(&s->client, (short)(EV_READ | (s->client.interest & EV_WRITE)));
	session_enter(s, SESSION_PREFACE);
	if (s->login != NULL)
		http_ops.on_inbox(s);
}

static void
begin_websocket(struct session *s)
{
	const struct http_request *r = s->http->request;
	struct buf said = { .cap = 512 };
	char accept[HTTP_ACCEPT_TEXT];
	bool good;

	http_websocket_accept(http_header(&r->head, "sec-websocket-key"), accept);
	buf_printf(&said,
		   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		   accept);
	stat_add(&s->worker->stats.http_websockets, 1);
	stats_http_answer(&s->worker->stats, 101);
	good = session_say(s, said.p, said.n);
	buf_fini(&said);
	if (!good)
		return;
	/* a client that has not read even this cannot be told anything else */
	if (stream_start_websocket(&s->client, buf_view(&r->inbox)) != 0) {
		session_abort(s, WHY_CLIENT_ERROR);
		return;
	}
	pings_arm(s->worker);
	begin_anew(s, TRANSPORT_WEBSOCKET, slice_of("", 0));
}

void
upgrade_begin(struct session *s)
{
	static const char said[] = "HTTP/1.1 200 OK\r\n\r\n";
	const struct http_head *h = &s->http->request->head;
	struct http_error e;

	if (h->method == HTTP_CONNECT) {
		if (!admit_stream(s))
			return;
		stat_add(&s->worker->stats.http_tunnels, 1);
		stats_http_answer(&s->worker->stats, 200);
		if (session_say(s, said, sizeof(said) - 1))
			begin_anew(s, TRANSPORT_CONNECT, buf_view(&s->http->request->inbox));
	} else if (http_check_websocket(h, &e) != 0) {
		http_refuse(s, e.status, e.status == 426 ? "Sec-WebSocket-Version: 13\r\n" : "",
			    e.text);
	} else if (admit_stream(s)) {
		begin_websocket(s);
	}
}
