/* SPDX-License-Identifier: PostgreSQL
 *
 * The WebSocket layer of a stream over a socketpair, in each of its four places: on the bare
 * socket, over TLS, under TLS, and between two. The peer is the test's own: it masks what it says,
 * and takes apart what it hears.
 */
#include "config.h"

#include "proxy/net/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/ev/loop.h"
#include "proxy/net/stream.h"
#include "proxy/net/tlsctx.h"
#include "tests/unit/unit.h"

#define BIG ((size_t)300000)

static const char key[4] = { 0x11, (char)0xe2, 0x33, 0x44 };

struct ends {
	struct loop *loop;
	struct stream st;
	int peer;
	short seen; /* events since the last poll_events() */
	SSL_CTX *server_ctx, *client_ctx;
	struct tls_local *local;
	SSL *below, *inside; /* of the peer, or NULL */
	struct buf wire;     /* what the peer has received, and not taken apart */
	struct buf payload;  /* what it has heard */
	struct buf told;     /* the control frames it has seen, in words */
	unsigned frames;     /* of data */
	size_t peer_reads;   /* at most so much at a time */
	char *sent, *got;    /* BIG bytes each */
};

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ends *e = arg;

	(void)fd;
	e->seen |= what;
}

static short
poll_events(struct ends *e)
{
	e->seen = 0;
	loop_poll(e->loop);
	return e->seen;
}

/* ---- the peer ---- */

static void
peer_write(struct ends *e, const char *p, size_t n)
{
	if (e->below != NULL)
		assert_int_equal(SSL_write(e->below, p, (int)n), n);
	else
		assert_int_equal(write(e->peer, p, n), n);
}

/* One frame; `first` is its first byte. */
static void
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

static void
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

static void
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
static bool
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

static void
peer_reads_all(struct ends *e)
{
	while (peer_read(e))
		continue;
}

static void
check_heard(struct ends *e, const char *p, size_t n)
{
	peer_reads_all(e);
	assert_int_equal(e->payload.n, n);
	assert_true(n == 0 || memcmp(e->payload.p, p, n) == 0);
	buf_clear(&e->payload);
}

static void
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

static int
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

static int
setup_plain(void **state)
{
	return setup(state, false, false);
}

static int
setup_over_tls(void **state)
{
	return setup(state, true, false);
}

static int
setup_under_tls(void **state)
{
	return setup(state, false, true);
}

static int
setup_between(void **state)
{
	return setup(state, true, true);
}

static int
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

static void
check_recv(struct ends *e, const char *want)
{
	ssize_t n = stream_recv(&e->st, e->got, BIG);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(e->got, want, strlen(want));
}

/* ---- in every place ---- */

static void
bytes_go_both_ways(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	peer_say(e, "hello", 5);
	check_recv(e, "hello");
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	assert_int_equal(stream_send(&e->st, "world", 5), 0);
	assert_false(stream_is_blocked(&e->st));
	check_heard(e, "world", 5);
	assert_int_equal(e->frames, 1);
	assert_true(stream_is_encrypted(&e->st) == (e->below != NULL || e->inside != NULL));
	assert_string_equal(stream_tls_version(&e->st),
			    e->below != NULL || e->inside != NULL ? "TLSv1.3" : "");
}

/* Let the peer read all of it, and flush behind it. */
static void
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

static void
what_the_peer_does_not_take_goes_first(void **state)
{
	struct ends *e = *state;

	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	for (int i = 0; i < 5; i++)
		(void)peer_read(e);
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, BIG);
}

/* Sends of every size around a peer that reads little: headers are cut wherever they can be. */
static void
frames_survive_a_peer_that_reads_little(void **state)
{
	struct ends *e = *state;
	size_t at = 0;

	e->peer_reads = 777;
	for (size_t n = 1; at < BIG; n = n * 3 % 9973 + 1) {
		size_t here = n < BIG - at ? n : BIG - at;

		assert_int_equal(stream_send(&e->st, e->sent + at, here), 0);
		at += here;
		(void)peer_read(e);
	}
	drain_to_peer(e, BIG);
}

static void
bytes_that_no_descriptor_announces_are_announced(void **state)
{
	struct ends *e = *state;
	size_t at = 0;

	for (int i = 0; i < 4; i++)
		peer_say(e, e->sent + i * 1000, 1000);
	stream_want(&e->st, EV_READ);
	while (at < 4000) {
		ssize_t n;

		assert_int_equal(poll_events(e) & EV_READ, EV_READ);
		n = stream_recv(&e->st, e->got + at, 700);
		assert_true(n > 0 || n == STREAM_AGAIN);
		at += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(at, 4000);
	assert_memory_equal(e->got, e->sent, 4000);
	if (poll_events(e) != 0)
		assert_int_equal(stream_recv(&e->st, e->got, 700), STREAM_AGAIN);
	assert_int_equal(poll_events(e), 0);
}

static void
a_ping_is_answered(void **state)
{
	struct ends *e = *state;

	peer_frame(e, 0x89, "there?", 6);
	assert_int_equal(stream_recv(&e->st, e->got, BIG), STREAM_AGAIN);
	check_told(e, "<pong there?>");
	peer_frame(e, 0x89, "", 0);
	peer_say(e, "and this", 8);
	check_recv(e, "and this");
	check_told(e, "<pong >");
	assert_int_equal(poll_events(e), 0);
}

static void
a_close_is_answered_and_is_the_end(void **state)
{
	struct ends *e = *state;

	peer_say(e, "last", 4);
	peer_frame(e, 0x88, "\x03\xe9", 2);
	peer_say(e, "no more", 7);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), EV_READ);
	check_recv(e, "last");
	assert_int_equal(poll_events(e), EV_READ);
	if (e->inside != NULL) /* without its close_notify, TLS has been cut off */
		assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	else
		assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	check_told(e, "<close 1001>");
	/* what nobody hears is not said */
	e->frames = 0;
	if (e->inside == NULL)
		assert_int_equal(stream_send(&e->st, "x", 1), 0);
	stream_fini(&e->st);
	check_told(e, "");
	assert_int_equal(e->frames, 0);
}

static void
the_end_is_said_behind_the_last_bytes(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, "good bye", 8), 0);
	stream_end(&e->st);
	check_heard(e, "good bye", 8);
	check_told(e, "<close 1000>");
	stream_fini(&e->st);
	check_told(e, "");
	if (e->inside != NULL)
		assert_int_equal(SSL_get_shutdown(e->inside), SSL_RECEIVED_SHUTDOWN);
	if (e->below != NULL)
		assert_int_equal(SSL_get_shutdown(e->below), SSL_RECEIVED_SHUTDOWN);
}

/* What was under way when we said Close still comes, and then the peer's own. */
static void
the_peer_can_answer_our_close(void **state)
{
	struct ends *e = *state;
	ssize_t n;

	stream_want(&e->st, EV_READ);
	stream_end(&e->st);
	assert_int_equal(poll_events(e), 0);
	peer_frame(e, 0x89, "late", 4);
	peer_say(e, "under way", 9);
	assert_int_equal(poll_events(e), EV_READ);
	check_recv(e, "under way");
	peer_frame(e, 0x88, "\x03\xe8", 2);
	assert_int_equal(poll_events(e), EV_READ);
	n = stream_recv(&e->st, e->got, 100);
	assert_true(n == 0 || (e->inside != NULL && n == STREAM_FAILED));
	check_told(e, "<close 1000>");
}

static void
an_end_behind_what_is_not_taken_is_said_later(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	stream_end(&e->st);
	check_told(e, "");
	drain_to_peer(e, BIG);
	check_told(e, "");
	stream_end(&e->st);
	check_told(e, "<close 1000>");
}

static void
what_was_wrong_is_said(void **state)
{
	struct ends *e = *state;

	peer_say(e, "good", 4);
	peer_frame(e, 0x81, "text", 4);
	check_recv(e, "good");
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_string_equal(websocket_fault(&e->st), "a text frame");
	check_told(e, "<close 1003>");
}

static void
a_stream_moves_in_the_middle_of_a_frame(void **state)
{
	struct ends *e = *state;
	struct stream to;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	peer_say(e, "to be read", 10);
	stream_move(&e->st, &to, on_event, e);
	assert_false(stream_is_open(&e->st));
	assert_null(e->st.ws);
	e->st = to;
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e) & EV_READ, EV_READ);
	check_recv(e, "to be read");
	drain_to_peer(e, BIG);
}

/* ---- on the bare socket ---- */

/* Every byte by itself: no piece of a frame needs another to be there. */
static void
frames_may_come_byte_by_byte(void **state)
{
	struct ends *e = *state;
	struct buf b = { 0 }, got = { 0 };

	put_frame(&b, 0x02, "frag", 4);
	put_frame(&b, 0x89, "ping", 4);
	put_frame(&b, 0x80, "ments", 5);
	put_frame(&b, 0x82, e->sent, 300);
	for (size_t i = 0; i < b.n; i++) {
		ssize_t n;

		peer_write(e, b.p + i, 1);
		n = stream_recv(&e->st, e->got, BIG);
		assert_true(n == 1 || n == STREAM_AGAIN);
		if (n == 1)
			buf_put(&got, e->got, 1);
	}
	assert_int_equal(got.n, 309);
	assert_memory_equal(got.p, "fragments", 9);
	assert_memory_equal(got.p + 9, e->sent, 300);
	check_told(e, "<pong ping>");
	buf_fini(&b);
	buf_fini(&got);
}

/* Pings while nothing can be sent: the answer to the last is kept, and goes between two frames. */
static void
pings_that_cannot_be_answered_cost_nothing(void **state)
{
	struct ends *e = *state;
	char text[20];

	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		peer_frame(e, 0x89, text, strlen(text));
		assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	}
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, BIG);
	check_told(e, "<pong 999>");
}

static void
pings_that_fill_the_socket_with_answers_are_bounded(void **state)
{
	struct ends *e = *state;
	char text[WS_CONTROL_MAX] = { 0 };
	int told = 0;

	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		peer_frame(e, 0x89, text, sizeof(text));
		assert_int_equal(stream_recv(&e->st, e->got, 1000), STREAM_AGAIN);
	}
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_WRITE);
	while (stream_is_blocked(&e->st)) {
		(void)peer_read(e);
		assert_int_equal(stream_flush(&e->st), 0);
		told++;
	}
	peer_reads_all(e);
	assert_in_range(told, 1, 1000);
	assert_non_null(strstr(e->told.p, "<pong 4999"));
	assert_int_equal(e->st.interest, 0);
}

static void
what_came_behind_the_handshake_comes_first(void **state)
{
	struct ends *e = *state;
	struct buf b = { 0 };

	put_frame(&b, 0x82, "early", 5);
	put_frame(&b, 0x89, "?", 1);
	put_frame(&b, 0x82, "half of this", 12);
	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_start_websocket(&e->st, slice_of(b.p, b.n - 8)), 0);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 3), 3);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got + 3, 100), 6);
	assert_memory_equal(e->got, "earlyhalf", 9);
	assert_int_equal(poll_events(e), 0);
	peer_write(e, b.p + b.n - 8, 8);
	check_recv(e, " of this");
	check_told(e, "<pong ?>");
	buf_fini(&b);
}

static void
the_first_byte_can_be_looked_at(void **state)
{
	struct ends *e = *state;
	char first = 'x';

	stream_want(&e->st, EV_READ);
	assert_false(stream_peek(&e->st, &first));
	peer_say(e, "hello", 5);
	assert_true(stream_peek(&e->st, &first));
	assert_int_equal(first, 'h');
	assert_true(stream_peek(&e->st, &first));
	assert_int_equal(poll_events(e), 0); /* it was not waited for anew … */
	stream_want(&e->st, 0);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), EV_READ); /* … but now */
	check_recv(e, "hello");
}

/* ---- silence ---- */

static void
tick(struct ends *e, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(websocket_tick(&e->st), 0);
}

static void
who_is_silent_is_pinged(void **state)
{
	struct ends *e = *state;

	tick(e, 3);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
	peer_frame(e, 0x8a, "", 0);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	tick(e, 3);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
	assert_int_equal(stream_send(&e->st, "x", 1), 0);
	tick(e, 4);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
}

static void
who_does_not_answer_is_given_up(void **state)
{
	struct ends *e = *state;

	tick(e, 4 + 11);
	assert_int_equal(websocket_tick(&e->st), -1);
}

static void
whatever_is_said_is_an_answer(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 5; i++) {
		tick(e, 11);
		peer_say(e, "x", 1);
		check_recv(e, "x");
	}
	tick(e, 11);
}

static void
who_takes_nothing_is_not_asked(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	tick(e, 100);
	drain_to_peer(e, BIG);
	check_told(e, "");
	tick(e, 1);
	tick(e, 4); /* it is asked now … */
	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	tick(e, 100); /* … and takes nothing any more */
	drain_to_peer(e, BIG);
	check_told(e, "<ping >");
}

static void
a_plain_stream_has_none_of_this(void **state)
{
	struct ends *e = *state;

	tick(e, 100);
	assert_null(websocket_fault(&e->st));
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
}

static void
a_code_is_said_unless_the_peer_was_first(void **state)
{
	struct ends *e = *state;

	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	stream_fini(&e->st);
	check_told(e, "<close 1001>");
}

static void
a_close_without_a_code_is_answered_as_normal(void **state)
{
	struct ends *e = *state;

	peer_frame(e, 0x88, "", 0);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	stream_fini(&e->st);
	check_told(e, "<close 1000>");
}

static void
a_close_that_cannot_be_answered_yet_is_answered_in_its_words(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	peer_frame(e, 0x88, "\x0f\xa0", 2);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	drain_to_peer(e, BIG);
	check_told(e, "<close 4000>");
}

static void
the_end_of_the_file_needs_no_close(void **state)
{
	struct ends *e = *state;

	peer_say(e, "bye", 3);
	close(e->peer);
	e->peer = -1;
	check_recv(e, "bye");
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	assert_int_equal(stream_send(&e->st, "x", 1), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_plain, teardown)
#define EACH(f)                                                               \
	cmocka_unit_test_setup_teardown(f, setup_plain, teardown),            \
	    { #f " (over TLS)", f, setup_over_tls, teardown, NULL },          \
	    { #f " (under TLS)", f, setup_under_tls, teardown, NULL },        \
	{                                                                     \
#f " (between TLS and TLS)", f, setup_between, teardown, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(bytes_go_both_ways),
		EACH(what_the_peer_does_not_take_goes_first),
		EACH(frames_survive_a_peer_that_reads_little),
		EACH(bytes_that_no_descriptor_announces_are_announced),
		EACH(a_ping_is_answered),
		EACH(a_close_is_answered_and_is_the_end),
		EACH(the_end_is_said_behind_the_last_bytes),
		EACH(the_peer_can_answer_our_close),
		EACH(an_end_behind_what_is_not_taken_is_said_later),
		EACH(what_was_wrong_is_said),
		EACH(a_stream_moves_in_the_middle_of_a_frame),
		TEST(frames_may_come_byte_by_byte),
		TEST(pings_that_cannot_be_answered_cost_nothing),
		TEST(pings_that_fill_the_socket_with_answers_are_bounded),
		cmocka_unit_test_setup_teardown(what_came_behind_the_handshake_comes_first,
						setup_bare, teardown),
		TEST(the_first_byte_can_be_looked_at),
		TEST(who_is_silent_is_pinged),
		TEST(who_does_not_answer_is_given_up),
		TEST(whatever_is_said_is_an_answer),
		TEST(who_takes_nothing_is_not_asked),
		cmocka_unit_test_setup_teardown(a_plain_stream_has_none_of_this, setup_bare,
						teardown),
		TEST(a_code_is_said_unless_the_peer_was_first),
		TEST(a_close_without_a_code_is_answered_as_normal),
		TEST(a_close_that_cannot_be_answered_yet_is_answered_in_its_words),
		TEST(the_end_of_the_file_needs_no_close),
	};

	return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
