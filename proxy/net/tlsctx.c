/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/tlsctx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/addr.h"
#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "base/text.h"
#include "proxy/config/config.h"
#include "proxy/net/tlsbio.h"

struct tlsset {
	struct refcount refs;
	SSL_CTX **listeners, **regions;
	uint64_t *terms; /* of each region */
	size_t nlisteners, nregions;
	SSL_CTX *peers; /* for connections to the other proxies, or NULL */
};

/* A node's session ticket, and the context under whose rules its certificate was checked. Resuming
 * checks nothing again, so a ticket must not outlive a reload that may have made the rules
 * stricter. */
struct ticket {
	SSL_SESSION *session;
	SSL_CTX *ctx; /* one reference, so that no other context gets its address */
};

struct tls_local {
	struct bio_st *bio[TLSBIO_KINDS];
	struct ticket *v; /* by node id */
	uint32_t n;
};

/* Protocol names in ALPN's format, the preferred one first. */
static const unsigned char alpn_postgresql[] = "\012postgresql";
static const unsigned char alpn_with_http[] = "\012postgresql\010http/1.1";
#define CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define ALPN_LENGTH  (sizeof(alpn_postgresql) - 1)

void
tls_last_error(const struct ssl_st *ssl, char *to, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	long verify = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (verify != X509_V_OK)
		snprintf(to, size, "%s", X509_verify_cert_error_string(verify));
	else if (reason != NULL)
		snprintf(to, size, "%s", reason);
	else
		snprintf(to, size, "connection closed");
	ERR_clear_error();
}

/* err_set() with OpenSSL's reason behind the text. */
static int
tls_err(struct err *e, const char *what, const char *file)
{
	char reason[200];

	tls_last_error(NULL, reason, sizeof(reason));
	return err_set(e, "F0000", "%s \"%s\": %s", what, file, reason);
}

static SSL_CTX *
new_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				     SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* free buffers when idle; allow short writes; read a burst with one read(2) */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* AES-128 first: it is as safe, faster, and its SHA-256 state, which each idle session
	 * holds twice, has half the size */
	(void)SSL_CTX_set_ciphersuites(ctx, CIPHERSUITES);
	return ctx;
}

static int
use_certificate(SSL_CTX *ctx, const char *cert, const char *key, struct err *e)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return tls_err(e, "could not load certificate file", cert);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return tls_err(e, "could not load private key file", key);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return tls_err(e, "the private key does not fit the certificate:", key);
	return 0;
}

static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
	    unsigned inlen, void *arg)
{
	unsigned char *chosen;
	const unsigned char *ours = arg;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, outlen, ours, (unsigned)strlen(arg), in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
listener_context(const struct conf_listener *l, struct err *e)
{
	static const unsigned char context_id[] = "meridian";
	SSL_CTX *ctx = new_context(TLS_server_method());

	if (ctx == NULL) {
		err_set(e, "53200", "out of memory");
		return NULL;
	}
	if (use_certificate(ctx, l->tls_cert_file, l->tls_key_file, e) != 0)
		goto failed;
	if (l->tls_ca_file != NULL) {
		if (SSL_CTX_load_verify_locations(ctx, l->tls_ca_file, NULL) != 1) {
			tls_err(e, "could not load CA file", l->tls_ca_file);
			goto failed;
		}
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		/* clients with several certificates choose by these names */
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(l->tls_ca_file));
	}
	/* only stateless tickets: workers share no cache and need no lock */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, context_id, sizeof(context_id) - 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn,
				   (void *)(uintptr_t)(l->http ? alpn_with_http : alpn_postgresql));
	return ctx;
failed:
	SSL_CTX_free(ctx);
	return NULL;
}

/* Where the node's ticket is kept, at the worker that owns the connection. */
struct ticket_home {
	struct tls_local *local;
	uint32_t node_id;
};

static void
free_home(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	free(ptr);
}

static int
home_index(void)
{
	static _Atomic int index = -1;

	/* tlsset_build() calls this first, while there is one thread */
	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_home);
	return index;
}

static void
drop_ticket(struct ticket *t)
{
	SSL_SESSION_free(t->session);
	SSL_CTX_free(t->ctx);
	*t = (struct ticket){ 0 };
}

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	struct ticket_home *home = SSL_get_ex_data(ssl, home_index());
	struct tls_local *t;

	if (home == NULL)
		return 0;
	t = home->local;
	if (home->node_id >= t->n) {
		uint32_t n = home->node_id + 8;

		t->v = xreallocarray(t->v, n, sizeof(*t->v));
		memset(t->v + t->n, 0, (n - t->n) * sizeof(*t->v));
		t->n = n;
	}
	drop_ticket(&t->v[home->node_id]);
	if (SSL_CTX_up_ref(ctx) != 1)
		return 0;
	t->v[home->node_id] = (struct ticket){ session, ctx };
	return 1; /* we keep the reference */
}

static SSL_CTX *
region_context(const struct conf_region *r, struct err *e)
{
	SSL_CTX *ctx = new_context(TLS_client_method());
	bool verify = r->sslmode >= SSLMODE_VERIFY_CA;

	if (ctx == NULL) {
		err_set(e, "53200", "out of memory");
		return NULL;
	}
	(void)home_index();
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
	if (verify || r->sslrootcert != NULL)
		SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (r->sslrootcert != NULL &&
	    SSL_CTX_load_verify_locations(ctx, r->sslrootcert, NULL) != 1) {
		tls_err(e, "could not load root certificate file", r->sslrootcert);
		goto failed;
	}
	if (verify && r->sslrootcert == NULL)
		SSL_CTX_set_default_verify_paths(ctx);
	if (r->sslcert != NULL &&
	    use_certificate(ctx, r->sslcert, r->sslkey != NULL ? r->sslkey : r->sslcert, e) != 0)
		goto failed;
	return ctx;
failed:
	SSL_CTX_free(ctx);
	return NULL;
}

/* A file that cannot be read was refused before, or is not used. */
static void
digest_file(EVP_MD_CTX *md, const char *name)
{
	FILE *f = name != NULL ? fopen(name, "re") : NULL;
	char part[4096];
	size_t n;

	(void)EVP_DigestUpdate(md, name != NULL ? "f" : "-", 1);
	while (f != NULL && (n = fread(part, 1, sizeof(part), f)) > 0)
		(void)EVP_DigestUpdate(md, part, n);
	OPENSSL_cleanse(part, sizeof(part));
	if (f != NULL)
		(void)fclose(f);
}

static uint64_t
region_terms(const struct conf_region *r)
{
	const char *const files[] = { r->sslrootcert, r->sslcert, r->sslkey };
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint64_t terms;

	BUG_ON(md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1);
	(void)EVP_DigestUpdate(md, &r->sslmode, sizeof(r->sslmode));
	(void)EVP_DigestUpdate(md, &r->channel_binding, sizeof(r->channel_binding));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		digest_file(md, r->sslmode != SSLMODE_DISABLE ? files[i] : NULL);
	(void)EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	memcpy(&terms, digest, sizeof(terms));
	return terms;
}

/* Peers prove themselves by the fleet's keys, whatever their certificates are: TLS only hides which
 * session is cancelled. */
static const struct conf_region peers_tls = { .sslmode = SSLMODE_PREFER };

struct tlsset *
tlsset_build(const struct config *config, struct err *e)
{
	struct tlsset *t = xcalloc(1, sizeof(*t));

	refcount_init(&t->refs);
	t->nlisteners = config->nlisteners;
	t->nregions = config->nregions;
	t->listeners = xcalloc(t->nlisteners, sizeof(SSL_CTX *));
	t->regions = xcalloc(t->nregions, sizeof(SSL_CTX *));
	t->terms = xcalloc(t->nregions, sizeof(*t->terms));
	for (size_t i = 0; i < t->nlisteners; i++) {
		const struct conf_listener *l = &config->listeners[i];

		if (l->tls == MODE_OFF || l->tls_cert_file == NULL)
			continue;
		if ((t->listeners[i] = listener_context(l, e)) == NULL) {
			err_prefix(e, "listener \"%s\"", l->name);
			goto failed;
		}
	}
	for (size_t i = 0; i < t->nregions; i++) {
		const struct conf_region *r = &config->regions[i];

		t->terms[i] = region_terms(r);
		if (r->sslmode == SSLMODE_DISABLE)
			continue;
		if ((t->regions[i] = region_context(r, e)) == NULL) {
			err_prefix(e, "region \"%s\"", r->name);
			goto failed;
		}
	}
	if (config->main.peers.n > 0 && (t->peers = region_context(&peers_tls, e)) == NULL)
		goto failed;
	return t;
failed:
	tlsset_unref(t);
	return NULL;
}

REFCOUNT_REF(tlsset_ref, struct tlsset)

void
tlsset_unref(struct tlsset *t)
{
	if (t == NULL || !refcount_put(&t->refs))
		return;
	for (size_t i = 0; i < t->nlisteners; i++)
		SSL_CTX_free(t->listeners[i]);
	for (size_t i = 0; i < t->nregions; i++)
		SSL_CTX_free(t->regions[i]);
	SSL_CTX_free(t->peers);
	free(t->listeners);
	free(t->regions);
	free(t->terms);
	free(t);
}

HOT struct ssl_ctx_st *
tlsset_listener(const struct tlsset *t, size_t listener)
{
	return listener < t->nlisteners ? t->listeners[listener] : NULL;
}

HOT struct ssl_ctx_st *
tlsset_region(const struct tlsset *t, size_t region)
{
	return region < t->nregions ? t->regions[region] : NULL;
}

HOT uint64_t
tlsset_terms(const struct tlsset *t, size_t region)
{
	return region < t->nregions ? t->terms[region] : 0;
}

struct ssl_ctx_st *
tlsset_peers(const struct tlsset *t)
{
	return t->peers;
}

struct tls_local *
tls_local_new(void)
{
	struct tls_local *t = xcalloc(1, sizeof(*t));

	for (int kind = 0; kind < TLSBIO_KINDS; kind++) {
		t->bio[kind] = tlsbio_new((enum tlsbio_kind)kind);
		BUG_ON(t->bio[kind] == NULL);
	}
	return t;
}

void
tls_local_free(struct tls_local *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->n; i++)
		drop_ticket(&t->v[i]);
	for (int kind = 0; kind < TLSBIO_KINDS; kind++)
		tlsbio_free(t->bio[kind]);
	free(t->v);
	free(t);
}

struct bio_st *
tls_local_bio(struct tls_local *t, bool inside)
{
	return t->bio[inside ? TLSBIO_WEBSOCKET : TLSBIO_SOCKET];
}

int
tls_prepare_client(struct ssl_st *ssl, struct tls_local *local, uint32_t node_id, const char *host,
		   bool verify_host, struct err *e)
{
	struct ticket_home *home = xcalloc(1, sizeof(*home));
	struct addr literal;
	bool is_ip = addr_parse(slice_str(host), &literal);
	char name[256]; /* the macro below casts const away */

	*home = (struct ticket_home){ local, node_id };
	SSL_set_ex_data(ssl, home_index(), home);
	SSL_set_alpn_protos(ssl, alpn_postgresql, ALPN_LENGTH);
	if (!is_ip && text_copy(name, sizeof(name), slice_str(host)))
		SSL_set_tlsext_host_name(ssl, name);
	if (verify_host) {
		X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
		int ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
			       : X509_VERIFY_PARAM_set1_host(param, host, 0);

		if (ok != 1)
			return err_set(e, "08006", "cannot verify the host name \"%s\"", host);
	}
	if (node_id >= local->n || local->v[node_id].session == NULL)
		return 0;
	if (local->v[node_id].ctx == SSL_get_SSL_CTX(ssl))
		SSL_set_session(ssl, local->v[node_id].session);
	else
		drop_ticket(&local->v[node_id]);
	return 0;
}

struct ssl_ctx_st *
tls_context_ref(const struct ssl_st *ssl, bool *verify_host)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	X509_VERIFY_PARAM *param = SSL_get0_param((SSL *)(uintptr_t)ssl);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);

	*verify_host = ip != NULL || X509_VERIFY_PARAM_get0_host(param, 0) != NULL;
	OPENSSL_free(ip);
	SSL_CTX_up_ref(ctx);
	return ctx;
}

void
tls_context_unref(struct ssl_ctx_st *ctx)
{
	SSL_CTX_free(ctx);
}

const char *
tls_server_name(const struct ssl_st *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	return name != NULL ? name : "";
}

bool
tls_alpn_is_postgresql(const struct ssl_st *ssl)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &p, &n);
	return n == ALPN_LENGTH - 1 && memcmp(p, alpn_postgresql + 1, n) == 0;
}

bool
tls_was_resumed(const struct ssl_st *ssl)
{
	return SSL_session_reused(ssl) == 1;
}

bool
tls_same_certificate(const struct ssl_st *client, const struct ssl_st *server)
{
	X509 *ours = client != NULL ? SSL_get_certificate(client) : NULL;
	X509 *theirs = server != NULL ? SSL_get0_peer_certificate(server) : NULL;

	return ours != NULL && theirs != NULL && X509_cmp(ours, theirs) == 0;
}

/* The hash of the certificate's own signature, with SHA-256 in place of MD5 and SHA-1 (RFC 5929
 * section 4.1). */
static const EVP_MD *
signature_hash(X509 *cert)
{
	int nid = NID_undef;

	if (X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1 || nid == NID_undef)
		return NULL;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	return EVP_get_digestbynid(nid);
}

HOT void
tls_end_point(const struct ssl_st *ssl, bool of_peer, struct scram_binding *out)
{
	X509 *cert = NULL;
	const EVP_MD *md = NULL;
	unsigned n = 0;

	*out = (struct scram_binding){ 0 };
	if (ssl != NULL)
		cert = of_peer ? SSL_get0_peer_certificate(ssl) : SSL_get_certificate(ssl);
	if (cert != NULL)
		md = signature_hash(cert);
	if (md != NULL && EVP_MD_get_size(md) <= SCRAM_BINDING_MAX &&
	    X509_digest(cert, md, out->hash, &n) == 1)
		out->n = (uint8_t)n;
	ERR_clear_error();
}
