/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hot.h"
#include "base/text.h"
#include "protocol/startup.h"
#include "proxy/net/sock.h"
#include "proxy/net/tlsctx.h"

/* This much fits into the send buffer of a new socket. */
#define FIRST_MAX 1024

static enum dial_step connected(struct dial *d);

static enum dial_step
failed(struct dial *d, const char *reason)
{
	(void)text_copy(d->reason, sizeof(d->reason), slice_str(reason));
	return d->step = DIAL_FAILED;
}

static enum dial_step
failed_errno(struct dial *d, int error)
{
	char text[128];

	return failed(d, strerror_r(error, text, sizeof(text)));
}

/* Open the next address; *done: it is connected already. -1: see errno. */
static HOT int
open_next(struct dial *d, bool *done)
{
	const struct node *n = d->to.node;
	char path[512];
	int fd;

	if (n->host[0] != '/') {
		fd = sock_connect(&n->addrs[d->next_addr++], d->to.conf, d->to.first, done);
		d->said = *done && d->to.first.n > 0;
		return fd;
	}
	d->next_addr++;
	snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", n->host, n->port);
	return sock_connect_unix(path, done);
}

static HOT enum dial_step
connect_next(struct dial *d)
{
	const struct node *n = d->to.node;
	unsigned naddrs = n->host[0] == '/' ? 1 : n->naddrs;
	uint8_t bits = d->stream->out_bits;
	bool done = false;
	int error = 0, fd = -1;

	while (fd < 0 && d->next_addr < naddrs) {
		fd = open_next(d, &done);
		error = errno;
	}
	d->no_descriptor = fd < 0 && (error == EMFILE || error == ENFILE);
	/* these are this host's fault, not the other's */
	d->our_fault = d->no_descriptor ||
		       (fd < 0 && (error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL));
	if (naddrs == 0)
		return failed(d, "host name could not be resolved");
	if (fd < 0)
		return d->reason[0] != '\0' ? d->step = DIAL_FAILED : failed_errno(d, error);
	stream_init(d->stream, event_get_base(&d->stream->ev), fd,
		    event_get_callback(&d->stream->ev), event_get_callback_arg(&d->stream->ev));
	d->stream->out_bits = bits;
	d->step = DIAL_CONNECT;
	if (done)
		return connected(d);
	stream_want(d->stream, EV_WRITE);
	return d->step;
}

static HOT bool
wants_tls(const struct dial_target *to, enum dial_way way)
{
	if (to->node->host[0] == '/')
		return false;
	return way == DIAL_AS_CONFIGURED ? to->sslmode >= SSLMODE_PREFER : way == DIAL_WITH_TLS;
}

HOT bool
dial_may_say(const struct dial_target *to, enum dial_way way)
{
	return to->node->host[0] != '/' && !wants_tls(to, way);
}

HOT enum dial_step
dial_begin(struct dial *d, struct stream *st, const struct dial_target *to, enum dial_way way)
{
	struct tls_local *tls = d->tls;
	enum dial_step step;

	*d = (struct dial){ .stream = st, .to = *to, .tls = tls };
	d->way = way;
	d->use_tls = wants_tls(to, way);
	if (d->to.first.n > FIRST_MAX)
		d->to.first = slice_of("", 0);
	step = connect_next(d);
	d->to.first = slice_of("", 0);
	return step;
}

bool
dial_other_way(const struct dial *d, enum dial_way *way)
{
	enum sslmode mode = d->to.sslmode;

	*way = d->use_tls ? DIAL_WITHOUT_TLS : DIAL_WITH_TLS;
	return d->way == DIAL_AS_CONFIGURED && d->to.node->host[0] != '/' &&
	       mode == (d->use_tls ? SSLMODE_PREFER : SSLMODE_ALLOW);
}

/* Remember at the node which TLS it uses; written only where that has changed, since all workers
 * read it. */
static HOT enum dial_step
ready(struct dial *d)
{
	struct node_live *live = d->to.node->live;
	const char *version = stream_tls_version(d->stream);
	const char *cipher = stream_tls_cipher(d->stream);

	if (atomic_load_explicit(&live->tls_version, memory_order_relaxed) != version)
		atomic_store_explicit(&live->tls_version, version, memory_order_relaxed);
	if (atomic_load_explicit(&live->tls_cipher, memory_order_relaxed) != cipher)
		atomic_store_explicit(&live->tls_cipher, cipher, memory_order_relaxed);
	return d->step = DIAL_READY;
}

static HOT enum dial_step
connected(struct dial *d)
{
	struct buf b = { .cap = 64 };
	int r;

	stream_want(d->stream, EV_READ);
	if (!d->use_tls)
		return ready(d);
	startup_build_ssl_request(&b);
	r = stream_send(d->stream, b.p, b.n);
	buf_fini(&b);
	if (r != 0)
		return failed(d, "connection lost");
	return d->step = DIAL_SSL_ASKED;
}

static enum dial_step
on_connect(struct dial *d)
{
	int error = sock_connect_result(d->stream->fd);

	if (error == 0)
		return connected(d);
	failed_errno(d, error);
	stream_fini(d->stream);
	return connect_next(d);
}

static enum dial_step
start_tls(struct dial *d)
{
	struct err e;

	if (d->to.ctx == NULL || stream_start_tls(d->stream, d->to.ctx, d->tls, false) != 0)
		return failed(d, "could not start TLS");
	if (tls_prepare_client(d->stream->ssl, d->tls, d->to.node->live->id, d->to.node->host,
			       d->to.sslmode == SSLMODE_VERIFY_FULL, &e) != 0)
		return failed(d, e.msg);
	d->step = DIAL_TLS;
	return dial_on_event(d, EV_READ);
}

/* Read one byte and no more: what follows belongs to TLS (INV-7). */
static enum dial_step
on_ssl_answer(struct dial *d)
{
	char answer;
	ssize_t n = recv(d->stream->fd, &answer, 1, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return d->step;
	if (n < 0)
		return failed_errno(d, errno);
	if (n == 0)
		return failed(d, "server closed the connection unexpectedly");
	if (answer == 'S')
		return start_tls(d);
	if (answer != 'N')
		return failed(d, "server answered an SSLRequest with an error");
	if (d->to.sslmode >= SSLMODE_REQUIRE)
		return failed(d, "server does not support TLS, but sslmode requires it");
	return ready(d);
}

static enum dial_step
on_tls(struct dial *d)
{
	char reason[160];
	int r = stream_handshake(d->stream);

	if (r == STREAM_AGAIN)
		return d->step;
	if (r == 1)
		return ready(d);
	tls_last_error(d->stream->ssl, reason, sizeof(reason));
	snprintf(d->reason, sizeof(d->reason), "TLS: %s", reason);
	d->tls_failed = true;
	return d->step = DIAL_FAILED;
}

enum dial_step
dial_on_event(struct dial *d, short what)
{
	switch (d->step) {
	case DIAL_CONNECT:
		return on_connect(d);
	case DIAL_SSL_ASKED:
		if ((what & EV_WRITE) && stream_flush(d->stream) != 0)
			return failed(d, "connection lost");
		return what & EV_READ ? on_ssl_answer(d) : d->step;
	case DIAL_TLS:
		return on_tls(d);
	case DIAL_READY:
	case DIAL_FAILED:
		break;
	}
	return d->step;
}
