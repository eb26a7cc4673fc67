/* SPDX-License-Identifier: PostgreSQL
 *
 * The framing of a request's body (RFC 9112 sections 6 and 7): a length, or chunks.
 */
#include "config.h"

#include "base/text.h"
#include "protocol/http.h"

enum body_state {
	BODY_COUNTED,   /* `left` bytes, and no more */
	BODY_SIZE,      /* the digits of a chunk's size */
	BODY_EXTENSION, /* what stands behind them, up to the CR */
	BODY_SIZE_LF,   /* its LF */
	BODY_CHUNK,     /* `left` bytes of content */
	BODY_CHUNK_CR,
	BODY_CHUNK_LF,
	BODY_TRAILER,    /* at the beginning of a line behind the last chunk */
	BODY_TRAILER_IN, /* inside such a line */
	BODY_TRAILER_LF,
	BODY_LAST_LF,
	BODY_END,
};

/* Sixty bits: no addition can overflow. */
#define DIGITS_MAX 15

void
http_body_init(struct http_body *b, const struct http_head *h)
{
	*b = (struct http_body){ .left = h->length };
	b->state = h->chunked ? BODY_SIZE : h->length > 0 ? BODY_COUNTED : BODY_END;
}

/* Content: as much of it as is there. */
static size_t
take_content(struct http_body *b, struct slice in, struct buf *out)
{
	size_t n = in.n < b->left ? in.n : (size_t)b->left;

	buf_slice(out, slice_of(in.p, n));
	b->left -= n;
	b->total += n;
	if (b->left == 0)
		b->state = b->state == BODY_COUNTED ? BODY_END : BODY_CHUNK_CR;
	return n;
}

/* One byte that is not content; false where it cannot stand there. */
static bool
take_framing_byte(struct http_body *b, char c)
{
	static const struct {
		uint8_t next;
		char wanted;
	} fixed[] = {
		[BODY_CHUNK_CR] = { BODY_CHUNK_LF, '\r' },
		[BODY_CHUNK_LF] = { BODY_SIZE, '\n' },
		[BODY_TRAILER_LF] = { BODY_TRAILER, '\n' },
		[BODY_LAST_LF] = { BODY_END, '\n' },
	};
	int digit = text_hex_digit(c);

	switch (b->state) {
	case BODY_SIZE:
		if (digit >= 0) {
			b->left = b->left * 16 + (uint64_t)digit;
			return ++b->digits <= DIGITS_MAX;
		}
		b->state = c == '\r' ? BODY_SIZE_LF : BODY_EXTENSION;
		return b->digits > 0 && (c == '\r' || c == ';');
	case BODY_EXTENSION:
		if (c == '\r')
			b->state = BODY_SIZE_LF;
		return c != '\n';
	case BODY_SIZE_LF:
		b->state = b->left > 0 ? BODY_CHUNK : BODY_TRAILER;
		b->digits = 0;
		return c == '\n';
	case BODY_TRAILER:
		b->state = c == '\r' ? BODY_LAST_LF : BODY_TRAILER_IN;
		return c != '\n';
	case BODY_TRAILER_IN:
		if (c == '\r')
			b->state = BODY_TRAILER_LF;
		return c != '\n';
	default:
		b->digits = 0;
		if (c != fixed[b->state].wanted)
			return false;
		b->state = fixed[b->state].next;
		return true;
	}
}

enum parse
http_body_take(struct http_body *b, struct slice in, uint64_t max, struct buf *out, size_t *used,
	       struct http_error *e)
{
	size_t at = 0;

	*used = 0;
	while (b->state != BODY_END) {
		if (b->total + b->left > max)
			return http_bad(e, 413, "the body of the request is too long");
		if (at == in.n)
			break;
		if (b->state == BODY_COUNTED || b->state == BODY_CHUNK)
			at += take_content(b, slice_skip(in, at), out);
		else if (!take_framing_byte(b, in.p[at++]))
			return http_bad(e, 400, "malformed chunk");
		/* extensions and trailers count as if they were content: they are bounded too */
		else if (b->state == BODY_EXTENSION || b->state == BODY_TRAILER_IN)
			b->total++;
	}
	*used = at;
	return b->state == BODY_END ? PARSE_DONE : PARSE_MORE;
}
