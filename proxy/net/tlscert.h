/* SPDX-License-Identifier: PostgreSQL
 *
 * Whom a client's certificate names. Whether it is to be believed has been found out in the
 * handshake, against the listener's tls_ca_file; without that no client is asked for one.
 */
#ifndef PROXY_NET_TLSCERT_H
#define PROXY_NET_TLSCERT_H

#include <stdbool.h>

#include "base/buf.h"

struct ssl_st;

/* Whether the client has shown a certificate, and it is a good one. ssl: NULL: it is not on TLS. */
bool tlscert_is_there(const struct ssl_st *ssl);

/* Append the common name of the certificate's subject (the first, where it has several), in UTF-8;
 * or all of its distinguished name, as RFC 2253 writes it: what PostgreSQL compares. False where
 * there is none. */
bool tlscert_put_cn(const struct ssl_st *ssl, struct buf *to);
bool tlscert_put_dn(const struct ssl_st *ssl, struct buf *to);

#endif
