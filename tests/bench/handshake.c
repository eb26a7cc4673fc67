/* SPDX-License-Identifier: PostgreSQL
 *
 * handshake - what a TLS handshake with a client costs us, by the kind of certificate; part of
 * `make bench`. CPU of the thread while our calls run, the client's part not counted; the kinds
 * take turns, so that what else the machine does meets all of them alike.
 *
 *   handshake [ROUNDS]      prints a table in markdown: median and range over the rounds (default
 * 15)
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/ev/loop.h"
#include "proxy/config/config.h"
#include "proxy/net/stream.h"
#include "proxy/net/tlsctx.h"

#define ROUNDS_MAX 1000
#define EACH       20 /* handshakes of a kind in a round */

struct kind {
	const char *name;
	int rsa_bits; /* 0: ECDSA with P-256 */
	int version;
	bool resumed;
	struct tlsset *set;
	SSL_SESSION *ticket;
	double us[ROUNDS_MAX];
};

static struct kind kinds[] = {
	{ .name = "ECDSA P-256", .version = TLS1_3_VERSION },
	{ .name = "RSA 2048", .rsa_bits = 2048, .version = TLS1_3_VERSION },
	{ .name = "RSA 3072", .rsa_bits = 3072, .version = TLS1_3_VERSION },
	{ .name = "RSA 4096", .rsa_bits = 4096, .version = TLS1_3_VERSION },
	{ .name = "resumed", .version = TLS1_3_VERSION, .resumed = true },
	{ .name = "ECDSA P-256, TLS 1.2", .version = TLS1_2_VERSION },
	{ .name = "resumed, TLS 1.2", .version = TLS1_2_VERSION, .resumed = true },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "handshake: %s failed\n", what);
	exit(1);
}

static void
put_pem(char *name, X509 *cert, EVP_PKEY *key)
{
	int fd = mkstemp(name);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	must(f != NULL, name);
	if (cert != NULL)
		must(PEM_write_X509(f, cert) == 1, name);
	else
		must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1, name);
	fclose(f);
}

/* A context as of a listener with a certificate of that kind. */
static struct tlsset *
build(int rsa_bits)
{
	char cert_file[] = "/tmp/handshake-XXXXXX", key_file[] = "/tmp/handshake-XXXXXX";
	struct conf_listener l = { .name = (char[]){ "main" },
				   .tls = MODE_ALLOW,
				   .tls_cert_file = cert_file,
				   .tls_key_file = key_file };
	struct config config = { .listeners = &l, .nlisteners = 1 };
	EVP_PKEY *key = rsa_bits > 0 ? EVP_RSA_gen((unsigned)rsa_bits) : EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	struct tlsset *set;
	struct err e;

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	must(X509_sign(cert, key, EVP_sha256()) > 0, "X509_sign");
	put_pem(cert_file, cert, NULL);
	put_pem(key_file, NULL, key);
	set = tlsset_build(&config, &e);
	must(set != NULL, "tlsset_build");
	unlink(cert_file);
	unlink(key_file);
	X509_free(cert);
	EVP_PKEY_free(key);
	return set;
}

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct kind *k = SSL_get_app_data(ssl);

	SSL_SESSION_free(k->ticket);
	k->ticket = session;
	return 1;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static SSL *
new_client(struct kind *k, SSL_CTX *ctx, int fd)
{
	SSL *client = SSL_new(ctx);

	SSL_set_app_data(client, k);
	SSL_set_max_proto_version(client, k->version);
	SSL_set_fd(client, fd);
	SSL_set_connect_state(client);
	if (k->resumed && k->ticket != NULL)
		SSL_set_session(client, k->ticket);
	return client;
}

/* One handshake; what it cost us. */
static double
shake(struct kind *k, SSL_CTX *ctx, struct loop *loop, struct tls_local *local)
{
	int fd[2], ours = STREAM_AGAIN, theirs = 0;
	double cost = 0, from;
	bool again = k->resumed && k->ticket != NULL;
	struct stream st;
	SSL *client;
	char byte;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0, "socketpair");
	client = new_client(k, ctx, fd[1]);
	from = cpu_us();
	stream_init(&st, loop_base(loop), fd[0], on_event, NULL);
	must(stream_start_tls(&st, tlsset_listener(k->set, 0), local, true) == 0, "start");
	cost += cpu_us() - from;
	for (int i = 0; i < 10 && (ours != 1 || theirs != 1); i++) {
		theirs = theirs == 1 ? 1 : SSL_do_handshake(client);
		from = cpu_us();
		ours = ours == 1 ? 1 : stream_handshake(&st);
		cost += cpu_us() - from;
	}
	must(ours == 1 && theirs == 1, k->name);
	must(tls_was_resumed(st.ssl) == again, "resumption");
	(void)SSL_read(client, &byte, 1); /* the ticket */
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	stream_fini(&st);
	SSL_free(client);
	close(fd[1]);
	return cost;
}

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_kind(struct kind *k, int rounds)
{
	qsort(k->us, (size_t)rounds, sizeof(k->us[0]), by_size);
	printf("| %s | %.0f | %.0f - %.0f |\n", k->name, k->us[rounds / 2], k->us[0],
	       k->us[rounds - 1]);
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 15;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct loop *loop = loop_new();
	struct tls_local *local = tls_local_new();

	must(rounds > 0 && rounds <= ROUNDS_MAX, "the number of rounds");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
	for (size_t k = 0; k < NKINDS; k++) {
		kinds[k].set = build(kinds[k].rsa_bits);
		(void)shake(&kinds[k], ctx, loop, local);
	}
	for (int r = 0; r < rounds; r++) {
		for (size_t k = 0; k < NKINDS; k++) {
			for (int i = 0; i < EACH; i++)
				kinds[k].us[r] += shake(&kinds[k], ctx, loop, local) / EACH;
		}
	}
	printf("| TLS handshake with a client | CPU, us (median) | range |\n| --- | --- | --- |\n");
	for (size_t k = 0; k < NKINDS; k++) {
		print_kind(&kinds[k], rounds);
		SSL_SESSION_free(kinds[k].ticket);
		tlsset_unref(kinds[k].set);
	}
	tls_local_free(local);
	SSL_CTX_free(ctx);
	loop_free(loop);
	return 0;
}
