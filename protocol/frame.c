/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/frame.h"

#include <string.h>

#include "base/hot.h"

HOT enum parse
frame_cut(struct slice in, size_t max_len, struct frame *out)
{
	size_t len;

	if (in.n < FRAME_HEAD_BYTES)
		return PARSE_MORE;
	len = get_u32(in.p + 1);
	if (len < 4 || len > max_len)
		return PARSE_BAD;
	if (in.n - 1 < len)
		return PARSE_MORE;
	*out = (struct frame){
		.type = in.p[0],
		.body = slice_of(in.p + FRAME_HEAD_BYTES, len - 4),
		.total = 1 + len,
	};
	return PARSE_DONE;
}

/* Complete the header. False: not all of it is here. */
static bool
take_head(struct framer *f, struct slice *in)
{
	size_t n = (size_t)(FRAME_HEAD_BYTES - f->have);

	if (n > in->n)
		n = in->n;
	memcpy(f->head + f->have, in->p, n);
	f->have = (uint8_t)(f->have + n);
	*in = slice_skip(*in, n);
	return f->have == FRAME_HEAD_BYTES;
}

enum parse
framer_next(struct framer *f, struct slice *in, struct frame_piece *out)
{
	bool begins = f->left == 0;
	size_t total, n;

	if (in->n == 0 || (begins && !take_head(f, in)))
		return PARSE_MORE;
	if (begins) {
		total = frame_total(f->head);
		if (total < FRAME_HEAD_BYTES)
			return PARSE_BAD;
		f->left = (uint32_t)(total - FRAME_HEAD_BYTES);
		f->have = 0;
	}
	n = f->left < in->n ? f->left : in->n;
	f->left -= (uint32_t)n;
	*out = (struct frame_piece){
		.type = f->head[0],
		.length =
		    f->head[0] != '\0' ? (uint32_t)(frame_total(f->head) - FRAME_HEAD_BYTES) : 0,
		.body = slice_of(in->p, n),
		.begins = begins,
		.ends = f->left == 0,
	};
	*in = slice_skip(*in, n);
	return PARSE_DONE;
}

HOT enum parse
frame_cut_startup(struct slice in, struct slice *packet)
{
	size_t len;

	if (in.n < 4)
		return PARSE_MORE;
	len = get_u32(in.p);
	if (len < STARTUP_BYTES_MIN || len > STARTUP_BYTES_MAX)
		return PARSE_BAD;
	if (in.n < len)
		return PARSE_MORE;
	*packet = slice_of(in.p, len);
	return PARSE_DONE;
}
