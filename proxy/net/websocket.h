/* SPDX-License-Identifier: PostgreSQL
 *
 * The WebSocket layer of a stream (RFC 6455, after the handshake): between the socket, or the TLS
 * over it, and the bytes of the session, which may be TLS once more. For proxy/net, but for the
 * last functions below.
 *
 * It owns no buffer. What is received is unmasked in the reader's memory. What is sent goes out as
 * one frame for each call, with its header in front; where the socket takes only a part of a frame,
 * the caller's next bytes must begin with the rest (INV-3). It keeps only a header or a control
 * frame that the socket has not taken, and payload that was read before the session could read it.
 */
#ifndef PROXY_NET_WEBSOCKET_H
#define PROXY_NET_WEBSOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/slice.h"
#include "protocol/ws.h"

struct ssl_st;
struct stream;
struct websocket;

/* Takes the TLS object below, or NULL; `unread`: that one holds bytes. */
struct websocket *websocket_new(struct ssl_st *take_outer, bool unread);
void websocket_free(struct websocket *ws); /* accepts NULL */
struct ssl_st *websocket_tls(const struct websocket *ws);

/* Receive payload. Returns how many bytes, 0 at a Close or the end of file, STREAM_AGAIN, or
 * STREAM_FAILED. Reads the socket at most once. */
ssize_t websocket_recv(struct stream *st, char *to, size_t size);
/* Framed bytes that were read behind the handshake. False: no memory. */
bool websocket_feed(struct stream *st, struct slice framed);
/* The next byte of payload, which stays where it is. */
bool websocket_peek(struct stream *st, char *first);
/* Whether something can be read that no event of the descriptor announces. */
bool websocket_is_unread(const struct websocket *ws);
/* Send as much as the socket takes. Returns how many bytes of payload, or STREAM_FAILED. The next
 * call must begin with what was not taken. After a Close everything is taken, and nothing sent. */
ssize_t websocket_push(struct stream *st, const char *p, size_t n);
/* Send the control frames that wait. -1: the connection failed. */
int websocket_flush(struct stream *st);
/* Whether bytes wait for websocket_flush(). */
bool websocket_is_blocked(const struct websocket *ws);

/* Send a Close, unless one was sent or would have to wait. */
void websocket_say_close(struct stream *st);

/* ---- for sessions; they do nothing on a stream that is no WebSocket ---- */

/* The code to close with, unless a fault of the peer, or its own Close, decides it. */
void websocket_set_code(struct stream *st, enum ws_code code);
/* Whether the payload of a frame has come in part, so that more of it is on its way. */
bool websocket_in_frame(const struct stream *st);
/* What was wrong with the peer's frames, or NULL. */
const char *websocket_fault(const struct stream *st);
/* To be called four times in each interval between pings: sends a Ping if nothing was sent in a
 * whole interval. -1: the peer has sent nothing for three intervals since a Ping. */
int websocket_tick(struct stream *st);

#endif
