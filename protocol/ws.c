/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/ws.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

#define BIT_FIN    0x80
#define BIT_RSV    0x70
#define BIT_MASK   0x80
#define OPCODE     0x0f
#define CONTROL    0x08 /* set in the opcodes of control frames */
#define LENGTH     0x7f
#define LENGTH_16  126
#define LENGTH_64  127
#define MASK_BYTES 4

static enum parse
bad(struct ws_took *t, enum ws_code code, const char *fault)
{
	t->code = code;
	t->fault = fault;
	return PARSE_BAD;
}

/* Unmask n bytes, eight at a time; `to` may lie anywhere up to `from`. The mask is left turned to
 * the byte that follows. */
static void
unmask(uint8_t mask[MASK_BYTES], char *to, const char *from, size_t n)
{
	uint8_t turned[MASK_BYTES];
	uint64_t wide, word;
	size_t i;

	memcpy(&wide, mask, MASK_BYTES);
	memcpy((char *)&wide + MASK_BYTES, mask, MASK_BYTES);
	for (i = 0; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, from + i, sizeof(word));
		word ^= wide;
		memcpy(to + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		to[i] = (char)(from[i] ^ mask[i % MASK_BYTES]);
	for (i = 0; i < MASK_BYTES; i++)
		turned[i] = mask[(i + n) % MASK_BYTES];
	memcpy(mask, turned, MASK_BYTES);
}

/* Length of a header of which the first two bytes are known. */
static uint8_t
header_length(const uint8_t *h)
{
	uint8_t length = h[1] & LENGTH;

	return (uint8_t)(2 + MASK_BYTES + (length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0));
}

/* What the first two bytes of a header may not say. NULL: they are good. */
static const char *
header_fault(const struct ws_in *in, const uint8_t *h, enum ws_code *code)
{
	uint8_t opcode = h[0] & OPCODE;
	bool fin = (h[0] & BIT_FIN) != 0;

	*code = WS_CODE_PROTOCOL;
	if (h[0] & BIT_RSV)
		return "a reserved bit is set";
	if (!(h[1] & BIT_MASK))
		return "a frame is not masked";
	if (opcode & CONTROL) {
		if (opcode > WS_PONG)
			return "unknown opcode of a control frame";
		if (!fin)
			return "a control frame is fragmented";
		return (h[1] & LENGTH) > WS_CONTROL_MAX ? "a control frame is too long" : NULL;
	}
	switch (opcode) {
	case WS_CONTINUATION:
		return in->in_message ? NULL : "a continuation continues nothing";
	case WS_TEXT:
		*code = WS_CODE_UNACCEPTABLE;
		return "a text frame";
	case WS_BINARY:
		return in->in_message ? "a message begins inside another" : NULL;
	default:
		return "unknown opcode";
	}
}

/* A complete header: begin its frame. */
static enum parse
begin_frame(struct ws_in *in, struct ws_took *t)
{
	const uint8_t *h = in->head;
	uint8_t length = h[1] & LENGTH;
	uint64_t least = 0;

	in->left = length;
	if (length == LENGTH_16) {
		in->left = get_u16(h + 2);
		least = LENGTH_16;
	} else if (length == LENGTH_64) {
		in->left = get_u64(h + 2);
		least = UINT16_MAX + 1;
	}
	if (in->left < least || in->left > INT64_MAX)
		return bad(t, WS_CODE_PROTOCOL, "the length of a frame is not well-formed");
	memcpy(in->mask, h + in->have - MASK_BYTES, MASK_BYTES);
	in->opcode = h[0] & OPCODE;
	in->have = 0;
	if (!(in->opcode & CONTROL))
		in->in_message = !(h[0] & BIT_FIN);
	if (in->opcode == WS_PING) {
		free(in->ping);
		in->ping = xcalloc(1, sizeof(*in->ping));
	}
	if (in->opcode == WS_CLOSE && in->left == 1)
		return bad(t, WS_CODE_PROTOCOL, "a Close with half a code");
	return PARSE_DONE;
}

/* Take what is there of a header. DONE: a frame has begun. */
static enum parse
take_header(struct ws_in *in, const char *p, size_t n, struct ws_took *t)
{
	while (t->used < n) {
		enum ws_code code;
		const char *fault;

		in->head[in->have++] = (uint8_t)p[t->used++];
		if (in->have == 2 && (fault = header_fault(in, in->head, &code)) != NULL)
			return bad(t, code, fault);
		if (in->have >= 2 && in->have == header_length(in->head))
			return begin_frame(in, t);
	}
	return PARSE_MORE;
}

/* Whether a peer may close with this (RFC 6455 section 7.4). */
static bool
code_is_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/* The payload of a control frame, piece by piece. */
static enum parse
take_control(struct ws_in *in, const char *p, size_t n, struct ws_took *t)
{
	while (in->left > 0 && t->used < n) {
		char c;

		unmask(in->mask, &c, p + t->used++, 1);
		in->left--;
		if (in->opcode == WS_PING)
			in->ping->p[in->ping->n++] = c;
		else if (in->opcode == WS_CLOSE && in->have < 2)
			in->head[in->have++] = (uint8_t)c;
	}
	if (in->left > 0)
		return PARSE_MORE;
	t->control = (enum ws_opcode)in->opcode;
	if (in->opcode == WS_CLOSE) {
		unsigned code = in->have == 2 ? get_u16(in->head) : WS_CODE_NONE;

		if (in->have == 2 && !code_is_valid(code))
			return bad(t, WS_CODE_PROTOCOL, "a Close with a code that means nothing");
		in->closed = true;
		t->code = (enum ws_code)code;
		return PARSE_DONE;
	}
	if (in->opcode == WS_PING) {
		t->ping = in->ping;
		in->ping = NULL;
	}
	in->opcode = WS_CONTINUATION;
	return PARSE_DONE;
}

/* Up to the end of a control frame, or of the bytes. */
static enum parse
take_frames(struct ws_in *in, char *to, const char *from, size_t n, struct ws_took *t)
{
	size_t here;

	while (t->used < n) {
		enum parse r = PARSE_DONE;

		if (in->left == 0 && !(in->opcode & CONTROL))
			r = take_header(in, from, n, t);
		if (r != PARSE_DONE)
			return r;
		if (in->opcode & CONTROL)
			return take_control(in, from, n, t);
		here = in->left < n - t->used ? (size_t)in->left : n - t->used;
		unmask(in->mask, to + t->got, from + t->used, here);
		in->left -= here;
		t->got += here;
		t->used += here;
	}
	return PARSE_MORE;
}

enum parse
ws_take(struct ws_in *in, char *to, const char *from, size_t n, struct ws_took *t)
{
	enum parse r = PARSE_MORE;

	*t = (struct ws_took){ 0 };
	if (!in->closed)
		r = take_frames(in, to, from, n, t);
	if (r == PARSE_BAD)
		in->closed = true;
	if (in->closed)
		t->used = n;
	return r;
}

void
ws_in_fini(struct ws_in *in)
{
	free(in->ping);
	in->ping = NULL;
}

size_t
ws_put_header(char to[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t n)
{
	to[0] = (char)(BIT_FIN | opcode);
	if (n <= WS_CONTROL_MAX) {
		to[1] = (char)n;
		return 2;
	}
	if (n <= UINT16_MAX) {
		to[1] = LENGTH_16;
		to[2] = (char)(n >> 8);
		to[3] = (char)n;
		return 4;
	}
	to[1] = LENGTH_64;
	put_u32(to + 2, (uint32_t)(n >> 32));
	put_u32(to + 6, (uint32_t)n);
	return WS_HEADER_MAX;
}
