/* SPDX-License-Identifier: PostgreSQL
 *
 * TLS contexts as a snapshot: one for each listener with a certificate, and one for each region
 * whose sslmode is not `disable`. Built anew at each reload, which reads the certificates, and
 * shared by all workers. TLS 1.2 or later, no renegotiation, no compression; ALPN "postgresql"
 * (PostgreSQL 17's direct TLS) and, where the listener speaks HTTP, "http/1.1".
 */
#ifndef PROXY_NET_TLSCTX_H
#define PROXY_NET_TLSCTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "protocol/scram.h"

struct bio_st;
struct config;
struct ssl_ctx_st;
struct ssl_st;
struct tlsset;

/* Read every certificate and key of the configuration; NULL and *e. */
struct tlsset *tlsset_build(const struct config *config, struct err *e);
struct tlsset *tlsset_ref(struct tlsset *t);
void tlsset_unref(struct tlsset *t); /* accepts NULL */

/* NULL: the listener has no certificate, or the region's sslmode is disable. */
struct ssl_ctx_st *tlsset_listener(const struct tlsset *t, size_t listener);
struct ssl_ctx_st *tlsset_region(const struct tlsset *t, size_t region);
/* A number that changes with sslmode and with the content of its files: a connection made under
 * other terms is not what the operator wants now. */
uint64_t tlsset_terms(const struct tlsset *t, size_t region);
/* For connections to the other proxies of the fleet; NULL: there are none. */
struct ssl_ctx_st *tlsset_peers(const struct tlsset *t);

/* What TLS keeps for each worker: the BIOs (proxy/net/tlsbio.h), and the nodes' tickets for
 * resumption, by node_live id. */
struct tls_local;
struct tls_local *tls_local_new(void);
void tls_local_free(struct tls_local *t);
/* `inside`: for TLS inside a WebSocket. */
struct bio_st *tls_local_bio(struct tls_local *t, bool inside);

/* Prepare a connection to a node: server name, the name or address to verify (verify-full), and the
 * ticket to resume from; tickets that the node issues are kept. -1 and *e. */
int tls_prepare_client(struct ssl_st *ssl, struct tls_local *local, uint32_t node_id,
		       const char *host, bool verify_host, struct err *e);

/* The context that a connection to a node was made with, and whether the node's name is verified,
 * to make another such connection. */
struct ssl_ctx_st *tls_context_ref(const struct ssl_st *ssl, bool *verify_host);
void tls_context_unref(struct ssl_ctx_st *ctx); /* accepts NULL */

/* The server name in the ClientHello; "": it has none. */
const char *tls_server_name(const struct ssl_st *ssl);
/* Whether ALPN chose "postgresql": direct TLS must have it. */
bool tls_alpn_is_postgresql(const struct ssl_st *ssl);
bool tls_was_resumed(const struct ssl_st *ssl);
/* Whether both ends of the proxy use the same certificate, so that channel binding by
 * tls-server-end-point (RFC 5929, a hash of the certificate) can pass through. `client`: the
 * connection on which we are the server; `server`: the one on which we are the client. */
bool tls_same_certificate(const struct ssl_st *client, const struct ssl_st *server);
/* The value that tls-server-end-point binds to: the hash of our or the peer's certificate. n is 0
 * where there is no TLS, no certificate, or one whose signature names no hash (Ed25519), for which
 * RFC 5929 defines no binding. */
void tls_end_point(const struct ssl_st *ssl, bool of_peer, struct scram_binding *out);
/* The reason of this thread's last failure, for a log line or an error; clears the queue. */
void tls_last_error(const struct ssl_st *ssl, char *to, size_t size);

#endif
