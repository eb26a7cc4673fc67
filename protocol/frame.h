/* SPDX-License-Identifier: PostgreSQL
 *
 * Cutting a byte stream into protocol messages: whole ones (frame_cut: the login phase, the
 * console, what is read in place), or in pieces, as they come (struct framer: who follows a live
 * session and never waits for a whole message). Knows lengths, not contents. Nothing is copied but
 * a header that the end of a read has cut: what comes out are slices into what went in. Which
 * requests of a live session are outstanding: protocol/exchange.h.
 *
 * Format: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats"; the length of a
 * message counts itself but not the type byte. The startup limit is MAX_STARTUP_PACKET_LENGTH of
 * PostgreSQL's libpq/pqcomm.h, which does not count the length word.
 */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define FRAME_HEAD_BYTES  5
#define STARTUP_BYTES_MIN 8
#define STARTUP_BYTES_MAX (4 + 10000)

struct frame {
	char type;
	struct slice body; /* without type and length */
	size_t total;      /* bytes of the whole message: what to drop from the input */
};

/* The length of the message that begins with these FRAME_HEAD_BYTES, type and length word included;
 * less than FRAME_HEAD_BYTES: its length word is below 4, and it is no message. */
static inline size_t
frame_total(const void *head)
{
	return 1 + (size_t)get_u32((const char *)head + 1);
}

/* One typed message from the front of `in`. BAD as soon as the length is known to be below 4 or
 * above max_len (max_len bounds the length word, so the body plus 4). */
enum parse frame_cut(struct slice in, size_t max_len, struct frame *out) MUST_CHECK;
/* A stream of typed messages that is read in pieces; begins as zeros, where a message begins. */
struct framer {
	uint32_t left; /* bytes of the current body that are still to come */
	uint8_t have;  /* bytes of a header that the end of a read has cut; they are in `head` */
	char head[FRAME_HEAD_BYTES];
};

/* What there is of one message, or the next part of it. */
struct frame_piece {
	char type;         /* '\0': it has begun before the framer was there */
	uint32_t length;   /* of its whole body; 0 where the type is not known */
	struct slice body; /* as much of it as is here; maybe nothing */
	bool begins, ends; /* the first piece of the message; the last */
};

/* The next piece from the front of *in, which it is taken from. MORE: *in is used up. BAD: a length
 * below 4; what comes behind it means nothing. */
enum parse framer_next(struct framer *f, struct slice *in, struct frame_piece *out) MUST_CHECK;

/* One untyped packet (StartupMessage, SSLRequest, GSSENCRequest, CancelRequest), its length word
 * included. BAD as soon as the length is known to be out of [STARTUP_BYTES_MIN, STARTUP_BYTES_MAX].
 */
enum parse frame_cut_startup(struct slice in, struct slice *packet) MUST_CHECK;

#endif
