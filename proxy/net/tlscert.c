/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/tlscert.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

static X509 *
certificate_of(const struct ssl_st *ssl)
{
	if (ssl == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		return NULL;
	return SSL_get0_peer_certificate(ssl);
}

bool
tlscert_is_there(const struct ssl_st *ssl)
{
	return certificate_of(ssl) != NULL;
}

bool
tlscert_put_cn(const struct ssl_st *ssl, struct buf *to)
{
	X509 *cert = certificate_of(ssl);
	const X509_NAME *subject = cert != NULL ? X509_get_subject_name(cert) : NULL;
	int at = subject != NULL ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
	unsigned char *text;
	int n;

	if (at < 0)
		return false;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (n < 0)
		return false;
	buf_put(to, text, (size_t)n);
	OPENSSL_free(text);
	return n > 0 && !to->failed;
}

bool
tlscert_put_dn(const struct ssl_st *ssl, struct buf *to)
{
	X509 *cert = certificate_of(ssl);
	BIO *bio = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;
	char *text;
	long n = 0;

	if (bio == NULL)
		return false;
	if (X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_get_mem_data(bio, &text);
	if (n > 0)
		buf_put(to, text, (size_t)n);
	BIO_free(bio);
	return n > 0 && !to->failed;
}
