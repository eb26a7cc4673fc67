/* SPDX-License-Identifier: PostgreSQL
 *
 * A stream: one connected socket on one event loop, in layers: the socket, TLS, a WebSocket, and
 * TLS inside that; each of the last three is optional. It owns the descriptor, the layers and one
 * persistent libevent event; it owns no buffer while idle (INV-1). Bytes that the peer does not
 * take are kept in `out` and go first next time (INV-3).
 *
 * Reading is into the caller's memory. The event's callback is the owner's function: the owner's
 * state decides what is done with what is read.
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
	size_t gone; /* bytes of it that the peer has taken */
};

struct stream {
	struct event ev;
	struct ssl_st *ssl;     /* the uppermost layer; NULL: that is not TLS */
	struct websocket *ws;   /* the layer below, or NULL; it owns the TLS below itself */
	struct stream_out *out; /* NULL: nothing */
	int fd;                 /* -1: closed */
	short interest;         /* EV_READ, EV_WRITE, or 0 */
	/* bytes, or the end, may be there that no event of the descriptor will announce */
	bool unread;
	uint8_t out_bits; /* `out` holds at most 2 to the power of this; 0: no limit */
};

/* Negative results of stream_recv() and stream_handshake(). */
enum { STREAM_AGAIN = -1, STREAM_FAILED = -2 };

/* Takes the descriptor; waits for no event yet. */
void stream_init(struct stream *st, struct event_base *base, int take_fd, event_callback_fn fn,
		 void *arg);
/* Close everything (TLS sends close_notify if it need not wait). Idempotent. */
void stream_fini(struct stream *st);
/* Give the connection, with what was not sent yet, to another owner. It waits for no event then,
 * and `from` is closed. */
void stream_move(struct stream *from, struct stream *to, event_callback_fn fn, void *arg);
bool stream_is_open(const struct stream *st);
/* Nothing more will be sent: sends the end of each layer and of the stream. What the peer sends can
 * still be read. To be called again when it was blocked. */
void stream_end(struct stream *st);

/* Wait for exactly these events: EV_READ, EV_WRITE, both, or 0. Costs an epoll_ctl only where they
 * differ. EV_CLOSED alone: the callback gets EV_CLOSED, or EV_WRITE, which only means that
 * stream_has_failed() should be asked. */
void stream_want(struct stream *st, short interest);
/* If the stream waits for EV_READ and holds bytes that the socket will not report, have the
 * callback called. An owner that was called and has received nothing calls this, unless it calls
 * stream_want() with EV_READ anew. */
void stream_announce(struct stream *st);
/* With a low-water mark the last read may have left bytes that the socket does not report: they are
 * announced until they are received, or until the socket reports every byte again (false). Not for
 * TLS or a WebSocket. */
void stream_expect_more(struct stream *st, bool more);
/* Whether the connection was reset. */
bool stream_has_failed(const struct stream *st);

/* Receive at most `size` bytes. Returns how many, 0 at the end of file, STREAM_AGAIN, or
 * STREAM_FAILED. With TLS, records are gathered until `size` is full or the socket is empty. What a
 * layer still holds, bytes or the end of file, is announced like the kernel's: the callback gets
 * EV_READ, after other events of the loop, while the stream waits for it. So it need not, and must
 * not, be called in a loop. */
ssize_t stream_recv(struct stream *st, char *to, size_t size);
/* The next byte, which stays where it is; not where the uppermost layer is TLS. False: there is
 * none now. */
bool stream_peek(struct stream *st, char *first);
/* Let `out` grow to n bytes, or to the next power of two. */
void stream_keep_at_most(struct stream *st, size_t n);
/* Send as much as the peer takes of out + p; the rest is kept in `out`. -1: the connection failed,
 * or more would have to be kept than is allowed (stream_is_overfull()). While `out` is not empty,
 * the stream waits for EV_WRITE. */
int stream_send(struct stream *st, const char *p, size_t n);
/* The same for the last bytes: the caller closes the stream next, and the end of a plain stream
 * goes in the same segment. */
int stream_send_last(struct stream *st, const char *p, size_t n);
/* Send what is kept; to be called on EV_WRITE. -1: the connection failed. */
int stream_flush(struct stream *st);
/* How many bytes are kept. */
static inline size_t
stream_unsent(const struct stream *st)
{
	return st->out != NULL ? st->out->bytes.n - st->out->gone : 0;
}

/* Drop what is kept, since the peer will not get it. */
void stream_drop_unsent(struct stream *st);

static inline bool
stream_is_overfull(const struct stream *st)
{
	return st->out != NULL && st->out->bytes.failed;
}

/* Whether bytes are kept that the peer has not taken. */
static inline bool
stream_is_blocked(const struct stream *st)
{
	return stream_unsent(st) > 0 || (st->ws != NULL && websocket_is_blocked(st->ws));
}

/* The handshake of a WebSocket is over: from now on frames are sent and received, over the TLS
 * there was, which is no longer `ssl`. `behind`: what was read behind the handshake. -1: the peer
 * has not taken all that was sent before, or there is no memory. */
int stream_start_websocket(struct stream *st, struct slice behind);
/* Whether any layer is TLS. */
bool stream_is_encrypted(const struct stream *st);

/* Make the TLS object over the other layers; `local` is the thread's. -1: no memory. */
int stream_start_tls(struct stream *st, struct ssl_ctx_st *ctx, struct tls_local *local,
		     bool server);
/* Continue the handshake: 1 done, STREAM_AGAIN (it waits for the event it needs), STREAM_FAILED. */
int stream_handshake(struct stream *st);
/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384" of the innermost TLS; "" before the handshake. The texts
 * are OpenSSL's constants and stay valid after the stream. */
const char *stream_tls_version(const struct stream *st);
const char *stream_tls_cipher(const struct stream *st);
/* The kernel's smoothed round-trip time (TCP_INFO) in microseconds; -1: not known. */
int64_t stream_rtt_us(const struct stream *st);

#endif
