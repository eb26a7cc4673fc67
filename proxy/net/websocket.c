/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/websocket.h"

#include <stdlib.h>

#include <openssl/ssl.h>

#include "base/hot.h"
#include "base/mem.h"
#include "proxy/net/stream_int.h"

#define RECORD_MAX    16384 /* of the payload of a TLS record, RFC 8446 section 5.1 */
#define FRONT_CAP     512   /* for `front`: two control frames and a header fit */
#define PEEK_SIZE     1024
#define TICKS_SILENT  4  /* we have sent nothing for this long: send a Ping */
#define TICKS_WAITING 12 /* the peer has not answered for this long: it is gone */

struct websocket {
	struct ws_in in;
	struct ssl_st *ssl;   /* the connection's own TLS below, or NULL */
	struct ws_ping *pong; /* to be answered; only the last of several, RFC 6455 section 5.5.3 */
	struct buf early;     /* payload that was read before the session asked for it */
	struct buf front;     /* bytes that go before any payload: control frames, a header */
	uint64_t left;        /* payload of the frame that was begun, still to be sent */
	const char *fault;    /* what is wrong with the peer's frames, or NULL */
	uint16_t code;        /* to close with */
	uint8_t silent;       /* ticks since we sent something */
	uint8_t waiting;      /* ticks since a Ping without an answer */
	/* the TLS below may hold bytes that no event of the descriptor will announce */
	bool unread;
	bool closing;     /* nothing more will be sent … */
	bool close_said;  /* … and Close was sent */
	bool said, heard; /* something was sent, received, since the last tick */
	bool asked;       /* a Ping was sent, and nothing came since */
};

struct websocket *
websocket_new(struct ssl_st *take_outer, bool unread)
{
	struct websocket *ws = xcalloc(1, sizeof(*ws));

	ws->ssl = take_outer;
	ws->unread = unread;
	ws->code = WS_CODE_NORMAL;
	ws->front.cap = FRONT_CAP;
	return ws;
}

HOT void
websocket_free(struct websocket *ws)
{
	if (ws == NULL)
		return;
	SSL_free(ws->ssl);
	ws_in_fini(&ws->in);
	free(ws->pong);
	buf_fini(&ws->early);
	buf_fini(&ws->front);
	free(ws);
}

struct ssl_st *
websocket_tls(const struct websocket *ws)
{
	return ws->ssl;
}

bool
websocket_is_unread(const struct websocket *ws)
{
	return ws->unread || ws->early.n > 0 || ws->in.closed;
}

bool
websocket_is_blocked(const struct websocket *ws)
{
	/* inside a frame, the rest of its header goes with its payload */
	return ws->front.n > 0 && ws->left == 0;
}

bool
websocket_in_frame(const struct stream *st)
{
	return st->ws != NULL && st->ws->in.left > 0;
}

const char *
websocket_fault(const struct stream *st)
{
	return st->ws != NULL ? st->ws->fault : NULL;
}

void
websocket_set_code(struct stream *st, enum ws_code code)
{
	if (st->ws != NULL && !st->ws->in.closed)
		st->ws->code = (uint16_t)code;
}

/* ---- sending ---- */

/* Send `front` and the payload behind it in one record: a header in a record of its own would wake
 * the peer once more, and cost both sides another 22 bytes. */
static ssize_t
send_records(struct stream *st, struct slice front, const char *p, size_t n)
{
	struct ssl_st *ssl = st->ws->ssl;
	size_t here = n < RECORD_MAX - front.n ? n : RECORD_MAX - front.n;
	char record[RECORD_MAX];
	ssize_t r, more;

	if (front.n == 0)
		return stream_tls_send(st, ssl, p, n);
	memcpy(record, front.p, front.n);
	if (here > 0)
		memcpy(record + front.n, p, here);
	r = stream_tls_send(st, ssl, record, front.n + here);
	if (r < (ssize_t)(front.n + here) || here == n)
		return r;
	more = stream_tls_send(st, ssl, p + here, n - here);
	return more < 0 ? more : r + more;
}

static ssize_t
send_below(struct stream *st, struct slice front, const char *p, size_t n)
{
	struct iovec iov[2] = { { .iov_base = (char *)(uintptr_t)front.p, .iov_len = front.n },
				{ .iov_base = (char *)(uintptr_t)p, .iov_len = n } };

	if (st->ws->ssl != NULL)
		return send_records(st, front, p, n);
	if (front.n == 0)
		return stream_raw_send(st, iov + 1, 1);
	return stream_raw_send(st, iov, n > 0 ? 2 : 1);
}

static void
put_control(struct websocket *ws, enum ws_opcode opcode, const char *p, size_t n)
{
	char head[WS_HEADER_MAX];

	buf_put(&ws->front, head, ws_put_header(head, opcode, n));
	buf_put(&ws->front, p, n);
}

/* Between two frames: put the control frames that are due before the next payload. */
static void
put_due(struct websocket *ws)
{
	if (ws->left > 0)
		return;
	if (ws->pong != NULL && ws->front.n == 0 && !ws->close_said) {
		put_control(ws, WS_PONG, ws->pong->p, ws->pong->n);
		free(ws->pong);
		ws->pong = NULL;
	}
	if ((ws->closing || ws->in.closed) && !ws->close_said) {
		char code[2] = { (char)(ws->code >> 8), (char)ws->code };

		put_control(ws, WS_CLOSE, code, 2);
		ws->close_said = true;
	}
}

int
websocket_flush(struct stream *st)
{
	struct websocket *ws = st->ws;

	for (;;) {
		ssize_t n;

		put_due(ws);
		if (!websocket_is_blocked(ws))
			return 0;
		n = send_below(st, buf_view(&ws->front), NULL, 0);
		if (n < 0)
			return -1;
		ws->said = true;
		buf_drop(&ws->front, (size_t)n);
		if (ws->front.n > 0)
			return 0;
	}
}

/* The same where a failure is left for the next call of send or receive to find. */
static void
say_due(struct stream *st)
{
	(void)websocket_flush(st);
	if (websocket_is_blocked(st->ws))
		stream_want(st, st->interest | EV_WRITE);
}

ssize_t
websocket_push(struct stream *st, const char *p, size_t n)
{
	struct websocket *ws = st->ws;
	struct slice front = buf_view(&ws->front);
	char head[WS_HEADER_MAX];
	ssize_t taken;
	size_t ahead;

	if (ws->close_said || n == 0)
		return (ssize_t)n;
	if (ws->left == 0) {
		front = slice_of(head, ws_put_header(head, WS_BINARY, n));
		ws->left = n;
		if (ws->front.n > 0) {
			buf_slice(&ws->front, front);
			front = buf_view(&ws->front);
		}
	}
	taken = send_below(st, front, p, n < ws->left ? n : (size_t)ws->left);
	if (taken < 0)
		return STREAM_FAILED;
	ws->said = true;
	ahead = (size_t)taken < front.n ? (size_t)taken : front.n;
	if (front.p == head)
		buf_put(&ws->front, head + ahead, front.n - ahead);
	else
		buf_drop(&ws->front, ahead);
	ws->left -= (size_t)taken - ahead;
	return taken - (ssize_t)ahead;
}

void
websocket_say_close(struct stream *st)
{
	st->ws->closing = true;
	say_due(st);
}

/* ---- receiving ---- */

/* Take the payload out of framed bytes, which may lie in the same memory; returns its length.
 * Control frames are noted for an answer. */
static size_t
unframe(struct stream *st, char *to, const char *from, size_t n)
{
	struct websocket *ws = st->ws;
	size_t used = 0, got = 0;
	struct ws_took t;
	enum parse r;

	do {
		r = ws_take(&ws->in, to + got, from + used, n - used, &t);
		used += t.used;
		got += t.got;
		if (r == PARSE_DONE && t.control == WS_PING) {
			free(ws->pong);
			ws->pong = t.ping;
		}
		if (r == PARSE_DONE && t.control == WS_CLOSE)
			ws->code = (uint16_t)(t.code == WS_CODE_NONE ? WS_CODE_NORMAL : t.code);
	} while (r == PARSE_DONE);
	if (r == PARSE_BAD) {
		ws->fault = t.fault;
		ws->code = (uint16_t)t.code;
	}
	if (ws->pong != NULL || (ws->in.closed && !ws->close_said))
		say_due(st);
	return got;
}

ssize_t
websocket_recv(struct stream *st, char *to, size_t size)
{
	struct websocket *ws = st->ws;
	ssize_t n;

	if (ws->early.n > 0) {
		n = (ssize_t)(ws->early.n < size ? ws->early.n : size);
		memcpy(to, ws->early.p, (size_t)n);
		buf_drop(&ws->early, (size_t)n);
		return n;
	}
	if (!ws->in.closed) {
		n = ws->ssl != NULL ? stream_tls_recv(st, ws->ssl, &ws->unread, to, size)
				    : stream_raw_recv(st, to, size);
		if (n <= 0)
			return n;
		ws->heard = true;
		n = (ssize_t)unframe(st, to, to, (size_t)n);
		if (n > 0)
			return n;
	}
	if (ws->fault != NULL)
		return STREAM_FAILED;
	return ws->in.closed ? 0 : STREAM_AGAIN;
}

bool
websocket_feed(struct stream *st, struct slice framed)
{
	struct buf *early = &st->ws->early;
	char *to;

	if (framed.n == 0)
		return true;
	to = buf_reserve(early, framed.n);
	if (to == NULL)
		return false;
	early->n += unframe(st, to, framed.p, framed.n);
	buf_drop(early, 0);
	return true;
}

bool
websocket_peek(struct stream *st, char *first)
{
	struct websocket *ws = st->ws;
	char some[PEEK_SIZE];
	ssize_t n;

	if (ws->early.n == 0) {
		n = websocket_recv(st, some, sizeof(some));
		if (n > 0)
			buf_put(&ws->early, some, (size_t)n);
	}
	if (ws->early.n > 0)
		*first = ws->early.p[0];
	return ws->early.n > 0;
}

/* ---- silence ---- */

int
websocket_tick(struct stream *st)
{
	struct websocket *ws = st->ws;

	if (ws == NULL)
		return 0;
	if (ws->heard)
		ws->asked = false;
	/* a peer that does not take what we send cannot have seen the Ping */
	ws->waiting = ws->asked && !stream_is_blocked(st) ? (uint8_t)(ws->waiting + 1) : 0;
	ws->silent = ws->said ? 0 : (uint8_t)(ws->silent + 1);
	ws->said = ws->heard = false;
	if (ws->waiting >= TICKS_WAITING)
		return -1;
	if (ws->silent < TICKS_SILENT || ws->close_said || stream_is_blocked(st) || ws->left > 0)
		return 0;
	put_control(ws, WS_PING, NULL, 0);
	say_due(st);
	ws->asked = true;
	ws->silent = 0;
	ws->said = false;
	return 0;
}
