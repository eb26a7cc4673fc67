/* SPDX-License-Identifier: PostgreSQL
 *
 * A stream with a WebSocket over a socketpair, and the peer, which masks what it says and takes
 * apart what it hears. All that fails is a failed test.
 */
#ifndef TESTS_UNIT_WEBSOCKET_ENDS_H
#define TESTS_UNIT_WEBSOCKET_ENDS_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "proxy/net/stream.h"

#define BIG ((size_t)300000)

struct ends {
	struct loop *loop;
	struct stream st;
	int peer;
	short seen; /* events since the last poll_events() */
	SSL_CTX *server_ctx, *client_ctx;
	struct tls_local *local;
	SSL *below, *inside; /* of the peer, or NULL */
	struct buf wire;     /* what the peer has received, and not taken apart */
	struct buf payload;  /* what it has heard */
	struct buf told;     /* the control frames it has seen, in words */
	unsigned frames;     /* of data */
	size_t peer_reads;   /* at most so much at a time */
	char *sent, *got;    /* BIG bytes each */
};

/* The stream's callback: keeps what the loop tells in `seen`. */
void on_event(evutil_socket_t fd, short what, void *arg);
/* What the loop has told of the stream since the last time. */
short poll_events(struct ends *e);
/* Bytes of the peer, as they are. */
void peer_write(struct ends *e, const char *p, size_t n);
/* A frame as the peer would send it; `first` is its first byte. */
void put_frame(struct buf *b, unsigned first, const char *p, size_t n);
void peer_frame(struct ends *e, unsigned first, const char *p, size_t n);
/* Data of the peer, through all its layers. */
void peer_say(struct ends *e, const char *p, size_t n);
bool peer_read(struct ends *e);
/* The peer takes what is there, and takes it apart. */
void peer_reads_all(struct ends *e);
/* The peer has heard that and nothing else since the last time. */
void check_heard(struct ends *e, const char *p, size_t n);
/* The control frames that it has seen, in words. */
void check_told(struct ends *e, const char *want);
/* Fixtures: no WebSocket yet; then one in each of its four places. */
int setup_bare(void **state);
int setup_plain(void **state);
int setup_over_tls(void **state);
int setup_under_tls(void **state);
int setup_between(void **state);
int teardown(void **state);
/* One stream_recv() gives that. */
void check_recv(struct ends *e, const char *want);
/* The peer takes so many bytes of `sent`, and they are what was sent. */
void drain_to_peer(struct ends *e, size_t total);

#endif
