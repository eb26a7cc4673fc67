/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/frame.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

/* Every prefix of a good message is MORE and leaves the output alone; the whole is DONE. */
static void
check_cut(struct slice in, size_t max_len, char type, size_t total)
{
	struct frame f = { .type = '?', .total = 77 };

	for (size_t n = 0; n < total; n++) {
		assert_int_equal(frame_cut(slice_of(in.p, n), max_len, &f), PARSE_MORE);
		assert_int_equal(f.type, '?');
		assert_int_equal(f.total, 77);
	}
	for (size_t n = total; n <= in.n; n++) {
		assert_int_equal(frame_cut(slice_of(in.p, n), max_len, &f), PARSE_DONE);
		assert_int_equal(f.type, type);
		assert_int_equal(f.total, total);
		assert_ptr_equal(f.body.p, in.p + 5);
		assert_int_equal(f.body.n, total - 5);
	}
}

static void
a_message_is_cut_out_whole(void **state)
{
	(void)state;
	check_cut(slice_of("Q\0\0\0\7hi\0Z", 9), 100, 'Q', 8);
	check_cut(slice_of("S\0\0\0\4", 5), 4, 'S', 5);
}

static void
the_length_is_judged_before_the_body_is_there(void **state)
{
	struct frame f;

	(void)state;
	assert_int_equal(frame_cut(slice_of("Q\0\0\0\3", 5), 100, &f), PARSE_BAD);
	assert_int_equal(frame_cut(slice_of("Q\0\0\0\0", 5), 100, &f), PARSE_BAD);
	assert_int_equal(frame_cut(slice_of("Q\xff\xff\xff\xff", 5), 100, &f), PARSE_BAD);
	assert_int_equal(frame_cut(slice_of("Q\0\0\0\145", 5), 100, &f), PARSE_BAD);
	assert_int_equal(frame_cut(slice_of("Q\0\0\0\144", 5), 100, &f), PARSE_MORE);
	assert_int_equal(frame_cut(slice_of("Q\0\0\0", 4), 100, &f), PARSE_MORE);
}

static void
a_startup_packet_keeps_its_length_word(void **state)
{
	static const char ssl[] = { 0, 0, 0, 8, 4, (char)0xd2, 0x16, 0x2f, 'x' };
	struct slice packet = { ssl, 77 };

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		assert_int_equal(frame_cut_startup(slice_of(ssl, n), &packet), PARSE_MORE);
		assert_int_equal(packet.n, 77);
	}
	assert_int_equal(frame_cut_startup(slice_of(ssl, 9), &packet), PARSE_DONE);
	assert_ptr_equal(packet.p, ssl);
	assert_int_equal(packet.n, 8);
}

static void
a_startup_length_out_of_bounds_is_bad(void **state)
{
	static const struct {
		uint32_t length;
		enum parse want;
	} vectors[] = {
		{ 0, PARSE_BAD },          { 4, PARSE_BAD },
		{ 7, PARSE_BAD },          { 8, PARSE_MORE },
		{ 10004, PARSE_MORE },     { 10005, PARSE_BAD },
		{ 0x7fffffff, PARSE_BAD }, { UINT32_MAX, PARSE_BAD },
		{ 0x47455420, PARSE_BAD }, /* "GET " */
	};
	struct slice packet;
	char head[4];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		put_u32(head, vectors[i].length);
		assert_int_equal(frame_cut_startup(slice_of(head, 4), &packet), vectors[i].want);
	}
}

/* What a framer says of `in` when it comes in reads of `step` bytes: "Q(" at a beginning, the bytes
 * of the body, ")" at the end. */
static void
frame_in_steps(struct slice in, size_t step, struct framer f, struct buf *out)
{
	struct frame_piece piece;

	while (in.n > 0) {
		struct slice read = slice_of(in.p, in.n < step ? in.n : step);

		in = slice_skip(in, read.n);
		while (framer_next(&f, &read, &piece) == PARSE_DONE) {
			if (piece.begins)
				buf_printf(out, "%c%u(", piece.type, piece.length);
			buf_slice(out, piece.body);
			if (piece.ends)
				buf_str(out, ")");
		}
		assert_int_equal(read.n, 0);
	}
}

static void
a_stream_is_the_same_in_pieces_of_any_size(void **state)
{
	static const char in[] = "xyQ\0\0\0\7hi\0S\0\0\0\4d\0\0\0\10abcd";
	static const char out[] = "xy)Q3(hi\0)S0()d4(abcd)";

	(void)state;
	for (size_t step = 1; step < sizeof(in); step++) {
		struct framer f = { .left = 2 }; /* of a message that began before */
		struct buf got = { .cap = 100 };

		frame_in_steps(slice_of(in, sizeof(in) - 1), step, f, &got);
		assert_int_equal(got.n, sizeof(out) - 1);
		assert_memory_equal(got.p, out, got.n);
		buf_fini(&got);
	}
}

static void
a_framer_stops_at_a_length_that_is_none(void **state)
{
	struct slice in = slice_of("Q\0\0\0\3", 5);
	struct frame_piece piece;
	struct framer f = { 0 };

	(void)state;
	assert_int_equal(framer_next(&f, &in, &piece), PARSE_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_cut_out_whole),
		cmocka_unit_test(the_length_is_judged_before_the_body_is_there),
		cmocka_unit_test(a_stream_is_the_same_in_pieces_of_any_size),
		cmocka_unit_test(a_framer_stops_at_a_length_that_is_none),
		cmocka_unit_test(a_startup_packet_keeps_its_length_word),
		cmocka_unit_test(a_startup_length_out_of_bounds_is_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
