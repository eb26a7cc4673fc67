/* SPDX-License-Identifier: PostgreSQL
 *
 * First two bytes: the largest length allowed. The rest is cut into messages, and its front as a
 * startup packet. What comes out lies inside what went in, and a prefix never says more than MORE
 * or what the whole says.
 */
#include "config.h"

#include "protocol/frame.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

static void
check_prefixes(struct slice in, size_t max_len, enum parse whole, const struct frame *want)
{
	size_t last = whole == PARSE_DONE ? want->total : in.n;
	struct frame f = { .total = 77 };

	for (size_t n = 0; n <= last && n < 64; n++) {
		enum parse r = frame_cut(slice_of(in.p, n), max_len, &f);

		FUZZ_ASSERT(r == PARSE_MORE || r == whole);
		FUZZ_ASSERT(r != PARSE_DONE || (n == want->total && f.total == n));
		FUZZ_ASSERT(r == PARSE_DONE || f.total == 77);
	}
}

static void
check_startup(struct slice in)
{
	struct slice packet = { "x", 99999 };

	if (frame_cut_startup(in, &packet) != PARSE_DONE) {
		FUZZ_ASSERT(packet.n == 99999);
		return;
	}
	FUZZ_ASSERT(packet.p == in.p && packet.n <= in.n);
	FUZZ_ASSERT(packet.n >= STARTUP_BYTES_MIN && packet.n <= STARTUP_BYTES_MAX);
	FUZZ_ASSERT(get_u32(packet.p) == packet.n);
}

/* In pieces it is the messages that frame_cut() finds, and then the beginning of one. */
static void
check_pieces(struct slice in, size_t step)
{
	struct framer framer = { 0 };
	struct slice rest = in;
	enum parse r = PARSE_MORE;
	struct frame_piece piece;
	struct frame f;
	size_t body = 0;

	while (rest.n > 0 && r != PARSE_BAD) {
		struct slice read = slice_of(rest.p, rest.n < step ? rest.n : step);

		rest = slice_skip(rest, read.n);
		while ((r = framer_next(&framer, &read, &piece)) == PARSE_DONE) {
			body = piece.begins ? piece.body.n : body + piece.body.n;
			if (!piece.ends)
				continue;
			FUZZ_ASSERT(frame_cut(in, SIZE_MAX, &f) == PARSE_DONE);
			FUZZ_ASSERT(f.type == piece.type && f.body.n == body);
			FUZZ_ASSERT(piece.length == body);
			in = slice_skip(in, f.total);
		}
	}
	FUZZ_ASSERT(frame_cut(in, SIZE_MAX, &f) == (r == PARSE_BAD ? PARSE_BAD : PARSE_MORE));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct frame f;
	enum parse r;
	size_t max_len;

	check_startup(in);
	check_pieces(in, 1);
	check_pieces(in, 7);
	check_pieces(in, SIZE_MAX);
	if (size < 2)
		return 0;
	max_len = get_u16(data);
	in = slice_skip(in, 2);
	do {
		f = (struct frame){ 0 };
		r = frame_cut(in, max_len, &f);
		check_prefixes(in, max_len, r, &f);
		if (r != PARSE_DONE)
			break;
		FUZZ_ASSERT(f.total >= FRAME_HEAD_BYTES && f.total <= in.n);
		FUZZ_ASSERT(f.total <= max_len + 1 && f.body.n == f.total - FRAME_HEAD_BYTES);
		FUZZ_ASSERT(f.body.p == in.p + FRAME_HEAD_BYTES && f.type == in.p[0]);
		in = slice_skip(in, f.total);
	} while (in.n > 0);
	return 0;
}
