/* SPDX-License-Identifier: PostgreSQL
 *
 * Bulk: a connection that has sent 16 MB in large pieces, while no other one of the worker became
 * ready, is read in larger ones still. The kernel then reports its bytes when there are 96 kB of
 * them (SO_RCVLOWAT, socket(7)) instead of when there is one, and 384 kB where they come at 512 kB
 * in a millisecond and more: fewer turns of the loop for the same bytes. What is less than that
 * waits no longer than the timer's third tick; the end of the stream and a full window are told at
 * once (tcp(7), Linux tcp_epollin_ready()). Behind such a wait 256 kB more are enough, as long as
 * no other connection has become ready. doc/decisions/0037-bulk.md.
 */
#ifndef PROXY_SESSION_BULK_H
#define PROXY_SESSION_BULK_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/net/stream.h"

struct bulk;
struct loop;

#define BULK_READ   ((size_t)4 << 10)   /* bytes: a large piece */
#define BULK_BEHIND ((size_t)16 << 20)  /* bytes of large pieces behind which it begins */
#define BULK_AGAIN  ((size_t)256 << 10) /* bytes: the same behind a silence that has ended it */
#define BULK_LOW    (96 << 10)          /* bytes: the low-water mark of its socket */
#define BULK_HIGH   (384 << 10)         /* bytes: the same where they come quickly */
#define BULK_QUICK  ((size_t)512 << 10) /* bytes between two looks: quickly */
#define BULK_MS     1                   /* between two looks whether anything has come */

/* Of one stream; all zero to begin with. */
struct bulk_state {
	struct bulk *now; /* under way, or NULL */
	size_t bytes;     /* of large pieces, since somebody was ready */
};

/* A large piece of n bytes has come, and enough before it; it filled the room of its read, or it
 * did not. `st` stays where it is until bulk_end(). Where the socket is not read as it stands (TLS,
 * a WebSocket), nothing changes. */
void bulk_go_on(struct bulk_state *b, size_t n, bool full, struct stream *st, struct loop *l);
/* The mark is taken back and the count begins anew; also where the stream is closed. Idempotent. */
void bulk_end(struct bulk_state *b);

/* n bytes were read, of `room`. */
static inline void
bulk_heard(struct bulk_state *b, size_t n, size_t room, struct stream *st, struct loop *l)
{
	if (n < BULK_READ)
		return;
	b->bytes += n;
	if (b->bytes >= BULK_BEHIND)
		bulk_go_on(b, n, n == room, st, l);
}

#endif
