/* SPDX-License-Identifier: PostgreSQL
 *
 * Silence on a WebSocket, and its end: pings, who is given up, and what a Close says.
 */
#include "config.h"

#include "proxy/net/websocket.h"

#include <unistd.h>

#include "tests/unit/websocket_ends.h"

#include "tests/unit/unit.h"

static void
tick(struct ends *e, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(websocket_tick(&e->st), 0);
}

static void
who_is_silent_is_pinged(void **state)
{
	struct ends *e = *state;

	tick(e, 3);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
	peer_frame(e, 0x8a, "", 0);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
	tick(e, 3);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
	assert_int_equal(stream_send(&e->st, "x", 1), 0);
	tick(e, 4);
	check_told(e, "");
	tick(e, 1);
	check_told(e, "<ping >");
}

static void
who_does_not_answer_is_given_up(void **state)
{
	struct ends *e = *state;

	tick(e, 4 + 11);
	assert_int_equal(websocket_tick(&e->st), -1);
}

static void
whatever_is_said_is_an_answer(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 5; i++) {
		tick(e, 11);
		peer_say(e, "x", 1);
		check_recv(e, "x");
	}
	tick(e, 11);
}

static void
who_takes_nothing_is_not_asked(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	tick(e, 100);
	drain_to_peer(e, BIG);
	check_told(e, "");
	tick(e, 1);
	tick(e, 4); /* it is asked now … */
	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	tick(e, 100); /* … and takes nothing any more */
	drain_to_peer(e, BIG);
	check_told(e, "<ping >");
}

static void
a_plain_stream_has_none_of_this(void **state)
{
	struct ends *e = *state;

	tick(e, 100);
	assert_null(websocket_fault(&e->st));
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	assert_int_equal(stream_recv(&e->st, e->got, 100), STREAM_AGAIN);
}

static void
a_code_is_said_unless_the_peer_was_first(void **state)
{
	struct ends *e = *state;

	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	stream_fini(&e->st);
	check_told(e, "<close 1001>");
}

static void
a_close_without_a_code_is_answered_as_normal(void **state)
{
	struct ends *e = *state;

	peer_frame(e, 0x88, "", 0);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	stream_fini(&e->st);
	check_told(e, "<close 1000>");
}

static void
a_close_that_cannot_be_answered_yet_is_answered_in_its_words(void **state)
{
	struct ends *e = *state;

	assert_int_equal(stream_send(&e->st, e->sent, BIG), 0);
	peer_frame(e, 0x88, "\x0f\xa0", 2);
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	websocket_set_code(&e->st, WS_CODE_GOING_AWAY);
	drain_to_peer(e, BIG);
	check_told(e, "<close 4000>");
}

static void
the_end_of_the_file_needs_no_close(void **state)
{
	struct ends *e = *state;

	peer_say(e, "bye", 3);
	close(e->peer);
	e->peer = -1;
	check_recv(e, "bye");
	assert_int_equal(stream_recv(&e->st, e->got, 100), 0);
	assert_int_equal(stream_send(&e->st, "x", 1), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_plain, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_is_silent_is_pinged),
		TEST(who_does_not_answer_is_given_up),
		TEST(whatever_is_said_is_an_answer),
		TEST(who_takes_nothing_is_not_asked),
		cmocka_unit_test_setup_teardown(a_plain_stream_has_none_of_this, setup_bare,
						teardown),
		TEST(a_code_is_said_unless_the_peer_was_first),
		TEST(a_close_without_a_code_is_answered_as_normal),
		TEST(a_close_that_cannot_be_answered_yet_is_answered_in_its_words),
		TEST(the_end_of_the_file_needs_no_close),
	};

	return cmocka_run_group_tests_name("websocket, silence", tests, NULL, NULL);
}
