/* SPDX-License-Identifier: PostgreSQL
 *
 * What the layers of a stream call of each other; for proxy/net only.
 */
#ifndef PROXY_NET_STREAM_INT_H
#define PROXY_NET_STREAM_INT_H

#include <sys/uio.h>

#include "proxy/net/stream.h"

/* The socket itself. Receives as stream_recv(); sends and returns the bytes taken (0: none now), or
 * STREAM_FAILED. */
ssize_t stream_raw_recv(struct stream *st, char *to, size_t size);
ssize_t stream_raw_send(struct stream *st, struct iovec *iov, int n);
/* Receives from the inner or the outer TLS object of the stream; *unread belongs to that object. */
ssize_t stream_tls_recv(struct stream *st, struct ssl_st *ssl, bool *unread, char *to, size_t size);
ssize_t stream_tls_send(struct stream *st, struct ssl_st *ssl, const char *p, size_t n);

#endif
