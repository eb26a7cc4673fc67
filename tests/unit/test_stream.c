/* SPDX-License-Identifier: PostgreSQL
 *
 * A stream over a socketpair: ours on one end, a bare descriptor (or an SSL object of the test's
 * own) on the other.
 */
#include "config.h"

#include "proxy/net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/ev/loop.h"
#include "base/mem.h"
#include "proxy/net/tlsctx.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define BIG ((size_t)300000)

struct ends {
	struct loop *loop;
	struct stream st;
	int peer;
	short seen; /* events since the last poll() */
	SSL_CTX *server_ctx, *client_ctx;
	struct tls_local *local;
	SSL *peer_ssl;
	char *sent, *got; /* BIG bytes each */
};

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ends *e = arg;

	(void)fd;
	e->seen |= what;
}

/* What the loop has to say now. */
static short
poll_events(struct ends *e)
{
	e->seen = 0;
	loop_poll(e->loop);
	return e->seen;
}

static int
setup(void **state)
{
	struct ends *e = test_calloc(1, sizeof(*e));
	int fd[2], small = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
				 0);
	e->loop = loop_new();
	e->peer = fd[1];
	e->sent = test_malloc(BIG);
	e->got = test_malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		e->sent[i] = (char)(i * 7 + i / 251);
	e->local = tls_local_new();
	stream_init(&e->st, loop_base(e->loop), fd[0], on_event, e);
	stream_keep_at_most(&e->st, 1 << 20);
	*state = e;
	return 0;
}

static int
teardown(void **state)
{
	struct ends *e = *state;

	stream_fini(&e->st);
	tls_local_free(e->local);
	SSL_free(e->peer_ssl);
	SSL_CTX_free(e->server_ctx);
	SSL_CTX_free(e->client_ctx);
	if (e->peer >= 0)
		close(e->peer);
	loop_free(e->loop);
	test_free(e->sent);
	test_free(e->got);
	test_free(e);
	return 0;
}

static size_t
peer_read(struct ends *e, size_t at, size_t most)
{
	ssize_t n;

	if (e->peer_ssl != NULL)
		n = SSL_read(e->peer_ssl, e->got + at, (int)most);
	else
		n = recv(e->peer, e->got + at, most, 0);
	return n > 0 ? (size_t)n : 0;
}

/* ---- plaintext ---- */

static void
bytes_go_both_ways_and_nothing_is_waited_for(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_recv(&e->st, e->got, 10), STREAM_AGAIN);
	assert_int_equal(stream_send(&e->st, "hello", 5), 0);
	assert_false(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, 0);
	assert_int_equal(peer_read(e, 0, 100), 5);
	assert_memory_equal(e->got, "hello", 5);
	assert_int_equal(write(e->peer, "world!", 6), 6);
	assert_int_equal(stream_recv(&e->st, e->got, 4), 4);
	assert_int_equal(stream_recv(&e->st, e->got + 4, 4), 2);
	assert_memory_equal(e->got, "world!", 6);
	assert_string_equal(stream_tls_version(&e->st), "");
	assert_true(stream_rtt_us(&e->st) == -1);
}

static void
events_come_for_what_is_wanted_and_only_for_that(void **state)
{
	struct ends *e = *state;

	assert_int_equal(write(e->peer, "x", 1), 1);
	assert_int_equal(poll_events(e), 0);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(poll_events(e), EV_READ); /* nothing was read */
	stream_want(&e->st, EV_WRITE);
	assert_int_equal(poll_events(e), EV_WRITE);
	stream_want(&e->st, EV_READ | EV_WRITE);
	assert_int_equal(poll_events(e), EV_READ | EV_WRITE);
	stream_want(&e->st, 0);
	assert_int_equal(poll_events(e), 0);
	assert_int_equal(stream_recv(&e->st, e->got, 10), 1);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), 0);
}

/* Let the peer, which has read `at` bytes, read all of it, in pieces, and flush behind it. */
static void
drain_to_peer(struct ends *e, size_t at, size_t total)
{

	for (int i = 0; i < 100000 && at < total; i++) {
		at += peer_read(e, at, total - at < 3000 ? total - at : 3000);
		if (stream_is_blocked(&e->st))
			assert_int_equal(stream_flush(&e->st), 0);
	}
	assert_int_equal(at, total);
	assert_memory_equal(e->got, e->sent, total);
	assert_false(stream_is_blocked(&e->st));
	assert_null(e->st.out); /* an idle stream owns no buffer */
	assert_int_equal(e->st.interest & EV_WRITE, 0);
}

static void
what_the_peer_does_not_take_is_kept_and_goes_first(void **state)
{
	struct ends *e = *state;
	size_t at = 0;

	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	assert_int_equal(poll_events(e), 0); /* the peer's buffer is full */
	while (poll_events(e) == 0)
		at += peer_read(e, at, 1000);
	/* there is room again, but others wait for it */
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, at, BIG);
	assert_int_equal(e->st.interest, EV_READ);
}

static void
more_than_the_cap_is_refused(void **state)
{
	struct ends *e = *state;

	stream_keep_at_most(&e->st, 1000);
	assert_int_equal(stream_send(&e->st, e->sent, BIG), -1);
}

static void
the_end_of_the_file_is_zero_and_a_send_behind_it_fails(void **state)
{
	struct ends *e = *state;

	assert_int_equal(write(e->peer, "bye", 3), 3);
	close(e->peer);
	e->peer = -1;
	assert_int_equal(stream_recv(&e->st, e->got, 10), 3);
	assert_int_equal(stream_recv(&e->st, e->got, 10), 0);
	assert_int_equal(stream_send(&e->st, "x", 1), -1);
	e->st.out = xcalloc(1, sizeof(*e->st.out));
	buf_put(&e->st.out->bytes, "x", 1);
	assert_int_equal(stream_flush(&e->st), -1);
}

static void
closing_twice_and_using_what_is_closed_is_harmless(void **state)
{
	struct ends *e = *state;

	stream_want(&e->st, EV_READ);
	stream_fini(&e->st);
	stream_fini(&e->st);
	assert_false(stream_is_open(&e->st));
	assert_int_equal(stream_send(&e->st, "x", 1), -1);
	stream_want(&e->st, EV_READ | EV_WRITE);
	assert_int_equal(e->st.interest, 0);
	assert_int_equal(peer_read(e, 0, 10), 0);
	assert_int_equal(poll_events(e), 0);
}

static void
a_stream_moves_with_what_it_has_not_sent(void **state)
{
	struct ends *e = *state;
	struct stream to;

	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	stream_move(&e->st, &to, on_event, e);
	assert_false(stream_is_open(&e->st));
	assert_true(stream_is_blocked(&to));
	assert_int_equal(to.interest, 0);
	e->st = to; /* both events are at rest: the struct may be copied */
	stream_want(&e->st, EV_READ | EV_WRITE);
	drain_to_peer(e, 0, BIG);
}

/* ---- TLS ---- */

static void
make_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_non_null(key);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Both ends in TLS, our stream as the server, with the modes of proxy/net/tlsctx.c. */
static void
start_tls(struct ends *e)
{
	int ours = STREAM_AGAIN, theirs = 0;

	e->server_ctx = SSL_CTX_new(TLS_server_method());
	e->client_ctx = SSL_CTX_new(TLS_client_method());
	make_certificate(e->server_ctx);
	SSL_CTX_set_mode(e->server_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(e->server_ctx, 1);
	e->peer_ssl = SSL_new(e->client_ctx);
	SSL_set_fd(e->peer_ssl, e->peer);
	SSL_set_connect_state(e->peer_ssl);
	assert_int_equal(stream_start_tls(&e->st, e->server_ctx, e->local, true), 0);
	for (int i = 0; i < 20 && (ours != 1 || theirs != 1); i++) {
		theirs = theirs == 1 ? 1 : SSL_do_handshake(e->peer_ssl);
		ours = ours == 1 ? 1 : stream_handshake(&e->st);
		assert_int_not_equal(ours, STREAM_FAILED);
	}
	assert_int_equal(ours, 1);
	assert_int_equal(theirs, 1);
	assert_int_equal(e->st.interest, EV_READ);
	assert_string_equal(stream_tls_version(&e->st), "TLSv1.3");
}

static void
tls_keeps_what_the_peer_does_not_take(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, 0, BIG);
}

/* Read what is announced, `size` bytes at a time, and nothing else. */
static void
read_announced(struct ends *e, size_t at, size_t total, size_t size)
{
	while (at < total) {
		ssize_t n;

		assert_int_equal(poll_events(e) & EV_READ, EV_READ);
		n = stream_recv(&e->st, e->got + at, size);
		assert_true(n > 0);
		at += (size_t)n;
	}
	assert_int_equal(at, total);
	assert_memory_equal(e->got, e->sent, total);
	(void)poll_events(e); /* half a record may have been left */
	assert_int_equal(stream_recv(&e->st, e->got, 10), STREAM_AGAIN);
	assert_int_equal(poll_events(e), 0);
}

/* Four records are in the socket, and 500 bytes are read: OpenSSL has the rest. */
static void
leave_records_unread(struct ends *e)
{
	start_tls(e);
	for (int i = 0; i < 4; i++)
		assert_int_equal(SSL_write(e->peer_ssl, e->sent + i * 1000, 1000), 1000);
	assert_int_equal(stream_recv(&e->st, e->got, 500), 500);
	assert_int_equal(recv(e->st.fd, e->got + 500, 1, MSG_PEEK), -1);
}

static void
records_that_the_kernel_will_not_announce_are_announced(void **state)
{
	struct ends *e = *state;

	leave_records_unread(e);
	read_announced(e, 500, 4000, 700);
}

static void
records_are_announced_when_reading_is_wanted_again(void **state)
{
	struct ends *e = *state;

	leave_records_unread(e);
	stream_want(&e->st, 0);
	assert_int_equal(poll_events(e), 0);
	assert_int_equal(stream_recv(&e->st, e->got + 500, 700), 700);
	assert_int_equal(poll_events(e), 0);
	stream_want(&e->st, EV_READ);
	read_announced(e, 1200, 4000, 700);
}

static void
records_are_announced_when_something_else_is_wanted_too(void **state)
{
	struct ends *e = *state;

	leave_records_unread(e);
	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	read_announced(e, 500, 4000, 700);
}

static void
records_move_with_the_stream(void **state)
{
	struct ends *e = *state;
	struct stream to;

	leave_records_unread(e);
	stream_move(&e->st, &to, on_event, e);
	assert_int_equal(poll_events(e), 0);
	e->st = to;
	stream_want(&e->st, EV_READ);
	read_announced(e, 500, 4000, 700);
}

static void
records_of_a_closed_stream_are_not_announced(void **state)
{
	struct ends *e = *state;

	leave_records_unread(e);
	stream_fini(&e->st);
	assert_int_equal(poll_events(e), 0);
}

/* What the two peers of a fair loop see: in which order they are called. */
struct fair {
	struct ends *e;
	struct event neighbour;
	int fd[2];
	char order[64];
};

static void
note(struct fair *f, char c)
{
	f->order[strlen(f->order)] = c;
}

static void
do_deferred(void *arg)
{
	note(arg, 'd');
}

/* The fast peer: it has always sent more by the time that some of it has been read. And each time
 * somebody else has become ready meanwhile. */
static void
on_fast(evutil_socket_t fd, short what, void *arg)
{
	struct fair *f = arg;

	(void)fd;
	(void)what;
	note(f, 'f');
	assert_true(stream_recv(&f->e->st, f->e->got, 700) > 0);
	assert_int_equal(SSL_write(f->e->peer_ssl, f->e->sent, 1000), 1000);
	assert_int_equal(write(f->fd[1], "x", 1), 1);
	loop_defer(f->e->loop, do_deferred, f);
	if (strlen(f->order) >= 12)
		loop_stop(f->e->loop);
}

static void
on_neighbour(evutil_socket_t fd, short what, void *arg)
{
	char c;

	(void)what;
	note(arg, 'n');
	assert_int_equal(read(fd, &c, 1), 1);
}

static void
a_fast_peer_lets_others_have_their_turn(void **state)
{
	struct fair f = { .e = *state };
	struct stream to;

	leave_records_unread(f.e);
	assert_int_equal(pipe2(f.fd, O_NONBLOCK), 0);
	event_assign(&f.neighbour, loop_base(f.e->loop), f.fd[0], EV_READ | EV_PERSIST,
		     on_neighbour, &f);
	event_add(&f.neighbour, NULL);
	stream_move(&f.e->st, &to, on_event, f.e);
	stream_move(&to, &f.e->st, on_fast, &f);
	stream_want(&f.e->st, EV_READ);
	loop_run(f.e->loop);
	/* the neighbour waits until it is seen, and then for one turn; deferred work for none */
	assert_non_null(strchr(f.order, 'n'));
	assert_null(strstr(f.order, "fdfdfd"));
	assert_null(strstr(f.order, "ff"));
	event_del(&f.neighbour);
	close(f.fd[0]);
	close(f.fd[1]);
}

static void
several_records_are_gathered_in_one_call(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	for (int i = 0; i < 4; i++)
		assert_int_equal(SSL_write(e->peer_ssl, e->sent + i * 500, 500), 500);
	assert_int_equal(stream_recv(&e->st, e->got, BIG), 2000);
	assert_memory_equal(e->got, e->sent, 2000);
}

static void
close_notify_ends_the_stream_both_ways(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(SSL_write(e->peer_ssl, "last", 4), 4);
	(void)SSL_shutdown(e->peer_ssl);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 4);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	stream_fini(&e->st);
	assert_int_equal(SSL_read(e->peer_ssl, e->got, 10), 0);
	assert_int_equal(SSL_get_error(e->peer_ssl, 0), SSL_ERROR_ZERO_RETURN);
}

/* The close_notify is in OpenSSL's memory, and the connection stays open: no FIN will tell. */
static void
close_notify_behind_the_last_bytes_is_announced(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(SSL_write(e->peer_ssl, "the ", 4), 4);
	assert_int_equal(SSL_write(e->peer_ssl, "last", 4), 4);
	(void)SSL_shutdown(e->peer_ssl);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 8);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
}

/* Likewise where the last bytes fill the reader's memory. */
static void
close_notify_that_was_not_looked_at_is_announced(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(SSL_write(e->peer_ssl, "last", 4), 4);
	(void)SSL_shutdown(e->peer_ssl);
	assert_int_equal(stream_recv(&e->st, e->got, 4), 4);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 4), 0);
}

/* The peer wants new keys while it takes nothing: OpenSSL's answer has to wait, and what follows
 * the request has not. */
static void
new_keys_are_agreed_on_with_a_peer_that_takes_nothing(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(SSL_key_update(e->peer_ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_write(e->peer_ssl, "x", 1), 1);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 10), 1);
	drain_to_peer(e, 0, BIG);
	assert_int_equal(SSL_write(e->peer_ssl, "y", 1), 1);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 10), 1);
}

/* OpenSSL's next read has to write first. */
static long
wants_to_write(BIO *b, int op, const char *p, size_t n, int argi, long argl, int r, size_t *done)
{
	(void)p;
	(void)n;
	(void)argi;
	(void)argl;
	(void)done;
	if (op != BIO_CB_READ)
		return r;
	BIO_clear_retry_flags(b);
	BIO_set_retry_write(b);
	return -1;
}

static void
a_read_that_has_to_write_first_is_tried_again_when_it_can(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(SSL_write(e->peer_ssl, "x", 1), 1);
	BIO_set_callback_ex(SSL_get_rbio(e->st.ssl), wants_to_write);
	assert_int_equal(stream_recv(&e->st, e->got, 10), STREAM_AGAIN);
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	assert_int_equal(stream_recv(&e->st, e->got, 10), STREAM_AGAIN);
	BIO_set_callback_ex(SSL_get_rbio(e->st.ssl), NULL);
	assert_int_equal(poll_events(e) & EV_WRITE, EV_WRITE);
	/* even where the socket has nothing to tell */
	assert_int_equal(recv(e->st.fd, e->got, 100, 0) > 0, 1);
	assert_int_equal(stream_flush(&e->st), 0);
	assert_int_equal(e->st.interest, EV_READ);
	assert_int_equal(poll_events(e), EV_READ);
}

static void
noise_instead_of_a_handshake_fails(void **state)
{
	struct ends *e = *state;

	e->server_ctx = SSL_CTX_new(TLS_server_method());
	make_certificate(e->server_ctx);
	assert_int_equal(stream_start_tls(&e->st, e->server_ctx, e->local, true), 0);
	assert_int_equal(stream_handshake(&e->st), STREAM_AGAIN);
	assert_int_equal(e->st.interest, EV_READ);
	assert_int_equal(write(e->peer, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	assert_int_equal(stream_handshake(&e->st), STREAM_FAILED);
}

static void
noise_behind_a_handshake_fails_for_good(void **state)
{
	struct ends *e = *state;

	start_tls(e);
	assert_int_equal(write(e->peer, e->sent, 100), 100);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_int_equal(stream_send(&e->st, "x", 1), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Of n bytes that the peer takes as it likes. */
static double
cost_of_taking(const void *arg, size_t n)
{
	struct ends *e = *(struct ends *const *)arg;
	char *much = test_calloc(n, 1);
	double ms = cost_ms();
	size_t taken = 0;

	stream_keep_at_most(&e->st, n);
	assert_int_equal(stream_send(&e->st, much, n), 0);
	while (taken < n) {
		taken += peer_read(e, 0, BIG);
		assert_int_equal(stream_flush(&e->st), 0);
		assert_true(stream_unsent(&e->st) <= n - taken);
	}
	assert_false(stream_is_blocked(&e->st));
	ms = cost_ms() - ms;
	test_free(much);
	return ms;
}

static void
much_that_is_taken_slowly_is_not_moved(void **state)
{
	double some = cost_least(cost_of_taking, state, (size_t)1 << 20),
	       more = cost_least(cost_of_taking, state, (size_t)32 << 20);

	print_message("# 1 MB: %.1f ms, 32 MB: %.1f ms\n", some, more);
	assert_cost(more, 32, some);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_go_both_ways_and_nothing_is_waited_for),
		TEST(events_come_for_what_is_wanted_and_only_for_that),
		TEST(what_the_peer_does_not_take_is_kept_and_goes_first),
		TEST(more_than_the_cap_is_refused),
		TEST(the_end_of_the_file_is_zero_and_a_send_behind_it_fails),
		TEST(closing_twice_and_using_what_is_closed_is_harmless),
		TEST(a_stream_moves_with_what_it_has_not_sent),
		TEST(much_that_is_taken_slowly_is_not_moved),
		TEST(tls_keeps_what_the_peer_does_not_take),
		TEST(records_that_the_kernel_will_not_announce_are_announced),
		TEST(records_are_announced_when_reading_is_wanted_again),
		TEST(records_are_announced_when_something_else_is_wanted_too),
		TEST(records_move_with_the_stream),
		TEST(records_of_a_closed_stream_are_not_announced),
		TEST(a_fast_peer_lets_others_have_their_turn),
		TEST(several_records_are_gathered_in_one_call),
		TEST(close_notify_ends_the_stream_both_ways),
		TEST(close_notify_behind_the_last_bytes_is_announced),
		TEST(close_notify_that_was_not_looked_at_is_announced),
		TEST(new_keys_are_agreed_on_with_a_peer_that_takes_nothing),
		TEST(a_read_that_has_to_write_first_is_tried_again_when_it_can),
		TEST(noise_instead_of_a_handshake_fails),
		TEST(noise_behind_a_handshake_fails_for_good),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
