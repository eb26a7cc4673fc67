/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/frame.h"

#include "base/buf.h"
#include "base/hot.h"

WARM enum parse
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

WARM enum parse
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
