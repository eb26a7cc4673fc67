/* SPDX-License-Identifier: PostgreSQL
 *
 * The WebSocket layer of a stream in each of its four places: on the bare socket, over TLS, under
 * TLS, and between two.
 */
#include "config.h"

#include "proxy/net/websocket.h"

#include <stdio.h>

#include "tests/unit/websocket_ends.h"

#include "tests/unit/unit.h"

/* ---- in every place ---- */

static void
bytes_go_both_ways(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	peer_say(e, "hello", 5);
	check_recv(e, "hello");
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	assert_int_equal(stream_send(&e->st, "world", 5), 0);
	assert_false(stream_is_blocked(&e->st));
	check_heard(e, "world", 5);
	assert_int_equal(e->frames, 1);
	assert_true(stream_is_encrypted(&e->st) == (e->below != NULL || e->inside != NULL));
	assert_string_equal(stream_tls_version(&e->st),
			    e->below != NULL || e->inside != NULL ? "TLSv1.3" : "");
}

static void
what_the_peer_does_not_take_goes_first(void **state)
{
	struct ends *e = *state;

	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_READ | EV_WRITE);
	for (int i = 0; i < 5; i++)
		(void)peer_read(e);
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, BIG);
}

/* Sends of every size around a peer that reads little: headers are cut wherever they can be. */
static void
frames_survive_a_peer_that_reads_little(void **state)
{
	struct ends *e = *state;
	size_t at = 0;

	e->peer_reads = 777;
	for (size_t n = 1; at < BIG; n = n * 3 % 9973 + 1) {
		size_t here = n < BIG - at ? n : BIG - at;

		assert_int_equal(stream_send(&e->st, e->sent + at, here), 0);
		at += here;
		(void)peer_read(e);
	}
	drain_to_peer(e, BIG);
}

static void
bytes_that_no_descriptor_announces_are_announced(void **state)
{
	struct ends *e = *state;
	size_t at = 0;

	for (int i = 0; i < 4; i++)
		peer_say(e, e->sent + i * 1000, 1000);
	stream_want(&e->st, EV_READ);
	while (at < 4000) {
		ssize_t n;

		assert_int_equal(poll_events(e) & EV_READ, EV_READ);
		n = stream_recv(&e->st, e->got + at, 700);
		assert_true(n > 0 || n == STREAM_AGAIN);
		at += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(at, 4000);
	assert_memory_equal(e->got, e->sent, 4000);
	if (poll_events(e) != 0)
		assert_int_equal(stream_recv(&e->st, e->got, 700), STREAM_AGAIN);
	assert_int_equal(poll_events(e), 0);
}

static void
a_ping_is_answered(void **state)
{
	struct ends *e = *state;

	peer_frame(e, 0x89, "there?", 6);
	assert_int_equal(stream_recv(&e->st, e->got, BIG), STREAM_AGAIN);
	check_told(e, "<pong there?>");
	peer_frame(e, 0x89, "", 0);
	peer_say(e, "and this", 8);
	check_recv(e, "and this");
	check_told(e, "<pong >");
	assert_int_equal(poll_events(e), 0);
}

static void
a_close_is_answered_and_is_the_end(void **state)
{
	struct ends *e = *state;

	peer_say(e, "last", 4);
	peer_frame(e, 0x88, "\x03\xe9", 2);
	peer_say(e, "no more", 7);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), EV_READ);
	check_recv(e, "last");
	assert_int_equal(poll_events(e), EV_READ);
	if (e->inside != NULL) /* without its close_notify, TLS has been cut off */
		assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	else
		assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	check_told(e, "<close 1001>");
	/* what nobody hears is not said */
	e->frames = 0;
	if (e->inside == NULL)
		assert_int_equal(stream_send(&e->st, "x", 1), 0);
	stream_fini(&e->st);
	check_told(e, "");
	assert_int_equal(e->frames, 0);
}

static void
the_end_is_said_behind_the_last_bytes(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, "good bye", 8), 0);
	stream_end(&e->st);
	check_heard(e, "good bye", 8);
	check_told(e, "<close 1000>");
	stream_fini(&e->st);
	check_told(e, "");
	if (e->inside != NULL)
		assert_int_equal(SSL_get_shutdown(e->inside), SSL_RECEIVED_SHUTDOWN);
	if (e->below != NULL)
		assert_int_equal(SSL_get_shutdown(e->below), SSL_RECEIVED_SHUTDOWN);
}

/* What was under way when we said Close still comes, and then the peer's own. */
static void
the_peer_can_answer_our_close(void **state)
{
	struct ends *e = *state;
	ssize_t n;

	stream_want(&e->st, EV_READ);
	stream_end(&e->st);
	assert_int_equal(poll_events(e), 0);
	peer_frame(e, 0x89, "late", 4);
	peer_say(e, "under way", 9);
	assert_int_equal(poll_events(e), EV_READ);
	check_recv(e, "under way");
	peer_frame(e, 0x88, "\x03\xe8", 2);
	assert_int_equal(poll_events(e), EV_READ);
	n = stream_recv(&e->st, e->got, 100);
	assert_true(n == 0 || (e->inside != NULL && n == STREAM_FAILED));
	check_told(e, "<close 1000>");
}

static void
an_end_behind_what_is_not_taken_is_said_later(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	stream_end(&e->st);
	check_told(e, "");
	drain_to_peer(e, BIG);
	check_told(e, "");
	stream_end(&e->st);
	check_told(e, "<close 1000>");
}

static void
what_was_wrong_is_said(void **state)
{
	struct ends *e = *state;

	peer_say(e, "good", 4);
	peer_frame(e, 0x81, "text", 4);
	check_recv(e, "good");
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_FAILED);
	assert_string_equal(websocket_fault(&e->st), "a text frame");
	check_told(e, "<close 1003>");
}

static void
a_stream_moves_in_the_middle_of_a_frame(void **state)
{
	struct ends *e = *state;
	struct stream to;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	peer_say(e, "to be read", 10);
	stream_move(&e->st, &to, on_event, e);
	assert_false(stream_is_open(&e->st));
	assert_null(e->st.ws);
	e->st = to;
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e) & EV_READ, EV_READ);
	check_recv(e, "to be read");
	drain_to_peer(e, BIG);
}

/* ---- on the bare socket ---- */

/* Every byte by itself: no piece of a frame needs another to be there. */
static void
frames_may_come_byte_by_byte(void **state)
{
	struct ends *e = *state;
	struct buf b = { 0 }, got = { 0 };

	put_frame(&b, 0x02, "frag", 4);
	put_frame(&b, 0x89, "ping", 4);
	put_frame(&b, 0x80, "ments", 5);
	put_frame(&b, 0x82, e->sent, 300);
	for (size_t i = 0; i < b.n; i++) {
		ssize_t n;

		peer_write(e, b.p + i, 1);
		n = stream_recv(&e->st, e->got, BIG);
		assert_true(n == 1 || n == STREAM_AGAIN);
		if (n == 1)
			buf_put(&got, e->got, 1);
	}
	assert_int_equal(got.n, 309);
	assert_memory_equal(got.p, "fragments", 9);
	assert_memory_equal(got.p + 9, e->sent, 300);
	check_told(e, "<pong ping>");
	buf_fini(&b);
	buf_fini(&got);
}

/* Pings while nothing can be sent: the answer to the last is kept, and goes between two frames. */
static void
pings_that_cannot_be_answered_cost_nothing(void **state)
{
	struct ends *e = *state;
	char text[20];

	assert_int_equal(stream_send(&e->st, e->sent, 100000), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		peer_frame(e, 0x89, text, strlen(text));
		assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	}
	assert_int_equal(stream_send(&e->st, e->sent + 100000, BIG - 100000), 0);
	drain_to_peer(e, BIG);
	check_told(e, "<pong 999>");
}

static void
pings_that_fill_the_socket_with_answers_are_bounded(void **state)
{
	struct ends *e = *state;
	char text[WS_CONTROL_MAX] = { 0 };
	int told = 0;

	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		peer_frame(e, 0x89, text, sizeof(text));
		assert_int_equal(stream_recv(&e->st, e->got, 1000), STREAM_AGAIN);
	}
	assert_true(stream_is_blocked(&e->st));
	assert_int_equal(e->st.interest, EV_WRITE);
	while (stream_is_blocked(&e->st)) {
		(void)peer_read(e);
		assert_int_equal(stream_flush(&e->st), 0);
		told++;
	}
	peer_reads_all(e);
	assert_in_range(told, 1, 1000);
	assert_non_null(strstr(e->told.p, "<pong 4999"));
	assert_int_equal(e->st.interest, 0);
}

static void
what_came_behind_the_handshake_comes_first(void **state)
{
	struct ends *e = *state;
	struct buf b = { 0 };

	put_frame(&b, 0x82, "early", 5);
	put_frame(&b, 0x89, "?", 1);
	put_frame(&b, 0x82, "half of this", 12);
	stream_want(&e->st, EV_READ);
	assert_int_equal(stream_start_websocket(&e->st, slice_of(b.p, b.n - 8)), 0);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got, 3), 3);
	assert_int_equal(poll_events(e), EV_READ);
	assert_int_equal(stream_recv(&e->st, e->got + 3, 100), 6);
	assert_memory_equal(e->got, "earlyhalf", 9);
	assert_int_equal(poll_events(e), 0);
	peer_write(e, b.p + b.n - 8, 8);
	check_recv(e, " of this");
	check_told(e, "<pong ?>");
	buf_fini(&b);
}

static void
the_first_byte_can_be_looked_at(void **state)
{
	struct ends *e = *state;
	char first = 'x';

	stream_want(&e->st, EV_READ);
	assert_false(stream_peek(&e->st, &first));
	peer_say(e, "hello", 5);
	assert_true(stream_peek(&e->st, &first));
	assert_int_equal(first, 'h');
	assert_true(stream_peek(&e->st, &first));
	assert_int_equal(poll_events(e), 0); /* it was not waited for anew … */
	stream_want(&e->st, 0);
	stream_want(&e->st, EV_READ);
	assert_int_equal(poll_events(e), EV_READ); /* … but now */
	check_recv(e, "hello");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_plain, teardown)
#define EACH(f)                                                               \
	cmocka_unit_test_setup_teardown(f, setup_plain, teardown),            \
	    { #f " (over TLS)", f, setup_over_tls, teardown, NULL },          \
	    { #f " (under TLS)", f, setup_under_tls, teardown, NULL },        \
	{                                                                     \
#f " (between TLS and TLS)", f, setup_between, teardown, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(bytes_go_both_ways),
		EACH(what_the_peer_does_not_take_goes_first),
		EACH(frames_survive_a_peer_that_reads_little),
		EACH(bytes_that_no_descriptor_announces_are_announced),
		EACH(a_ping_is_answered),
		EACH(a_close_is_answered_and_is_the_end),
		EACH(the_end_is_said_behind_the_last_bytes),
		EACH(the_peer_can_answer_our_close),
		EACH(an_end_behind_what_is_not_taken_is_said_later),
		EACH(what_was_wrong_is_said),
		EACH(a_stream_moves_in_the_middle_of_a_frame),
		TEST(frames_may_come_byte_by_byte),
		TEST(pings_that_cannot_be_answered_cost_nothing),
		TEST(pings_that_fill_the_socket_with_answers_are_bounded),
		cmocka_unit_test_setup_teardown(what_came_behind_the_handshake_comes_first,
						setup_bare, teardown),
		TEST(the_first_byte_can_be_looked_at),
	};

	return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
