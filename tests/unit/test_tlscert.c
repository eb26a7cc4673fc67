/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/tlscert.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/unit/unit.h"

struct part {
	int nid, type;
	const char *text;
	int n;
};

#define CN(type, text)                                            \
	{                                                         \
		NID_commonName, (type), (text), sizeof(text) - 1, \
	}

/* A certificate that signs itself, for this name. */
static X509 *
certificate(const struct part *parts, size_t n, EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_NAME_new();

	for (size_t i = 0; i < n; i++)
		assert_int_equal(X509_NAME_add_entry_by_NID(name, parts[i].nid, parts[i].type,
							    (const unsigned char *)parts[i].text,
							    parts[i].n, -1, 0),
				 1);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	return cert;
}

struct pair {
	SSL_CTX *server_ctx, *client_ctx;
	SSL *server, *client;
	X509 *cert;
	EVP_PKEY *key;
};

static int
insist_on_nothing(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
	return 1;
}

/* Both ends of a handshake; the client shows the certificate, which the server may believe. */
static bool
handshake(struct pair *p, const struct part *parts, size_t n, bool shown, bool believed,
	  SSL_verify_cb verify)
{
	BIO *a, *b;
	int done = 0;

	p->key = EVP_EC_gen("P-256");
	p->cert = certificate(parts, n, p->key);
	p->server_ctx = SSL_CTX_new(TLS_server_method());
	p->client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_use_certificate(p->server_ctx, p->cert);
	SSL_CTX_use_PrivateKey(p->server_ctx, p->key);
	SSL_CTX_set_verify(p->server_ctx, SSL_VERIFY_PEER, verify);
	if (believed)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(p->server_ctx), p->cert);
	if (shown) {
		SSL_CTX_use_certificate(p->client_ctx, p->cert);
		SSL_CTX_use_PrivateKey(p->client_ctx, p->key);
	}
	p->server = SSL_new(p->server_ctx);
	p->client = SSL_new(p->client_ctx);
	BIO_new_bio_pair(&a, 65536, &b, 65536);
	SSL_set_bio(p->server, a, a);
	SSL_set_bio(p->client, b, b);
	SSL_set_accept_state(p->server);
	SSL_set_connect_state(p->client);
	for (int i = 0; i < 8 && done != 1; i++) {
		(void)SSL_do_handshake(p->client);
		done = SSL_do_handshake(p->server);
	}
	return done == 1;
}

static void
pair_fini(struct pair *p)
{
	SSL_free(p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->server_ctx);
	SSL_CTX_free(p->client_ctx);
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

static void
the_names_are_those_of_the_subject(void **state)
{
	static const struct part parts[] = {
		{ NID_organizationName, V_ASN1_UTF8STRING, "Acme, Inc.", 10 },
		CN(V_ASN1_UTF8STRING, "alice"),
	};
	struct pair p;
	struct buf cn = { .cap = 256 }, dn = { .cap = 256 };

	(void)state;
	assert_true(handshake(&p, parts, 2, true, true, NULL));
	assert_true(tlscert_is_there(p.server));
	assert_true(tlscert_put_cn(p.server, &cn));
	assert_string_equal(buf_text(&cn), "alice");
	assert_true(tlscert_put_dn(p.server, &dn));
	assert_string_equal(buf_text(&dn), "CN=alice,O=Acme\\, Inc.");
	pair_fini(&p);
	buf_fini(&cn);
	buf_fini(&dn);
}

static void
a_name_comes_in_utf8_and_whole(void **state)
{
	static const struct {
		struct part parts[2];
		size_t n;
		const char *cn;
		size_t length;
	} rows[] = {
		{ { CN(V_ASN1_PRINTABLESTRING, "bob") }, 1, "bob", 3 },
		{ { CN(V_ASN1_BMPSTRING, "\0b\0\xf6") }, 1, "b\xc3\xb6", 3 },
		/* what stands behind a zero byte is not lost: it makes another name of it */
		{ { CN(V_ASN1_UTF8STRING, "root\0.example") }, 1, "root\0.example", 13 },
		{ { CN(V_ASN1_UTF8STRING, "first"), CN(V_ASN1_UTF8STRING, "second") },
		  2,
		  "first",
		  5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf cn = { .cap = 256 };
		struct pair p;

		assert_true(handshake(&p, rows[i].parts, rows[i].n, true, true, NULL));
		assert_true(tlscert_put_cn(p.server, &cn));
		assert_int_equal(cn.n, rows[i].length);
		assert_memory_equal(cn.p, rows[i].cn, cn.n);
		pair_fini(&p);
		buf_fini(&cn);
	}
}

static void
who_has_no_common_name_is_nobody(void **state)
{
	static const struct part parts[] = {
		{ NID_organizationName, V_ASN1_UTF8STRING, "Acme", 4 },
	};
	struct buf cn = { .cap = 256 };
	struct pair p;

	(void)state;
	assert_true(handshake(&p, parts, 1, true, true, NULL));
	assert_true(tlscert_is_there(p.server));
	assert_false(tlscert_put_cn(p.server, &cn));
	assert_int_equal(cn.n, 0);
	pair_fini(&p);
}

static void
no_certificate_or_a_bad_one_names_nobody(void **state)
{
	static const struct part parts[] = { CN(V_ASN1_UTF8STRING, "alice") };
	struct buf cn = { .cap = 256 };
	struct pair p;

	(void)state;
	assert_true(handshake(&p, parts, 1, false, true, NULL));
	assert_false(tlscert_is_there(p.server));
	assert_false(tlscert_put_cn(p.server, &cn));
	assert_false(tlscert_put_dn(p.server, &cn));
	pair_fini(&p);
	assert_false(handshake(&p, parts, 1, true, false, NULL));
	assert_false(tlscert_is_there(p.server));
	assert_false(tlscert_put_cn(p.server, &cn));
	assert_false(tlscert_put_dn(p.server, &cn));
	pair_fini(&p);
	/* whoever lets the handshake go on all the same has not made it a good one */
	assert_true(handshake(&p, parts, 1, true, false, insist_on_nothing));
	assert_false(tlscert_is_there(p.server));
	assert_false(tlscert_put_cn(p.server, &cn));
	assert_false(tlscert_put_dn(p.server, &cn));
	pair_fini(&p);
	assert_false(tlscert_is_there(NULL));
	assert_false(tlscert_put_cn(NULL, &cn));
	assert_false(tlscert_put_dn(NULL, &cn));
	assert_int_equal(cn.n, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_names_are_those_of_the_subject),
		cmocka_unit_test(a_name_comes_in_utf8_and_whole),
		cmocka_unit_test(who_has_no_common_name_is_nobody),
		cmocka_unit_test(no_certificate_or_a_bad_one_names_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
