/* SPDX-License-Identifier: PostgreSQL
 *
 * The WebSocket layer of a stream (RFC 6455, after the handshake): between the socket, or the TLS
 * over it, and the bytes of the session, which may be TLS once more. For proxy/net, but for what
 * stands last.
 *
 * It owns no buffer. What is received is unmasked in the reader's memory. What is sent goes out as
 * one frame per call, its header in front; where the socket takes only a part of it, the frame has
 * been begun, and its rest is the first that the caller sends next. Kept is a header or a control
 * frame that the socket has not taken, and payload that came before anybody could read it.
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

/* Takes the TLS object that it lies over, or NULL; `unread`: that holds bytes. */
struct websocket *websocket_new(struct ssl_st *take_outer, bool unread);
void websocket_free(struct websocket *ws); /* accepts NULL */
struct ssl_st *websocket_tls(const struct websocket *ws);

/* Payload: how many bytes, 0 at a Close or the end of file, STREAM_AGAIN, STREAM_FAILED. Reads the
 * socket at most once. */
ssize_t websocket_recv(struct stream *st, char *to, size_t size);
/* Framed bytes that were read elsewhere, behind the handshake. False: no memory. */
bool websocket_feed(struct stream *st, struct slice framed);
/* The next byte of payload, which stays where it is. */
bool websocket_peek(struct stream *st, char *first);
/* True where something can be read that no descriptor announces. */
bool websocket_is_unread(const struct websocket *ws);
/* Send as much as the socket takes: how many bytes of payload, or STREAM_FAILED. What was not taken
 * must come first in the next call. Behind a Close everything is taken, and nothing sent. */
ssize_t websocket_push(struct stream *st, const char *p, size_t n);
/* Send what control frames there are to send. -1 where the connection failed. */
int websocket_flush(struct stream *st);
/* Bytes wait to be sent by websocket_flush(). */
bool websocket_is_blocked(const struct websocket *ws);

/* Say Close where it can be said now, and has not been. */
void websocket_say_close(struct stream *st);

/* What sessions ask for; nothing happens to a stream that is no WebSocket. */

/* What to close with, unless a fault of the peer, or its own Close, says something else. */
void websocket_set_code(struct stream *st, enum ws_code code);
/* The payload of a frame has come in part: more of it is on its way. */
bool websocket_in_frame(const struct stream *st);
/* What was wrong with the peer's frames, or NULL. */
const char *websocket_fault(const struct stream *st);
/* A quarter of the interval between two pings has passed: ask the peer whether it is there where
 * nothing was said for the whole of it. -1 where it has not said anything for three intervals since
 * it was asked. */
int websocket_tick(struct stream *st);

#endif
