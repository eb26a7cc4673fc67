/* SPDX-License-Identifier: PostgreSQL
 *
 * The way from OpenSSL to a stream's descriptor, or to the WebSocket over it: one BIO of each kind
 * for all TLS streams of a thread, because OpenSSL's own, one for each connection, costs each idle
 * session 200 bytes. tlsbio_aim() tells it which stream is meant; it must be called before every
 * SSL_*() call that may read or write.
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
/* The next calls of OpenSSL with `ssl` are about this stream. */
void tlsbio_aim(struct ssl_st *ssl, struct stream *st);
/* To be called after tlsbio_aim() and before SSL_read(): limits how much is read before a byte for
 * us comes. A peer may send messages of TLS itself (new keys, renegotiation) without end:
 * SSL_read() would not return, and other sessions of the thread would wait. Beyond the limit the
 * peer counts as breaking the protocol. */
void tlsbio_limit(struct ssl_st *ssl);

#endif
