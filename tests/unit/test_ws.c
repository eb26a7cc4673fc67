/* SPDX-License-Identifier: PostgreSQL
 *
 * WebSocket frames: each vector whole and split at every byte, with payload that moves to the front
 * of the memory it was read into.
 */
#include "config.h"

#include "protocol/ws.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/unit.h"

static const char key[4] = { 0x37, (char)0xfa, 0x21, 0x3d };

/* A frame as a client sends it; `first` is its first byte. */
static void
put_masked(struct buf *b, unsigned first, const char *p, size_t n)
{
	char head[WS_HEADER_MAX];
	size_t len = ws_put_header(head, WS_BINARY, n);

	head[0] = (char)first;
	head[1] = (char)(head[1] | 0x80);
	buf_put(b, head, len);
	buf_put(b, key, 4);
	for (size_t i = 0; i < n; i++)
		buf_u8(b, (uint8_t)(p[i] ^ key[i % 4]));
}

/* All that was said, as text: payload as it is, <ping x>, <pong>, <close n>, <bad n why>. */
struct story {
	struct ws_in in;
	struct buf told;
};

static void
tell(struct story *s, enum parse r, struct ws_took *t)
{
	if (r == PARSE_BAD)
		buf_printf(&s->told, "<bad %d %s>", (int)t->code, t->fault);
	if (r != PARSE_DONE)
		return;
	if (t->control == WS_PING)
		buf_printf(&s->told, "<ping %.*s>", (int)t->ping->n, t->ping->p);
	else if (t->control == WS_PONG)
		buf_str(&s->told, "<pong>");
	else
		buf_printf(&s->told, "<close %d>", (int)t->code);
	free(t->ping);
}

/* One read's worth; false: bad. */
static bool
read_piece(struct story *s, const char *p, size_t n)
{
	char *mine = test_malloc(n > 0 ? n : 1);
	size_t used = 0, got = 0;
	struct ws_took t;
	enum parse r;

	memcpy(mine, p, n);
	do {
		r = ws_take(&s->in, mine + got, mine + used, n - used, &t);
		buf_put(&s->told, mine + got, t.got);
		tell(s, r, &t);
		used += t.used;
		got += t.got;
		assert_true(used <= n && got <= used);
	} while (r == PARSE_DONE);
	assert_int_equal(used, n);
	test_free(mine);
	return r != PARSE_BAD;
}

static const char *
tell_pieces(struct story *s, struct slice in, size_t piece)
{
	*s = (struct story){ .told = { .cap = 1 << 20 } };
	for (size_t at = 0; at < in.n; at += piece) {
		if (!read_piece(s, in.p + at, in.n - at < piece ? in.n - at : piece))
			break;
	}
	ws_in_fini(&s->in);
	return buf_text(&s->told);
}

/* The same story whole, in pieces of every size, and cut once at every byte. */
static void
check_story(struct buf *wire, const char *want)
{
	struct slice in = buf_view(wire);
	struct story s;

	assert_string_equal(tell_pieces(&s, in, in.n), want);
	buf_fini(&s.told);
	for (size_t piece = 1; piece < in.n && piece < 40; piece++) {
		assert_string_equal(tell_pieces(&s, in, piece), want);
		buf_fini(&s.told);
	}
	for (size_t at = 1; at < in.n && in.n < 1000; at++) {
		s = (struct story){ .told = { .cap = 1 << 20 } };
		if (read_piece(&s, in.p, at))
			(void)read_piece(&s, in.p + at, in.n - at);
		assert_string_equal(buf_text(&s.told), want);
		ws_in_fini(&s.in);
		buf_fini(&s.told);
	}
	buf_fini(wire);
}

/* RFC 6455 section 5.7: the masked "Hello" (there in a text frame). */
static void
the_example_of_the_rfc_is_read(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_put(&b, "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	check_story(&b, "Hello");
}

static void
frames_are_one_stream_of_bytes(void **state)
{
	struct buf b = { 0 };

	(void)state;
	put_masked(&b, 0x82, "one", 3);
	put_masked(&b, 0x82, "", 0);
	put_masked(&b, 0x82, ", two and more", 14);
	put_masked(&b, 0x02, ", a message", 11);
	put_masked(&b, 0x00, " in ", 4);
	put_masked(&b, 0x00, "", 0);
	put_masked(&b, 0x80, "fragments", 9);
	put_masked(&b, 0x82, ".", 1);
	check_story(&b, "one, two and more, a message in fragments.");
}

static void
control_frames_come_between_fragments(void **state)
{
	struct buf b = { 0 };

	(void)state;
	put_masked(&b, 0x02, "be", 2);
	put_masked(&b, 0x89, "are you there?", 14);
	put_masked(&b, 0x00, "twe", 3);
	put_masked(&b, 0x89, "", 0);
	put_masked(&b, 0x8a, "unasked", 7);
	put_masked(&b, 0x8a, "", 0);
	put_masked(&b, 0x80, "en", 2);
	put_masked(&b, 0x88,
		   "\x03\xe8"
		   "bye",
		   5);
	put_masked(&b, 0x82, "too late", 8);
	check_story(&b, "be<ping are you there?>twe<ping ><pong><pong>en<close 1000>");
}

/* Every length around the limits of its three forms. */
static void
payload_of_every_length_is_unmasked(void **state)
{
	static const size_t lengths[] = { 1,   2,   3,   4,   7,     8,     9,     15,    16,   17,
					  124, 125, 126, 127, 65534, 65535, 65536, 65537, 70001 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i];
		char *text = test_malloc(n + 2);
		struct buf b = { 0 };

		for (size_t k = 0; k < n; k++)
			text[k] = (char)('a' + k * 7 % 26);
		put_masked(&b, 0x82, text, n);
		put_masked(&b, 0x82, "!", 1);
		text[n] = '!';
		text[n + 1] = '\0';
		check_story(&b, text);
		test_free(text);
	}
}

/* What comes first is good; what comes then is not read. */
static void
check_bad(const char *frame, size_t n, const char *want)
{
	struct buf b = { 0 };
	char told[200];

	put_masked(&b, 0x82, "good", 4);
	buf_put(&b, frame, n);
	put_masked(&b, 0x82, "more", 4);
	snprintf(told, sizeof(told), "good<bad %s>", want);
	check_story(&b, told);
}

static void
what_the_protocol_forbids_is_refused(void **state)
{
	static const struct {
		const char *frame;
		size_t n;
		const char *want;
	} cases[] = {
		{ "\x82\x05Hello", 7, "1002 a frame is not masked" },
		{ "\x81\x81kkkkx", 7, "1003 a text frame" },
		{ "\x01\x81kkkkx", 7, "1003 a text frame" },
		{ "\xc2\x81kkkkx", 7, "1002 a reserved bit is set" },
		{ "\xa2\x81kkkkx", 7, "1002 a reserved bit is set" },
		{ "\x92\x81kkkkx", 7, "1002 a reserved bit is set" },
		{ "\x80\x81kkkkx", 7, "1002 a continuation continues nothing" },
		{ "\x83\x81kkkkx", 7, "1002 unknown opcode" },
		{ "\x87\x81kkkkx", 7, "1002 unknown opcode" },
		{ "\x8b\x81kkkkx", 7, "1002 unknown opcode of a control frame" },
		{ "\x8f\x81kkkkx", 7, "1002 unknown opcode of a control frame" },
		{ "\x09\x81kkkkx", 7, "1002 a control frame is fragmented" },
		{ "\x89\xfe\x00\x7ekkkk", 8, "1002 a control frame is too long" },
		{ "\x88\xff\x00\x7ekkkk", 8, "1002 a control frame is too long" },
		{ "\x88\x81kkkkx", 7, "1002 a Close with half a code" },
		{ "\x88\x82\0\0\0\0\x03\xe7", 8, "1002 a Close with a code that means nothing" },
		{ "\x88\x82\0\0\0\0\x03\xed", 8, "1002 a Close with a code that means nothing" },
		{ "\x88\x82\0\0\0\0\x13\x88", 8, "1002 a Close with a code that means nothing" },
		{ "\x82\xfe\x00\x7dkkkk", 8, "1002 the length of a frame is not well-formed" },
		{ "\x82\xff\0\0\0\0\0\0\xff\xffkkkk", 14,
		  "1002 the length of a frame is not well-formed" },
		{ "\x82\xff\x80\0\0\0\0\0\0\0kkkk", 14,
		  "1002 the length of a frame is not well-formed" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_bad(cases[i].frame, cases[i].n, cases[i].want);
}

static void
a_message_inside_a_message_is_refused(void **state)
{
	struct buf b = { 0 };

	(void)state;
	put_masked(&b, 0x02, "a", 1);
	put_masked(&b, 0x82, "b", 1);
	check_story(&b, "a<bad 1002 a message begins inside another>");
}

static void
a_close_may_say_nothing_or_something(void **state)
{
	struct buf b = { 0 };

	(void)state;
	put_masked(&b, 0x88, "", 0);
	check_story(&b, "<close 1005>");
	put_masked(&b, 0x88, "\x0f\xa0", 2);
	check_story(&b, "<close 4000>");
	put_masked(&b, 0x88,
		   "\x03\xe9"
		   "going",
		   7);
	check_story(&b, "<close 1001>");
}

/* The largest frame there can be: nothing is gathered, nothing overflows. */
static void
a_frame_may_be_longer_than_memory(void **state)
{
	struct ws_in in = { 0 };
	char head[] = "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
	char piece[1000] = { 'x' };
	struct ws_took t;

	(void)state;
	assert_int_equal(ws_take(&in, head, head, 14, &t), PARSE_MORE);
	assert_int_equal(t.got, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ws_take(&in, piece, piece, 1000, &t), PARSE_MORE);
		assert_int_equal(t.got, 1000);
	}
	assert_true(in.left == INT64_MAX - 5000);
	ws_in_fini(&in);
}

static void
headers_have_the_shortest_form(void **state)
{
	static const struct {
		uint64_t n;
		size_t len;
		const char *want;
	} cases[] = {
		{ 0, 2, "\x82\x00" },
		{ 125, 2, "\x82\x7d" },
		{ 126, 4, "\x82\x7e\x00\x7e" },
		{ 65535, 4, "\x82\x7e\xff\xff" },
		{ 65536, 10, "\x82\x7f\0\0\0\0\0\x01\0\0" },
		{ (uint64_t)5 << 32, 10, "\x82\x7f\0\0\0\x05\0\0\0\0" },
	};
	char head[WS_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ws_put_header(head, WS_BINARY, cases[i].n), cases[i].len);
		assert_memory_equal(head, cases[i].want, cases[i].len);
	}
	assert_int_equal(ws_put_header(head, WS_PONG, 3), 2);
	assert_memory_equal(head, "\x8a\x03", 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_rfc_is_read),
		cmocka_unit_test(frames_are_one_stream_of_bytes),
		cmocka_unit_test(control_frames_come_between_fragments),
		cmocka_unit_test(payload_of_every_length_is_unmasked),
		cmocka_unit_test(what_the_protocol_forbids_is_refused),
		cmocka_unit_test(a_message_inside_a_message_is_refused),
		cmocka_unit_test(a_close_may_say_nothing_or_something),
		cmocka_unit_test(a_frame_may_be_longer_than_memory),
		cmocka_unit_test(headers_have_the_shortest_form),
	};

	return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
