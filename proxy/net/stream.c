/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/bug.h"
#include "base/ev/loop.h"
#include "base/hot.h"
#include "base/mem.h"
#include "proxy/net/rawio.h"
#include "proxy/net/stream_int.h"
#include "proxy/net/tlsbio.h"
#include "proxy/net/tlsctx.h"

HOT void
stream_init(struct stream *st, struct event_base *base, int take_fd, event_callback_fn fn,
	    void *arg)
{
	*st = (struct stream){ .fd = take_fd };
	event_assign(&st->ev, base, take_fd, EV_PERSIST, fn, arg);
}

/* SSL_get_error() takes whatever is in the thread's queue of errors for the reason, so the queue is
 * emptied first. It is nearly always empty, and looking costs less than a tenth of emptying it,
 * twice for each query. */
static void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* Send close_notify, unless it was sent or would have to wait. */
static void
say_close_notify(struct stream *st, SSL *ssl)
{
	tlsbio_aim(ssl, st);
	forget_errors();
	if (SSL_is_init_finished(ssl) && (SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN) == 0)
		(void)SSL_shutdown(ssl);
	forget_errors();
}

/* Nothing more will be sent: each layer tells its peer, from the uppermost to the lowest. */
static HOT void
say_close(struct stream *st)
{
	if (stream_unsent(st) > 0)
		return;
	if (st->ssl != NULL)
		say_close_notify(st, st->ssl);
	if (st->ws == NULL)
		return;
	websocket_say_close(st);
	if (websocket_tls(st->ws) != NULL && !websocket_is_blocked(st->ws))
		say_close_notify(st, websocket_tls(st->ws));
}

void
stream_end(struct stream *st)
{
	if (st->fd < 0)
		return;
	say_close(st);
	if (!stream_is_blocked(st))
		(void)shutdown(st->fd, SHUT_WR);
}

void
stream_drop_unsent(struct stream *st)
{
	if (st->out != NULL)
		buf_fini(&st->out->bytes);
	free(st->out);
	st->out = NULL;
}

HOT void
stream_keep_at_most(struct stream *st, size_t n)
{
	uint8_t bits = 1;

	while (((size_t)1 << bits) < n)
		bits++;
	st->out_bits = bits;
	if (st->out != NULL)
		st->out->bytes.cap = (size_t)1 << bits;
}

/* Keep the bytes for later; -1: they are too many. */
static int
keep(struct stream *st, const char *p, size_t n)
{
	if (st->out == NULL) {
		st->out = xcalloc(1, sizeof(*st->out));
		buf_init(&st->out->bytes, st->out_bits > 0 ? (size_t)1 << st->out_bits : 0);
	}
	if (st->out->gone > 0)
		buf_drop(&st->out->bytes, st->out->gone);
	st->out->gone = 0;
	buf_put(&st->out->bytes, p, n);
	return st->out->bytes.failed ? -1 : 0;
}

HOT void
stream_fini(struct stream *st)
{
	if (st->fd < 0)
		return;
	say_close(st);
	if (st->interest != 0)
		event_del(&st->ev);
	if (st->ssl != NULL)
		SSL_free(st->ssl);
	websocket_free(st->ws);
	stream_drop_unsent(st);
	raw_close(st->fd);
	st->ssl = NULL;
	st->ws = NULL;
	st->interest = 0;
	st->fd = -1;
}

void
stream_move(struct stream *from, struct stream *to, event_callback_fn fn, void *arg)
{
	struct event_base *base = event_get_base(&from->ev);

	stream_want(from, 0);
	*to = *from;
	event_assign(&to->ev, base, to->fd, EV_PERSIST, fn, arg);
	*from = (struct stream){ .fd = -1 };
}

HOT bool
stream_is_open(const struct stream *st)
{
	return st->fd >= 0;
}

/* An event that is deleted forgets that it was activated: therefore this is called again whenever
 * the stream begins to wait for reading. */
HOT void
stream_announce(struct stream *st)
{
	if ((st->interest & EV_READ) &&
	    (st->unread || (st->ws != NULL && websocket_is_unread(st->ws))))
		loop_again(&st->ev, EV_READ);
}

void
stream_expect_more(struct stream *st, bool more)
{
	st->unread = more;
	stream_announce(st);
}

HOT void
stream_want(struct stream *st, short interest)
{
	struct event *ev = &st->ev;

	if (st->interest == interest || st->fd < 0)
		return;
	/* the kind of an event cannot be changed while it is added */
	if (st->interest != 0)
		event_del(ev);
	st->interest = interest;
	if (interest == 0)
		return;
	/* libevent reports a reset connection as readable and writable: a stream that waits only
	 * for the end would never be called, and the loop would spin. Waiting for EV_WRITE once
	 * reports it. */
	if (interest == EV_CLOSED)
		interest |= EV_WRITE | EV_ET;
	event_assign(ev, event_get_base(ev), st->fd, (short)(interest | EV_PERSIST),
		     event_get_callback(ev), event_get_callback_arg(ev));
	event_add(ev, NULL);
	stream_announce(st);
}

bool
stream_has_failed(const struct stream *st)
{
	socklen_t n = sizeof(int);
	int error = 0;

	return getsockopt(st->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0;
}

/* ---- receiving ---- */

static HOT_INLINE ssize_t
socket_recv(const struct stream *st, char *to, size_t size)
{
	ssize_t n = raw_recv(st->fd, to, size);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_FAILED;
}

ssize_t
stream_raw_recv(struct stream *st, char *to, size_t size)
{
	return socket_recv(st, to, size);
}

/* What it means that SSL_read() has returned `r` and no bytes. */
static int
tls_result(struct stream *st, SSL *ssl, bool *unread, int r)
{
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*unread = false;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		/* OpenSSL has an answer of its own to send; when it was sent, stream_flush() has us
		 * read again */
		*unread = false;
		stream_want(st, st->interest | EV_WRITE);
		*unread = true;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return STREAM_FAILED;
	}
}

ssize_t
stream_tls_recv(struct stream *st, SSL *ssl, bool *unread, char *to, size_t size)
{
	size_t total = 0;
	int r;

	tlsbio_aim(ssl, st);
	do {
		size_t want = size - total;
		int n;

		forget_errors();
		tlsbio_limit(ssl);
		n = SSL_read(ssl, to + total, want > INT32_MAX ? INT32_MAX : (int)want);
		if (n <= 0) {
			r = tls_result(st, ssl, unread, n);
			if (total == 0 || r == STREAM_AGAIN)
				return total > 0 ? (ssize_t)total : r;
			/* the end of file was taken from the socket: it is reported by the next
			 * call */
			break;
		}
		total += (size_t)n;
		*unread = SSL_has_pending(ssl);
	} while (total < size && *unread);
	return (ssize_t)total;
}

HOT ssize_t
stream_recv(struct stream *st, char *to, size_t size)
{
	ssize_t n;

	if (st->ssl == NULL && st->ws == NULL) {
		st->unread = false;
		return socket_recv(st, to, size);
	}
	if (st->ssl != NULL)
		n = stream_tls_recv(st, st->ssl, &st->unread, to, size);
	else
		n = websocket_recv(st, to, size);
	stream_announce(st);
	return n;
}

bool
stream_peek(struct stream *st, char *first)
{
	BUG_ON(st->ssl != NULL);
	if (st->ws != NULL)
		return websocket_peek(st, first);
	return recv(st->fd, first, 1, MSG_PEEK) == 1;
}

/* ---- sending ---- */

/* The result of a system call as one of ours. */
static HOT_INLINE ssize_t
taken(ssize_t r)
{
	if (r >= 0)
		return r;
	return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : STREAM_FAILED;
}

ssize_t
stream_raw_send(struct stream *st, struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };

	if (n == 1)
		return taken(raw_send(st->fd, iov->iov_base, iov->iov_len));
	return taken(sendmsg(st->fd, &m, MSG_NOSIGNAL));
}

ssize_t
stream_tls_send(struct stream *st, SSL *ssl, const char *p, size_t n)
{
	size_t total = 0;

	tlsbio_aim(ssl, st);
	while (total < n) {
		size_t want = n - total;
		int w;

		forget_errors();
		w = SSL_write(ssl, p + total, want > INT32_MAX ? INT32_MAX : (int)want);
		if (w > 0) {
			total += (size_t)w;
			continue;
		}
		w = SSL_get_error(ssl, w);
		if (w != SSL_ERROR_WANT_WRITE && w != SSL_ERROR_WANT_READ)
			return STREAM_FAILED;
		break;
	}
	return (ssize_t)total;
}

/* Give bytes to the layers. Returns how many they took (0: none now), or STREAM_FAILED. */
static HOT_INLINE ssize_t
push(struct stream *st, const char *p, size_t n)
{
	if (st->ssl != NULL)
		return stream_tls_send(st, st->ssl, p, n);
	if (st->ws != NULL)
		return websocket_push(st, p, n);
	return taken(raw_send(st->fd, p, n));
}

int
stream_flush(struct stream *st)
{
	while (stream_unsent(st) > 0) {
		ssize_t n = push(st, st->out->bytes.p + st->out->gone, stream_unsent(st));

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		/* the rest stays where it is: it may be long, and be taken in small pieces */
		st->out->gone += (size_t)n;
		if (stream_unsent(st) == 0) {
			buf_fini(&st->out->bytes);
			st->out->gone = 0;
		}
	}
	if (stream_unsent(st) == 0 && !stream_is_overfull(st))
		stream_drop_unsent(st);
	if (st->ws != NULL && websocket_flush(st) != 0)
		return -1;
	if (stream_is_blocked(st))
		stream_want(st, st->interest | EV_WRITE);
	else
		stream_want(st, st->interest & ~EV_WRITE);
	return 0;
}

HOT int
stream_send(struct stream *st, const char *p, size_t n)
{
	ssize_t done = 0;

	if (st->fd < 0)
		return -1;
	if (stream_unsent(st) == 0) {
		done = push(st, p, n);
		if (done < 0)
			return -1;
		if ((size_t)done == n)
			return 0;
	}
	if (keep(st, p + done, n - (size_t)done) != 0)
		return -1;
	stream_want(st, st->interest | EV_WRITE);
	return 0;
}

HOT int
stream_send_last(struct stream *st, const char *p, size_t n)
{
	ssize_t done = 0;

	if (st->fd >= 0 && st->ssl == NULL && st->ws == NULL && stream_unsent(st) == 0)
		done = taken(raw_send_more(st->fd, p, n));
	if (done < 0)
		return -1;
	return (size_t)done < n ? stream_send(st, p + done, n - (size_t)done) : 0;
}

/* ---- layers ---- */

int
stream_start_websocket(struct stream *st, struct slice behind)
{
	BUG_ON(st->ws != NULL);
	if (stream_unsent(st) > 0)
		return -1;
	st->ws = websocket_new(st->ssl, st->unread);
	st->ssl = NULL;
	st->unread = false;
	if (!websocket_feed(st, behind))
		return -1;
	stream_announce(st);
	return 0;
}

bool
stream_is_encrypted(const struct stream *st)
{
	return st->ssl != NULL || (st->ws != NULL && websocket_tls(st->ws) != NULL);
}

int
stream_start_tls(struct stream *st, struct ssl_ctx_st *ctx, struct tls_local *local, bool server)
{
	BUG_ON(st->ssl != NULL);
	st->ssl = SSL_new(ctx);
	if (st->ssl == NULL)
		return -1;
	tlsbio_attach(tls_local_bio(local, st->ws != NULL), st->ssl);
	if (server)
		SSL_set_accept_state(st->ssl);
	else
		SSL_set_connect_state(st->ssl);
	return 0;
}

int
stream_handshake(struct stream *st)
{
	int r;

	tlsbio_aim(st->ssl, st);
	forget_errors();
	r = SSL_do_handshake(st->ssl);
	if (r == 1) {
		/* bytes that came with the peer's last message */
		st->unread = SSL_has_pending(st->ssl);
		stream_want(st, EV_READ);
		stream_announce(st);
		return 1;
	}
	switch (SSL_get_error(st->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		stream_want(st, EV_READ);
		stream_announce(st);
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		stream_want(st, EV_WRITE);
		return STREAM_AGAIN;
	default:
		return STREAM_FAILED;
	}
}

static const SSL *
innermost_tls(const struct stream *st)
{
	return st->ssl == NULL && st->ws != NULL ? websocket_tls(st->ws) : st->ssl;
}

HOT const char *
stream_tls_version(const struct stream *st)
{
	const SSL *ssl = innermost_tls(st);

	return ssl != NULL ? SSL_get_version(ssl) : "";
}

HOT const char *
stream_tls_cipher(const struct stream *st)
{
	const SSL *ssl = innermost_tls(st);
	const SSL_CIPHER *cipher = ssl != NULL ? SSL_get_current_cipher(ssl) : NULL;

	return cipher != NULL ? SSL_CIPHER_get_name(cipher) : "";
}

int64_t
stream_rtt_us(const struct stream *st)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	if (st->fd < 0 || getsockopt(st->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		return -1;
	return info.tcpi_rtt;
}
