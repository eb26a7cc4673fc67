/* SPDX-License-Identifier: PostgreSQL
 *
 * Cutting a byte stream into protocol messages where a whole message is wanted: the login phase and
 * the console. Knows lengths, not contents. Nothing is copied: what comes out are slices into what
 * went in. The relay of a live session does not use this (it never waits for a whole message): see
 * protocol/exchange.h.
 *
 * Format: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats"; the length of a
 * message counts itself but not the type byte. The startup limit is MAX_STARTUP_PACKET_LENGTH of
 * PostgreSQL's libpq/pqcomm.h, which does not count the length word.
 */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H

#include <stddef.h>

#include "base/slice.h"

#define FRAME_HEAD_BYTES  5
#define STARTUP_BYTES_MIN 8
#define STARTUP_BYTES_MAX (4 + 10000)

struct frame {
	char type;
	struct slice body; /* without type and length */
	size_t total;      /* bytes of the whole message: what to drop from the input */
};

/* One typed message from the front of `in`. BAD as soon as the length is known to be below 4 or
 * above max_len (max_len bounds the length word, so the body plus 4). */
enum parse frame_cut(struct slice in, size_t max_len, struct frame *out) MUST_CHECK;
/* One untyped packet (StartupMessage, SSLRequest, GSSENCRequest, CancelRequest), its length word
 * included. BAD as soon as the length is known to be out of [STARTUP_BYTES_MIN, STARTUP_BYTES_MAX].
 */
enum parse frame_cut_startup(struct slice in, struct slice *packet) MUST_CHECK;

#endif
