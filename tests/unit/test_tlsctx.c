/* SPDX-License-Identifier: PostgreSQL
 *
 * A listener's TLS context as it is built from a configuration, under a stream: what goes over the
 * wire (records and packets are counted), what OpenSSL keeps of an idle session, tickets, and no
 * renegotiation. The pair is one of SOCK_SEQPACKET: each send(2) of ours is one packet of the
 * peer's. What is not read of a packet is gone, and OpenSSL from 3.2 on reads a handshake by header
 * and body, whatever is said of reading ahead: so the peer sends these apart.
 */
#include "config.h"

#include "proxy/net/tlsctx.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/ev/loop.h"
#include "proxy/config/config.h"
#include "proxy/net/stream.h"
#include "tests/unit/unit.h"

#define SCRATCH       (128 * 1024)
#define RECORD_MAX    16384
#define RECORD_HEADER 5
/* Measured on 64 bits: OpenSSL 3.0 has 13,490 with TLS 1.3, of which SSL_new() takes 8,900; 3.5 has
 * 27,550, of which SSL_new() takes 16,060 and the keys of X25519MLKEM768, which it keeps, 6,100. */
#define IDLE_MAX (OpenSSL_version_num() < 0x30200000L ? 13800 : 28000)

/* ---- what OpenSSL holds on our side, in bytes ---- */

/* In front of each piece of OpenSSL's memory. */
union owned {
	struct {
		size_t n;
		bool ours;
	};
	max_align_t align;
};

static bool in_our_call;
static size_t ours_held;

static void *
counted_malloc(size_t n, const char *file, int line)
{
	union owned *p = malloc(sizeof(*p) + n);

	(void)file;
	(void)line;
	if (p == NULL)
		return NULL;
	p->n = n;
	p->ours = in_our_call;
	if (p->ours)
		ours_held += n;
	return p + 1;
}

static void
counted_free(void *ptr, const char *file, int line)
{
	union owned *p = ptr;

	(void)file;
	(void)line;
	if (ptr == NULL)
		return;
	p--;
	if (p->ours)
		ours_held -= p->n;
	free(p);
}

static void *
counted_realloc(void *ptr, size_t n, const char *file, int line)
{
	void *to = counted_malloc(n, file, line);
	size_t had = ptr != NULL ? ((union owned *)ptr - 1)->n : 0;

	if (to != NULL && ptr != NULL) {
		memcpy(to, ptr, had < n ? had : n);
		counted_free(ptr, file, line);
	}
	return to;
}

/* ---- a certificate in files, a context of it ---- */

static char cert_file[] = "/tmp/tlsctx-cert-XXXXXX", key_file[] = "/tmp/tlsctx-key-XXXXXX";

static FILE *
new_file(char *name)
{
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	return fdopen(fd, "w");
}

static int
write_certificate(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *f;

	(void)state;
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	f = new_file(cert_file);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
	f = new_file(key_file);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
	return 0;
}

static int
remove_certificate(void **state)
{
	(void)state;
	unlink(cert_file);
	unlink(key_file);
	return 0;
}

static struct tlsset *
build(void)
{
	struct conf_listener l = { .name = (char[]){ "main" },
				   .tls = MODE_ALLOW,
				   .tls_cert_file = cert_file,
				   .tls_key_file = key_file };
	struct config config = { .listeners = &l, .nlisteners = 1 };
	struct err e;
	struct tlsset *set = tlsset_build(&config, &e);

	assert_non_null(set);
	return set;
}

/* ---- both ends ---- */

struct ends {
	struct loop *loop;
	struct tlsset *set;
	struct tls_local *local;
	struct stream st;
	int type; /* of the sockets: SOCK_SEQPACKET, unless a test says another */
	int fd;   /* the peer's */
	SSL_CTX *ctx;
	SSL *peer;
	SSL_SESSION *ticket;
	int tickets;
	char *sent, *got;
	size_t before; /* of ours_held */
};

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct ends *e = SSL_get_app_data(ssl);

	SSL_SESSION_free(e->ticket);
	e->ticket = session;
	e->tickets++;
	return 1;
}

static int
setup(void **state)
{
	struct ends *e = test_calloc(1, sizeof(*e));

	e->loop = loop_new();
	e->local = tls_local_new();
	e->set = build();
	e->st.fd = e->fd = -1;
	e->type = SOCK_SEQPACKET;
	e->sent = test_malloc(SCRATCH);
	e->got = test_malloc(SCRATCH);
	for (size_t i = 0; i < SCRATCH; i++)
		e->sent[i] = (char)(i * 7 + i / 251);
	e->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(e->ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(e->ctx, keep_ticket);
	*state = e;
	return 0;
}

static void
hang_up(struct ends *e)
{
	stream_fini(&e->st);
	if (e->peer != NULL) /* it was not cut off: what is, OpenSSL does not resume */
		SSL_set_shutdown(e->peer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(e->peer);
	e->peer = NULL;
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

static int
teardown(void **state)
{
	struct ends *e = *state;

	hang_up(e);
	SSL_SESSION_free(e->ticket);
	SSL_CTX_free(e->ctx);
	tls_local_free(e->local);
	tlsset_unref(e->set);
	loop_free(e->loop);
	test_free(e->sent);
	test_free(e->got);
	test_free(e);
	return 0;
}

/* What OpenSSL takes from now on is ours, or the peer's. */
static void
ours(bool is)
{
	in_our_call = is;
}

static int
our_handshake(struct ends *e)
{
	int r;

	ours(true);
	r = stream_handshake(&e->st);
	ours(false);
	return r;
}

static ssize_t
our_recv(struct ends *e)
{
	ssize_t n;

	ours(true);
	n = stream_recv(&e->st, e->got, SCRATCH);
	ours(false);
	return n;
}

static void
our_send(struct ends *e, size_t n)
{
	ours(true);
	assert_int_equal(stream_send(&e->st, e->sent, n), 0);
	ours(false);
	assert_false(stream_is_blocked(&e->st));
}

/* An empty one is not at its end. */
static BIO *
memory(void)
{
	BIO *bio = BIO_new(BIO_s_mem());

	BIO_set_mem_eof_return(bio, -1);
	return bio;
}

/* What has come for the peer. */
static void
peer_takes(struct ends *e)
{
	ssize_t n;

	while ((n = recv(e->fd, e->got, SCRATCH, 0)) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(e->peer), e->got, (int)n), n);
}

/* What the peer has to say, header by header and body by body. */
static void
peer_gives(struct ends *e)
{
	unsigned char *p;
	long left = BIO_get_mem_data(SSL_get_wbio(e->peer), &p);

	while (left > RECORD_HEADER) {
		long body = p[3] << 8 | p[4];

		assert_int_equal(send(e->fd, p, RECORD_HEADER, 0), RECORD_HEADER);
		assert_int_equal(send(e->fd, p + RECORD_HEADER, (size_t)body, 0), body);
		p += RECORD_HEADER + body;
		left -= RECORD_HEADER + body;
	}
	assert_int_equal(left, 0);
	(void)BIO_reset(SSL_get_wbio(e->peer));
}

static int
peer_handshake(struct ends *e)
{
	int r;

	peer_takes(e);
	r = SSL_do_handshake(e->peer);
	peer_gives(e);
	return r;
}

static void
connect_with(struct ends *e, int version)
{
	int fd[2], large = 1 << 20, mine = STREAM_AGAIN, theirs = 0;

	assert_int_equal(socketpair(AF_UNIX, e->type | SOCK_NONBLOCK, 0, fd), 0);
	(void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	stream_init(&e->st, loop_base(e->loop), fd[0], on_event, NULL);
	stream_keep_at_most(&e->st, 1 << 20);
	e->fd = fd[1];
	e->peer = SSL_new(e->ctx);
	SSL_set_app_data(e->peer, e);
	SSL_set_max_proto_version(e->peer, version);
	SSL_set_bio(e->peer, memory(), memory());
	SSL_set_connect_state(e->peer);
	if (e->ticket != NULL)
		SSL_set_session(e->peer, e->ticket);
	e->tickets = 0;
	e->before = ours_held;
	ours(true);
	assert_int_equal(stream_start_tls(&e->st, tlsset_listener(e->set, 0), e->local, true), 0);
	ours(false);
	for (int i = 0; i < 20 && (mine != 1 || theirs != 1); i++) {
		theirs = theirs == 1 ? 1 : peer_handshake(e);
		mine = mine == 1 ? 1 : our_handshake(e);
		assert_int_not_equal(mine, STREAM_FAILED);
	}
	assert_int_equal(mine, 1);
	assert_int_equal(theirs, 1);
	assert_int_equal(SSL_version(e->peer), version);
}

/* A message each way. */
static void
chat(struct ends *e)
{
	assert_int_equal(SSL_write(e->peer, "ask", 3), 3);
	peer_gives(e);
	assert_int_equal(our_recv(e), 3);
	our_send(e, 300);
	peer_takes(e);
	assert_int_equal(SSL_read(e->peer, e->got, SCRATCH), 300);
}

static const int versions[2] = { TLS1_3_VERSION, TLS1_2_VERSION };

/* ---- the tests ---- */

/* What is in the packet, in records; -1: there is none. */
static int
records_of_packet(struct ends *e)
{
	unsigned char *p = (unsigned char *)e->got;
	ssize_t n = recv(e->fd, p, SCRATCH, MSG_TRUNC);
	ssize_t at = 0;
	int records = 0;

	while (at + RECORD_HEADER <= n) {
		at += RECORD_HEADER + (p[at + 3] << 8 | p[at + 4]);
		records++;
	}
	if (n < 0)
		return -1;
	assert_int_equal(at, n);
	return records;
}

static void
a_burst_is_one_record_in_one_packet(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 2; i++) {
		connect_with(e, versions[i]);
		chat(e);
		our_send(e, 5000);
		assert_int_equal(records_of_packet(e), 1);
		assert_int_equal(records_of_packet(e), -1);
		hang_up(e);
	}
}

static void
an_idle_session_keeps_no_buffers(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 2; i++) {
		size_t idle;

		connect_with(e, versions[i]);
		chat(e);
		idle = ours_held - e->before;
		print_message("# %zu bytes with %s\n", idle, SSL_get_version(e->peer));
		assert_true(idle <= IDLE_MAX);
		for (int n = 0; n < 100; n++)
			chat(e);
		assert_true(ours_held - e->before <= idle);
		hang_up(e);
		assert_int_equal(ours_held, e->before);
	}
}

static void
a_ticket_is_given_and_taken_back(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 2; i++) {
		connect_with(e, versions[i]);
		chat(e);
		assert_int_equal(e->tickets, 1);
		assert_int_equal(tls_was_resumed(e->st.ssl), false);
		for (int n = 0; n < 3; n++) {
			hang_up(e);
			connect_with(e, versions[i]);
			chat(e);
			assert_int_equal(tls_was_resumed(e->st.ssl), true);
		}
		hang_up(e);
		SSL_SESSION_free(e->ticket);
		e->ticket = NULL;
	}
}

static void
a_ticket_of_other_rules_is_not_taken(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 2; i++) {
		connect_with(e, versions[i]);
		chat(e);
		hang_up(e);
		tlsset_unref(e->set);
		e->set = build();
		connect_with(e, versions[i]);
		assert_int_equal(tls_was_resumed(e->st.ssl), false);
		hang_up(e);
	}
}

static void
nobody_negotiates_again(void **state)
{
	struct ends *e = *state;

	connect_with(e, TLS1_2_VERSION);
	chat(e);
	assert_int_equal(SSL_renegotiate(e->peer), 1);
	assert_int_equal(peer_handshake(e), -1);
	assert_int_equal(our_recv(e), STREAM_AGAIN); /* an alert is all that it has */
	ERR_clear_error();
	assert_int_equal(peer_handshake(e), -1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	our_send(e, 100); /* the session itself lives */
}

/* So many messages of TLS's own, sent at once. */
static void
change_keys(struct ends *e, int times)
{
	unsigned char *p;
	long n;

	for (int i = 0; i < times; i++) {
		assert_int_equal(SSL_key_update(e->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(e->peer), 1);
	}
	n = BIO_get_mem_data(SSL_get_wbio(e->peer), &p);
	assert_int_equal(send(e->fd, p, (size_t)n, 0), n);
	(void)BIO_reset(SSL_get_wbio(e->peer));
}

static void
keys_may_change(void **state)
{
	struct ends *e = *state;

	connect_with(e, TLS1_3_VERSION);
	for (int i = 0; i < 20; i++) {
		change_keys(e, 100);
		assert_int_equal(our_recv(e), STREAM_AGAIN);
		chat(e);
	}
}

/* Nobody else of the thread has his turn before SSL_read() returns. */
static void
who_has_only_keys_to_say_is_cut_off(void **state)
{
	struct ends *e = *state;

	e->type = SOCK_STREAM;
	connect_with(e, TLS1_3_VERSION);
	change_keys(e, 5000);
	assert_int_equal(our_recv(e), STREAM_FAILED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_burst_is_one_record_in_one_packet),
		TEST(an_idle_session_keeps_no_buffers),
		TEST(a_ticket_is_given_and_taken_back),
		TEST(a_ticket_of_other_rules_is_not_taken),
		TEST(nobody_negotiates_again),
		TEST(keys_may_change),
		TEST(who_has_only_keys_to_say_is_cut_off),
	};

	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
		return 1;
	return cmocka_run_group_tests_name("tlsctx", tests, write_certificate, remove_certificate);
}
