/* SPDX-License-Identifier: PostgreSQL
 *
 * WebSocket frames (RFC 6455 section 5), the server's side: what comes in is masked and is unmasked
 * where it lies; what goes out gets a header and is not touched. No extension, binary only: the
 * boundaries of frames and messages mean nothing, their payload is one stream of bytes.
 *
 * Pure: knows no socket. A frame is never gathered: any piece of one is taken as it comes. Only the
 * payload of a Ping (at most 125 bytes) is kept while it comes, because it has to be sent back.
 */
#ifndef PROTOCOL_WS_H
#define PROTOCOL_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define WS_CONTROL_MAX     125
#define WS_HEADER_MAX      10 /* of a frame without a mask */
#define WS_HEADER_MASK_MAX 14

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

/* Close codes, RFC 6455 section 7.4.1. */
enum ws_code {
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL = 1002,
	WS_CODE_UNACCEPTABLE = 1003, /* a text frame */
	WS_CODE_NONE = 1005,         /* never on the wire: a Close without a code */
};

struct ws_ping {
	uint8_t n;
	char p[WS_CONTROL_MAX];
};

/* The receiving side; all zero is its beginning. */
struct ws_in {
	uint64_t left;                    /* bytes of this frame's payload still to come */
	struct ws_ping *ping;             /* whose payload is coming */
	uint8_t mask[4];                  /* turned so that mask[0] is for the next byte */
	uint8_t head[WS_HEADER_MASK_MAX]; /* of a header, or a Close's code, cut by a read's end */
	uint8_t have;                     /* … and how many */
	uint8_t opcode;                   /* of the frame whose payload is coming */
	bool in_message;                  /* the last frame of data had no FIN */
	bool closed; /* a Close has come, or nonsense: what follows does not count */
};

/* What one call took. */
struct ws_took {
	size_t used;            /* bytes consumed */
	size_t got;             /* … and bytes of payload given out, also where PARSE_BAD */
	enum ws_opcode control; /* PARSE_DONE: WS_PING, WS_PONG or WS_CLOSE is complete */
	enum ws_code code;      /* PARSE_BAD: what to close with; WS_CLOSE: what the peer said */
	const char *fault;      /* PARSE_BAD: why, in words */
	struct ws_ping *ping;   /* WS_PING: the caller's now, to be freed */
};

/* Take bytes at `from`, n of them; payload goes unmasked to `to`, which may be `from` or lie before
 * it. PARSE_DONE: a control frame is complete, call again for the rest; PARSE_MORE: all is
 * consumed; PARSE_BAD: see t->code. */
enum parse ws_take(struct ws_in *in, char *to, const char *from, size_t n,
		   struct ws_took *t) MUST_CHECK;
void ws_in_fini(struct ws_in *in);

/* Write the header of an unmasked frame, FIN set, with n bytes of payload; returns its length. */
size_t ws_put_header(char to[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t n);

#endif
