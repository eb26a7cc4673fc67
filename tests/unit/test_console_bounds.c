/* SPDX-License-Identifier: PostgreSQL
 *
 * What the console bears: long listings, clients that do not read, and those that break the
 * protocol.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/unit/console_script.h"

#include "tests/unit/unit.h"

/* ---- long listings ---- */

static unsigned
count_rows(struct fake *f)
{
	struct buf got = { 0 };
	unsigned n = 0;

	fake_print(f, &got);
	for (const char *at = buf_text(&got); (at = strstr(at, "D[")) != NULL; at++)
		n++;
	buf_fini(&got);
	return n;
}

static void
a_long_listing_yields_between_chunks(void **state)
{
	struct fake *f = fake_new();
	unsigned letters = 0, rows = 0, chunk;

	(void)state;
	fake_sessions(f, 1000);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW SESSIONS FULL");
	while (fake_deliver(f)) {
		letters++;
		chunk = count_rows(f);
		assert_true(chunk <= 256);
		rows += chunk;
	}
	assert_int_equal(rows, 2000);
	assert_true(letters >= 16); /* four chunks on each of two workers, there and back */
	fake_free(f);
}

static void
a_listing_of_the_world_yields_too(void **state)
{
	struct fake *f = fake_new();
	unsigned letters = 0, rows;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		topology_add_override(f->world.topology, OVERRIDE_CITY, "x", 0, 0);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW OVERRIDES");
	rows = count_rows(f);
	assert_int_equal(rows, 256);
	while (fake_deliver(f)) {
		letters++;
		rows += count_rows(f);
	}
	assert_int_equal(rows, 1001);
	assert_int_equal(letters, 3);
	fake_free(f);
}

static void
nothing_is_produced_while_the_client_does_not_read(void **state)
{
	struct fake *f = fake_new();
	unsigned rows = 0;

	(void)state;
	fake_sessions(f, 1000);
	fake_open(f, PRIVILEGE_STATS);
	f->full = true;
	send_query(f, "SHOW SESSIONS FULL; SHOW OVERRIDES");
	for (int turn = 0; turn < 40; turn++) {
		unsigned chunk;

		fake_settle(f);
		chunk = count_rows(f);
		assert_true(chunk <= 256);
		rows += chunk;
		console_drained(f->console);
	}
	fake_settle(f);
	rows += count_rows(f);
	assert_int_equal(rows, 2001);
	fake_free(f);
}

static void
an_operator_may_hang_up_at_any_moment(void **state)
{
	static const char *const scripts[] = {
		"Q SHOW SESSIONS FULL",      "Q SHOW SESSION 3",
		"Q EXPLAIN ROUTE SESSION 4", "Q RELOAD",
		"Q SHOW OVERRIDES",          "P a|SHOW SESSIONS FULL|\nB b|a||\nE b|1\nS",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		for (unsigned letters = 0; letters < 12; letters++) {
			struct fake *f = fake_new();
			struct buf in = { 0 };

			for (unsigned k = 0; k < 600; k++)
				topology_add_override(f->world.topology, OVERRIDE_CITY, "x", 0, 0);
			fake_sessions(f, 600);
			fake_open(f, PRIVILEGE_ADMIN);
			put_script(&in, scripts[i]);
			console_input(f->console, in.p, in.n);
			for (unsigned k = 0; k < letters; k++)
				fake_deliver(f);
			console_free(f->console);
			f->console = NULL;
			fake_settle(f);
			assert_int_equal(atomic_load(&f->world.refs.n), 1);
			buf_fini(&in);
			fake_free(f);
		}
	}
}

/* ---- the protocol broken ---- */

static void
a_client_that_breaks_the_protocol_is_told_and_left(void **state)
{
	static const struct {
		struct slice bytes;
		const char *answer;
	} cases[] = {
		{ { "!\0\0\0\4", 5 }, "E(08P01 invalid frontend message type 33)" },
		{ { "\0\0\0\0\4", 5 }, "E(08P01 invalid frontend message type 0)" },
		{ { "Q\0\0\0\3", 5 }, "E(08P01 invalid message length)" },
		{ { "Q\x7f\0\0\0", 5 }, "E(08P01 invalid message length)" },
		{ { "X\0\0\0\4Q", 6 }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f = fake_new();
		struct buf got = { 0 };

		fake_open(f, PRIVILEGE_STATS);
		console_input(f->console, cases[i].bytes.p, cases[i].bytes.n);
		fake_print(f, &got);
		assert_string_equal(buf_text(&got), cases[i].answer);
		assert_true(f->closed);
		send_query(f, "SELECT 1");
		assert_int_equal(f->got.n, 0);
		buf_fini(&got);
		fake_free(f);
	}
}

static void
messages_with_a_broken_body_are_errors(void **state)
{
	static const struct {
		struct slice bytes;
		const char *answer;
	} cases[] = {
		{ { "Q\0\0\0\5x", 6 }, "E(08P01 invalid Query message) Z" },
		{ { "Q\0\0\0\6\xff\0", 7 },
		  "E(22021 invalid byte sequence for encoding \"UTF8\") Z" },
		{ { "P\0\0\0\5x", 6 }, "E(08P01 invalid Parse message)" },
		{ { "P\0\0\0\x09\0\xff\0\0\0", 10 },
		  "E(22021 invalid byte sequence for encoding \"UTF8\")" },
		{ { "B\0\0\0\5x", 6 }, "E(08P01 invalid Bind message)" },
		{ { "D\0\0\0\5S", 6 }, "E(08P01 invalid Describe message)" },
		{ { "E\0\0\0\5\0", 6 }, "E(08P01 invalid Execute message)" },
		{ { "C\0\0\0\5P", 6 }, "E(08P01 invalid Close message)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f = fake_new();
		struct buf got = { 0 };

		fake_open(f, PRIVILEGE_STATS);
		console_input(f->console, cases[i].bytes.p, cases[i].bytes.n);
		fake_print(f, &got);
		assert_string_equal(buf_text(&got), cases[i].answer);
		assert_false(f->closed);
		buf_fini(&got);
		fake_free(f);
	}
}

static void
what_is_sent_ahead_is_bounded(void **state)
{
	struct fake *f = fake_new();
	char *flood = xcalloc(1, 64 * 1024);
	struct buf got = { 0 };

	(void)state;
	fake_sessions(f, 1);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW SESSIONS FULL"); /* waits for a letter that nobody delivers */
	for (int i = 0; i < 64 && !f->closed; i++)
		console_input(f->console, flood, 64 * 1024);
	assert_true(f->closed);
	fake_print(f, &got);
	assert_non_null(strstr(buf_text(&got), "E(54000 too much was sent"));
	free(flood);
	buf_fini(&got);
	fake_free(f);
}

static void
statements_and_portals_are_bounded(void **state)
{
	struct fake *f = fake_new();
	struct buf got = { 0 };
	char script[64];
	int i;

	(void)state;
	fake_open(f, PRIVILEGE_STATS);
	for (i = 0; i < 2000; i++) {
		snprintf(script, sizeof(script), "P s%d|SELECT 1|\nS", i);
		ask(f, script, &got);
		if (strstr(buf_text(&got), "E(54000 too many prepared statements") != NULL)
			break;
	}
	assert_int_equal(i, 1024);
	for (i = 0; i < 200; i++) {
		snprintf(script, sizeof(script), "B p%d|s1||", i);
		ask(f, script, &got);
		if (strstr(buf_text(&got), "E(54000 too many portals") != NULL)
			break;
	}
	assert_int_equal(i, 64);
	buf_fini(&got);
	fake_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_listing_yields_between_chunks),
		cmocka_unit_test(a_listing_of_the_world_yields_too),
		cmocka_unit_test(nothing_is_produced_while_the_client_does_not_read),
		cmocka_unit_test(an_operator_may_hang_up_at_any_moment),
		cmocka_unit_test(a_client_that_breaks_the_protocol_is_told_and_left),
		cmocka_unit_test(messages_with_a_broken_body_are_errors),
		cmocka_unit_test(what_is_sent_ahead_is_bounded),
		cmocka_unit_test(statements_and_portals_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
