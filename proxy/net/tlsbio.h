/* SPDX-License-Identifier: PostgreSQL
 *
 * The way from OpenSSL to a stream's descriptor, or to the WebSocket over it: one BIO of each kind
 * for all TLS streams of a thread, because OpenSSL's own, one per connection, costs each idle
 * session 200 bytes. It knows whose turn it is by tlsbio_aim(), to be called before every SSL_*()
 * call that may read or write.
 */
#ifndef PROXY_NET_TLSBIO_H
#define PROXY_NET_TLSBIO_H

struct bio_st;
struct ssl_st;
struct stream;

enum tlsbio_kind { TLSBIO_SOCKET, TLSBIO_WEBSOCKET, TLSBIO_KINDS };

/* NULL: no memory. */
struct bio_st *tlsbio_new(enum tlsbio_kind kind);
void
tlsbio_free(struct bio_st *bio); /* TLS objects that still use it have references of their own */

/* `ssl` reads and writes through it from now on. */
void tlsbio_attach(struct bio_st *bio, struct ssl_st *ssl);
/* What OpenSSL does next with `ssl` is on this stream. */
void tlsbio_aim(struct ssl_st *ssl, struct stream *st);
/* In front of SSL_read(), behind tlsbio_aim(): a peer that has much to say in TLS itself (its keys
 * have changed, it would like to negotiate anew) and nothing in it has broken the protocol.
 * SSL_read() would go on for as long as more of that comes, and nobody else of the thread have his
 * turn. */
void tlsbio_limit(struct ssl_st *ssl);

#endif
