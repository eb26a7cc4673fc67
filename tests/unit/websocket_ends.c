/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/websocket_ends.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/ev/loop.h"
#include "proxy/net/tlsctx.h"
#include "proxy/net/websocket.h"
#include "tests/unit/unit.h"

static const char key[4] = { 0x11, (char)0xe2, 0x33, 0x44 };

void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ends *e = arg;

	(void)fd;
	e->seen |= what;
}

short
poll_events(struct ends *e)
{
	e->seen = 0;
	loop_poll(e->loop);
	return e->seen;
}

/* ---- the peer ---- */

void
peer_write(struct ends *e, const char *p, size_t n)
{
	if (e->below != NULL)
		assert_int_equal(SSL_write(e->below, p, (int)n), n);
	else
		assert_int_equal(write(e->peer, p, n), n);
}

/* One frame; `first` is its first byte. */
void
put_frame(struct buf *b, unsigned first, const char *p, size_t n)
{
	char head[WS_HEADER_MAX];
	size_t len = ws_put_header(head, WS_BINARY, n);

	head[0] = (char)first;
	head[1] = (char)(head[1] | 0x80);
	buf_put(b, head, len);
	buf_put(b, key, 4);
	for (size_t i = 0; i < n; i++)
		buf_u8(b, (uint8_t)(p[i] ^ key[i % 4]));
}

void
peer_frame(struct ends *e, unsigned first, const char *p, size_t n)
{
	struct buf b = { 0 };

	put_frame(&b, first, p, n);
	peer_write(e, b.p, b.n);
	buf_fini(&b);
}

/* What the TLS inside has to send goes out as frames. */
static void
peer_flush_inside(struct ends *e)
{
	char some[20000];
	int n;

	while ((n = BIO_read(SSL_get_wbio(e->inside), some, sizeof(some))) > 0)
		peer_frame(e, 0x82, some, (size_t)n);
}

void
peer_say(struct ends *e, const char *p, size_t n)
{
	if (e->inside == NULL) {
		peer_frame(e, 0x82, p, n);
		return;
	}
	assert_int_equal(SSL_write(e->inside, p, (int)n), n);
	peer_flush_inside(e);
}

static void
take_frame(struct ends *e, unsigned opcode, const char *p, size_t n)
{
	if (opcode == WS_BINARY) {
		e->frames++;
		if (e->inside != NULL)
			BIO_write(SSL_get_rbio(e->inside), p, (int)n);
		else
			buf_put(&e->payload, p, n);
	} else if (opcode == WS_CLOSE) {
		buf_printf(&e->told, "<close %d>", n >= 2 ? get_u16(p) : 0);
	} else {
		buf_printf(&e->told, "<%s %.*s>", opcode == WS_PING ? "ping" : "pong", (int)n, p);
	}
}

/* Whole frames of what has come. */
static void
take_frames(struct ends *e)
{
	size_t at = 0;

	for (;;) {
		const uint8_t *h = (const uint8_t *)e->wire.p + at;
		size_t have = e->wire.n - at, head = 2;
		uint64_t n;

		if (have < 2 || have < (head = h[1] == 127 ? 10 : h[1] == 126 ? 4 : 2))
			break;
		n = head == 10 ? get_u64(h + 2) : head == 4 ? get_u16(h + 2) : h[1];
		assert_int_equal(h[0] & 0xf0, 0x80);
		assert_int_equal(h[1] & 0x80, 0);
		if (have - head < n)
			break;
		take_frame(e, h[0] & 15u, e->wire.p + at + head, n);
		at += head + n;
	}
	buf_drop(&e->wire, at);
}

/* Read once; false: nothing there. */
bool
peer_read(struct ends *e)
{
	char some[65536];
	int n;

	if (e->below != NULL)
		n = SSL_read(e->below, some, (int)e->peer_reads);
	else
		n = (int)recv(e->peer, some, e->peer_reads, 0);
	if (n > 0)
		buf_put(&e->wire, some, (size_t)n);
	take_frames(e);
	while (e->inside != NULL && SSL_is_init_finished(e->inside)) {
		int r = SSL_read(e->inside, some, sizeof(some));

		if (r <= 0)
			break;
		buf_put(&e->payload, some, (size_t)r);
	}
	return n > 0;
}

void
peer_reads_all(struct ends *e)
{
	while (peer_read(e))
		continue;
}

void
check_heard(struct ends *e, const char *p, size_t n)
{
	peer_reads_all(e);
	assert_int_equal(e->payload.n, n);
	assert_true(n == 0 || memcmp(e->payload.p, p, n) == 0);
	buf_clear(&e->payload);
}

void
check_told(struct ends *e, const char *want)
{
	peer_reads_all(e);
	assert_string_equal(buf_text(&e->told), want);
	buf_clear(&e->told);
}

/* ---- both ends ---- */

static void
make_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_non_null(pair);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, pair);
	assert_true(X509_sign(cert, pair, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pair), 1);
	X509_free(cert);
	EVP_PKEY_free(pair);
}

int
setup_bare(void **state)
{
	struct ends *e = test_calloc(1, sizeof(*e));
	int fd[2], small = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
				 0);
	e->loop = loop_new();
	e->peer = fd[1];
	e->peer_reads = 3000;
	e->sent = test_malloc(BIG);
	e->got = test_malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		e->sent[i] = (char)(i * 7 + i / 251);
	e->local = tls_local_new();
	e->server_ctx = SSL_CTX_new(TLS_server_method());
	e->client_ctx = SSL_CTX_new(TLS_client_method());
	make_certificate(e->server_ctx);
	/* the modes of proxy/net/tlsctx.c */
	SSL_CTX_set_mode(e->server_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(e->server_ctx, 1);
	stream_init(&e->st, loop_base(e->loop), fd[0], on_event, e);
	stream_keep_at_most(&e->st, 1 << 20);
	*state = e;
	return 0;
}

static void
shake_hands(struct ends *e, SSL *peer, bool inside)
{
	int ours = STREAM_AGAIN, theirs = 0;

	SSL_set_connect_state(peer);
	assert_int_equal(stream_start_tls(&e->st, e->server_ctx, e->local, true), 0);
	for (int i = 0; i < 20 && (ours != 1 || theirs != 1); i++) {
		theirs = theirs == 1 ? 1 : SSL_do_handshake(peer);
		if (inside)
			peer_flush_inside(e);
		ours = ours == 1 ? 1 : stream_handshake(&e->st);
		assert_int_not_equal(ours, STREAM_FAILED);
		if (inside)
			peer_reads_all(e);
	}
	assert_int_equal(ours, 1);
	assert_int_equal(theirs, 1);
	stream_want(&e->st, 0);
}

static void
start_below(struct ends *e)
{
	e->below = SSL_new(e->client_ctx);
	SSL_set_fd(e->below, e->peer);
	shake_hands(e, e->below, false);
}

static void
start_inside(struct ends *e)
{
	e->inside = SSL_new(e->client_ctx);
	SSL_set_bio(e->inside, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(e->inside), -1);
	shake_hands(e, e->inside, true);
	peer_reads_all(e);
	e->frames = 0;
}

static int
setup(void **state, bool below, bool inside)
{
	struct ends *e;

	setup_bare(state);
	e = *state;
	if (below)
		start_below(e);
	assert_int_equal(stream_start_websocket(&e->st, slice_of(NULL, 0)), 0);
	assert_null(e->st.ssl);
	if (inside)
		start_inside(e);
	return 0;
}

int
setup_plain(void **state)
{
	return setup(state, false, false);
}

int
setup_over_tls(void **state)
{
	return setup(state, true, false);
}

int
setup_under_tls(void **state)
{
	return setup(state, false, true);
}

int
setup_between(void **state)
{
	return setup(state, true, true);
}

int
teardown(void **state)
{
	struct ends *e = *state;

	stream_fini(&e->st);
	tls_local_free(e->local);
	SSL_free(e->below);
	SSL_free(e->inside);
	SSL_CTX_free(e->server_ctx);
	SSL_CTX_free(e->client_ctx);
	if (e->peer >= 0)
		close(e->peer);
	loop_free(e->loop);
	buf_fini(&e->wire);
	buf_fini(&e->payload);
	buf_fini(&e->told);
	test_free(e->sent);
	test_free(e->got);
	test_free(e);
	return 0;
}

void
check_recv(struct ends *e, const char *want)
{
	ssize_t n = stream_recv(&e->st, e->got, BIG);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(e->got, want, strlen(want));
}

/* Let the peer read all of it, and flush behind it. */
void
drain_to_peer(struct ends *e, size_t total)
{
	for (int i = 0; i < 100000 && e->payload.n < total; i++) {
		(void)peer_read(e);
		if (stream_is_blocked(&e->st))
			assert_int_equal(stream_flush(&e->st), 0);
	}
	check_heard(e, e->sent, total);
	assert_false(stream_is_blocked(&e->st));
	assert_null(e->st.out); /* nothing is kept */
	assert_int_equal(e->st.interest & EV_WRITE, 0);
}
