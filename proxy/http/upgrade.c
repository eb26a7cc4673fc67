/* SPDX-License-Identifier: PostgreSQL
 *
 * Where HTTP ends and PostgreSQL begins: CONNECT (RFC 9110 section 9.3.6) and the opening handshake
 * of a WebSocket (RFC 6455 section 4). Whatever target they name is shown and not dialled: where a
 * session goes is the route's matter alone.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proxy/http/http_int.h"
#include "proxy/worker_int.h"

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

enum transport
http_transport(const struct session *s)
{
	return s->http != NULL ? (enum transport)s->http->transport : TRANSPORT_PLAIN;
}

bool
http_hop_is_encrypted(const struct session *s)
{
	return s->http != NULL && s->http->tls;
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
	return s->http->tls || s->peer.family == ADDR_UNIX || is_loopback(&s->peer) ||
	       cidrlist_has(&s->worker->world->config->main.trusted_proxies, &s->peer);
}

bool
upgrade_is_asked(const struct http_head *h)
{
	return h->method == HTTP_CONNECT;
}

/* The session begins anew; bytes that came behind the head are PostgreSQL's. */
static void
begin_anew(struct session *s, enum transport transport)
{
	struct http_conn *c = s->http;
	struct slice rest = buf_view(&c->request->inbox);

	c->transport = (uint8_t)transport;
	s->quiet_since_us = clock_us();
	if (rest.n > 0)
		buf_slice(&session_login(s)->inbox, rest);
	http_request_free(c);
	session_enter(s, SESSION_PREFACE);
	if (s->login != NULL)
		preface_on_inbox(s);
}

static void
begin_tunnel(struct session *s)
{
	static const char said[] = "HTTP/1.1 200 OK\r\n\r\n";
	struct http_conn *c = s->http;

	c->target = xstrndup(c->request->head.target.p, c->request->head.target.n);
	stat_add(&s->worker->stats.http_tunnels, 1);
	if (session_say(s, said, sizeof(said) - 1))
		begin_anew(s, TRANSPORT_CONNECT);
}

void
upgrade_begin(struct session *s)
{
	begin_tunnel(s);
}
