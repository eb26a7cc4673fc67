/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/bug.h"
#include "base/ev/loop.h"
#include "proxy/net/tlsbio.h"
#include "proxy/net/tlsctx.h"

void
stream_init(struct stream *st, struct event_base *base, int take_fd, event_callback_fn fn,
	    void *arg)
{
	*st = (struct stream){ .fd = take_fd };
	event_assign(&st->ev, base, take_fd, EV_PERSIST, fn, arg);
}

/* close_notify, where it can be said without waiting and has not been said. */
static void
say_close(struct stream *st)
{
	tlsbio_aim(st);
	ERR_clear_error();
	if (SSL_is_init_finished(st->ssl) && st->out.n == 0 &&
	    (SSL_get_shutdown(st->ssl) & SSL_SENT_SHUTDOWN) == 0)
		(void)SSL_shutdown(st->ssl);
	ERR_clear_error();
}

void
stream_end(struct stream *st)
{
	if (st->fd < 0)
		return;
	if (st->ssl != NULL)
		say_close(st);
	(void)shutdown(st->fd, SHUT_WR);
}

void
stream_fini(struct stream *st)
{
	if (st->fd < 0)
		return;
	if (st->interest != 0)
		event_del(&st->ev);
	if (st->ssl != NULL) {
		say_close(st);
		SSL_free(st->ssl);
	}
	buf_fini(&st->out);
	close(st->fd);
	st->ssl = NULL;
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

bool
stream_is_open(const struct stream *st)
{
	return st->fd >= 0;
}

/* An event that is taken out forgets that it was to be called again: this is said anew whenever
 * reading begins to be waited for. */
static void
announce_unread(struct stream *st)
{
	if (st->unread && (st->interest & EV_READ))
		loop_again(&st->ev, EV_READ);
}

void
stream_want(struct stream *st, short interest)
{
	struct event *ev = &st->ev;

	if (st->interest == interest || st->fd < 0)
		return;
	/* an event's kind is fixed while it is added: take it out, change it, put it back */
	if (st->interest != 0)
		event_del(ev);
	st->interest = interest;
	if (interest == 0)
		return;
	event_assign(ev, event_get_base(ev), st->fd, (short)(interest | EV_PERSIST),
		     event_get_callback(ev), event_get_callback_arg(ev));
	event_add(ev, NULL);
	announce_unread(st);
}

/* What an SSL_read() that returned `r`, nothing read, means. */
static int
tls_result(struct stream *st, int r)
{
	switch (SSL_get_error(st->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		st->unread = false;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		/* an answer of OpenSSL's own; when it can go, stream_flush() has us read again */
		st->unread = false;
		stream_want(st, st->interest | EV_WRITE);
		st->unread = true;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return STREAM_FAILED;
	}
}

static ssize_t
tls_recv(struct stream *st, char *to, size_t size)
{
	size_t total = 0;
	int r;

	tlsbio_aim(st);
	do {
		size_t want = size - total;
		int n;

		ERR_clear_error();
		n = SSL_read(st->ssl, to + total, want > INT32_MAX ? INT32_MAX : (int)want);
		if (n <= 0) {
			r = tls_result(st, n);
			if (total == 0 || r == STREAM_AGAIN)
				return total > 0 ? (ssize_t)total : r;
			/* the end, which the socket has no more: unread, it comes next */
			break;
		}
		total += (size_t)n;
		st->unread = SSL_has_pending(st->ssl);
	} while (total < size && st->unread);
	announce_unread(st);
	return (ssize_t)total;
}

ssize_t
stream_recv(struct stream *st, char *to, size_t size)
{
	ssize_t n;

	if (st->ssl != NULL)
		return tls_recv(st, to, size);
	n = recv(st->fd, to, size, 0);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_FAILED;
}

/* Hand bytes to the socket: how many it took (0: none now), or STREAM_FAILED. */
static ssize_t
push(struct stream *st, const char *p, size_t n)
{
	size_t total = 0;
	ssize_t r;

	if (st->ssl == NULL) {
		r = send(st->fd, p, n, MSG_NOSIGNAL);
		if (r >= 0)
			return r;
		return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : STREAM_FAILED;
	}
	tlsbio_aim(st);
	while (total < n) {
		size_t want = n - total;
		int w;

		ERR_clear_error();
		w = SSL_write(st->ssl, p + total, want > INT32_MAX ? INT32_MAX : (int)want);
		if (w > 0) {
			total += (size_t)w;
			continue;
		}
		w = SSL_get_error(st->ssl, w);
		if (w != SSL_ERROR_WANT_WRITE && w != SSL_ERROR_WANT_READ)
			return STREAM_FAILED;
		break;
	}
	return (ssize_t)total;
}

int
stream_flush(struct stream *st)
{
	while (st->out.n > 0) {
		ssize_t n = push(st, st->out.p, st->out.n);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		buf_drop(&st->out, (size_t)n);
	}
	if (st->out.n == 0)
		stream_want(st, st->interest & ~EV_WRITE);
	else
		stream_want(st, st->interest | EV_WRITE);
	return 0;
}

int
stream_send(struct stream *st, const char *p, size_t n)
{
	ssize_t done = 0;

	if (st->fd < 0)
		return -1;
	if (st->out.n == 0) {
		done = push(st, p, n);
		if (done < 0)
			return -1;
		if ((size_t)done == n)
			return 0;
	}
	buf_put(&st->out, p + done, n - (size_t)done);
	if (st->out.failed)
		return -1;
	stream_want(st, st->interest | EV_WRITE);
	return 0;
}

int
stream_start_tls(struct stream *st, struct ssl_ctx_st *ctx, struct tls_local *local, bool server)
{
	BUG_ON(st->ssl != NULL);
	st->ssl = SSL_new(ctx);
	if (st->ssl == NULL)
		return -1;
	tlsbio_attach(tls_local_bio(local), st->ssl);
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

	tlsbio_aim(st);
	ERR_clear_error();
	r = SSL_do_handshake(st->ssl);
	if (r == 1) {
		/* what came with the peer's last message */
		st->unread = SSL_has_pending(st->ssl);
		stream_want(st, EV_READ);
		announce_unread(st);
		return 1;
	}
	switch (SSL_get_error(st->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		stream_want(st, EV_READ);
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		stream_want(st, EV_WRITE);
		return STREAM_AGAIN;
	default:
		return STREAM_FAILED;
	}
}

const char *
stream_tls_version(const struct stream *st)
{
	return st->ssl != NULL ? SSL_get_version(st->ssl) : "";
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
