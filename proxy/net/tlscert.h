/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client's certificate says. The handshake has verified it against the listener's
 * tls_ca_file; without that option clients are not asked for one.
 */
#ifndef PROXY_NET_TLSCERT_H
#define PROXY_NET_TLSCERT_H

#include <stdbool.h>

#include "base/buf.h"

struct ssl_st;

/* Whether the client has a valid certificate. `ssl` NULL: the connection is not on TLS. */
bool tlscert_is_there(const struct ssl_st *ssl);

/* Append the common name of the certificate's subject (the first, if it has several), in UTF-8; or
 * its whole distinguished name as RFC 2253 writes it, which is what PostgreSQL compares. False:
 * there is none. */
bool tlscert_put_cn(const struct ssl_st *ssl, struct buf *to);
bool tlscert_put_dn(const struct ssl_st *ssl, struct buf *to);

#endif
