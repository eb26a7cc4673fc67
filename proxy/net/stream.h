/* SPDX-License-Identifier: PostgreSQL
 *
 * A stream: one connected socket on one event loop, in layers: the socket, TLS, a WebSocket, and
 * TLS inside that; each of the three may be there or not. It owns the descriptor, the layers and
 * one persistent libevent event; it owns no buffer while idle. Bytes that the peer would not take
 * are kept in `out` and go first next time. Reading is into the caller's memory.
 *
 * The event's callback is the owner's own function: what is read is dispatched by the owner's
 * state, not by the stream.
 */
#ifndef PROXY_NET_STREAM_H
#define PROXY_NET_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "proxy/net/websocket.h"

struct ssl_ctx_st;
struct tls_local;

/* What the peer has not taken yet. */
struct stream_out {
	struct buf bytes;
	size_t gone; /* of them: it has, by now */
};

struct stream {
	struct event ev;
	struct ssl_st *ssl;     /* the uppermost layer; NULL: it is not TLS */
	struct websocket *ws;   /* below it, or NULL; holds the TLS that is below itself */
	struct stream_out *out; /* NULL: nothing */
	int fd;                 /* -1: closed */
	short interest;         /* EV_READ, EV_WRITE, or 0 */
	bool unread; /* what no descriptor will announce may be there: bytes, or the end */
	uint8_t
	    out_bits; /* of `out`: never more than 2 to the power of this; 0: no limit of ours */
};

/* Results of stream_recv() and stream_handshake() below zero. */
enum { STREAM_AGAIN = -1, STREAM_FAILED = -2 };

/* Takes the descriptor; waits for nothing yet. */
void stream_init(struct stream *st, struct event_base *base, int take_fd, event_callback_fn fn,
		 void *arg);
/* Close everything (TLS says close_notify where it can without waiting). Idempotent. */
void stream_fini(struct stream *st);
/* Hand the connection, with what it has not sent yet, to another owner; it waits for nothing then,
 * and `from` is closed. */
void stream_move(struct stream *from, struct stream *to, event_callback_fn fn, void *arg);
bool stream_is_open(const struct stream *st);
/* We have said all: each layer's word for it and the end of the stream. What the peer sends can be
 * read. To be called again when that was blocked. */
void stream_end(struct stream *st);

/* Wait for exactly this: EV_READ, EV_WRITE, both, or 0. One epoll_ctl where it differs, else none.
 * EV_CLOSED alone: the callback is called with EV_CLOSED, or with EV_WRITE, which means nothing
 * but that stream_has_failed() is to be asked. */
void stream_want(struct stream *st, short interest);
/* Where it is waited for bytes and some are here that the socket does not tell of, the callback is
 * called. Whoever was called and has not received says this, where it is not going to say
 * stream_want() of EV_READ anew. */
void stream_announce(struct stream *st);
/* The last read may have left some that the socket does not tell of (a low-water mark): they are
 * announced until somebody receives, or until it tells of each again (false). Not where there is
 * TLS or a WebSocket. */
void stream_expect_more(struct stream *st, bool more);
/* The connection was reset. */
bool stream_has_failed(const struct stream *st);

/* At most `size` bytes: how many, 0 at the end of file, STREAM_AGAIN, STREAM_FAILED. With TLS,
 * records are gathered until `size` is full or the socket is dry. What a layer holds beyond that,
 * bytes or the end of file, is announced as the kernel does it: by a call with EV_READ, after the
 * others of the loop, while that is waited for. So nobody need call this in a loop, and nobody may.
 */
ssize_t stream_recv(struct stream *st, char *to, size_t size);
/* The next byte, which stays where it is; not where the uppermost layer is TLS. False: none now. */
bool stream_peek(struct stream *st, char *first);
/* What is kept for the peer may grow to n bytes, or to the next power of two. */
void stream_keep_at_most(struct stream *st, size_t n);
/* Send as much as the peer takes of out + p; what remains is kept in `out`. Returns -1 where the
 * connection failed or more would have to be kept than may be (stream_is_overfull()). EV_WRITE is
 * waited for while there is something in `out`. */
int stream_send(struct stream *st, const char *p, size_t n);
/* The same for the last that is said: the caller closes the stream now, and the end of a plain one
 * goes with it, in one segment. */
int stream_send_last(struct stream *st, const char *p, size_t n);
/* Send what is kept; to be called on EV_WRITE. -1 where the connection failed. */
int stream_flush(struct stream *st);
/* How many bytes are kept. */
static inline size_t
stream_unsent(const struct stream *st)
{
	return st->out != NULL ? st->out->bytes.n - st->out->gone : 0;
}

/* The peer will not hear them: forget them. */
void stream_drop_unsent(struct stream *st);

static inline bool
stream_is_overfull(const struct stream *st)
{
	return st->out != NULL && st->out->bytes.failed;
}

/* True where bytes are kept that the peer has not taken. */
static inline bool
stream_is_blocked(const struct stream *st)
{
	return stream_unsent(st) > 0 || (st->ws != NULL && websocket_is_blocked(st->ws));
}

/* The handshake of a WebSocket is over: from now on what is sent and received are frames, over the
 * TLS that there was, which is no longer `ssl`. `behind`: what came behind the handshake and was
 * read already. -1 where the peer has not taken all that was said before, and on memory. */
int stream_start_websocket(struct stream *st, struct slice behind);
/* Any layer is TLS. */
bool stream_is_encrypted(const struct stream *st);

/* Make the TLS object over what is there; `local` is the thread's. -1 on memory. */
int stream_start_tls(struct stream *st, struct ssl_ctx_st *ctx, struct tls_local *local,
		     bool server);
/* Go on with the handshake: 1 done, STREAM_AGAIN (interest is set), STREAM_FAILED. */
int stream_handshake(struct stream *st);
/* "TLSv1.3" or "", and "TLS_AES_256_GCM_SHA384" or "" (no handshake yet): the innermost. The texts
 * are OpenSSL's constants and stay valid when the stream has gone. */
const char *stream_tls_version(const struct stream *st);
const char *stream_tls_cipher(const struct stream *st);
/* Smoothed round trip as the kernel knows it (TCP_INFO), microseconds; -1 unknown. */
int64_t stream_rtt_us(const struct stream *st);

#endif
