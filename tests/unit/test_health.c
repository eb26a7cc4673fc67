/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/health.h"

#include "tests/unit/unit.h"

#define SEC INT64_C(1000000)

static const struct health_conf conf = {
	.rise = 2, .fall = 3, .interval_us = 5 * SEC, .max_backoff_us = 60 * SEC
};

static int64_t now_us;

static bool
probe(struct health *h, bool ok)
{
	struct health_sample s = { .ok = ok, .now_us = ++now_us };

	return health_probe(h, &conf, &s);
}

/* Feed "g" and "b" and write down the state after each: u(nknown) U(p) s(uspect) d(own). */
static const char *
run(struct health *h, const char *samples)
{
	static char states[64];
	size_t n = strlen(samples);

	for (size_t i = 0; i < n; i++) {
		probe(h, samples[i] == 'g');
		states[i] = "uUsd"[h->state];
	}
	states[n] = '\0';
	return states;
}

static void
rise_and_fall_are_counted_in_a_row(void **state)
{
	static const struct {
		const char *samples, *states;
	} table[] = {
		{ "g", "U" },         { "bbb", "ssd" },       { "bg", "sU" },
		{ "gbb", "UUU" },     { "gbbb", "UUUd" },     { "gbbgbb", "UUUUUU" },
		{ "gbbbg", "UUUdd" }, { "gbbbgg", "UUUddU" }, { "gbbbgbgg", "UUUddddU" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct health h = { 0 };

		assert_string_equal(run(&h, table[i].samples), table[i].states);
	}
}

static void
only_a_return_from_down_counts_as_coming_up(void **state)
{
	struct health h = { 0 };

	(void)state;
	run(&h, "gg");
	assert_false(h.was_down);
	assert_int_equal(h.up_since_us, 0);
	health_evidence(&h, now_us);
	run(&h, "g");
	assert_int_equal(h.up_since_us, 0);
	run(&h, "bbbgg");
	assert_true(h.was_down);
	assert_int_equal(h.up_since_us, now_us);
	assert_int_equal(h.last_good_us, now_us);
}

static void
what_is_reached_in_another_way_is_judged_anew(void **state)
{
	struct health h = { 0 };

	(void)state;
	run(&h, "gbbb");
	assert_true(health_reconsider(&h));
	assert_int_equal(h.state, NODE_SUSPECT);
	assert_false(health_reconsider(&h));
	assert_string_equal(run(&h, "bbb"), "ssd");
	assert_true(health_reconsider(&h));
	assert_string_equal(run(&h, "g"), "U"); /* not `rise` of them */
	assert_false(health_reconsider(&h));
	assert_int_equal(h.state, NODE_UP);
}

static void
a_failed_session_makes_suspect_until_a_probe_answers(void **state)
{
	struct health h = { 0 };

	(void)state;
	run(&h, "g");
	assert_true(health_evidence(&h, now_us));
	assert_int_equal(h.state, NODE_SUSPECT);
	assert_false(health_evidence(&h, now_us));
	assert_true(probe(&h, true));
	assert_int_equal(h.state, NODE_UP);
	run(&h, "bbb");
	assert_false(health_evidence(&h, now_us));
	assert_int_equal(h.state, NODE_DOWN);
}

static void
a_change_is_reported_once(void **state)
{
	struct health h = { 0 };

	(void)state;
	assert_true(probe(&h, true));
	assert_false(probe(&h, true));
	assert_false(probe(&h, false));
	assert_false(probe(&h, false));
	assert_true(probe(&h, false));
	assert_false(probe(&h, false));
}

static void
round_trips_are_averaged_with_alpha_a_fifth(void **state)
{
	struct health h = { 0 };
	struct health_sample s = { .ok = true, .rtt_us = 1000, .connect_us = 400, .now_us = 1 };

	(void)state;
	health_probe(&h, &conf, &s);
	assert_int_equal(h.rtt_us, 1000);
	assert_int_equal(h.connect_us, 400);
	s.rtt_us = 2000;
	s.connect_us = 0; /* not measured: the connection was kept */
	health_probe(&h, &conf, &s);
	assert_int_equal(h.rtt_us, 1200);
	assert_int_equal(h.connect_us, 400);
	assert_int_equal(health_ewma(1000, 500), 900);
}

static void
next_lies_within(const struct health *h, int64_t around_us)
{
	int64_t low = INT64_MAX, high = 0;

	for (uint32_t r = 0; r < 1000; r++) {
		int64_t t = health_next_probe_us(h, &conf, r * 2654435761U);

		low = t < low ? t : low;
		high = t > high ? t : high;
	}
	assert_true(low >= around_us / 100 * 90 && high <= around_us / 100 * 110);
	assert_true(low < around_us / 100 * 92 && high > around_us / 100 * 108);
}

static void
down_nodes_are_left_in_peace_and_doubtful_ones_are_not(void **state)
{
	struct health h = { 0 };

	(void)state;
	next_lies_within(&h, 5 * SEC);
	run(&h, "g");
	next_lies_within(&h, 5 * SEC);
	run(&h, "b");
	next_lies_within(&h, 1 * SEC);
	run(&h, "bb");
	next_lies_within(&h, 5 * SEC);
	run(&h, "b");
	next_lies_within(&h, 10 * SEC);
	run(&h, "bb");
	next_lies_within(&h, 40 * SEC);
	run(&h, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	next_lies_within(&h, 60 * SEC);
	run(&h, "g");
	next_lies_within(&h, 1 * SEC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rise_and_fall_are_counted_in_a_row),
		cmocka_unit_test(only_a_return_from_down_counts_as_coming_up),
		cmocka_unit_test(what_is_reached_in_another_way_is_judged_anew),
		cmocka_unit_test(a_failed_session_makes_suspect_until_a_probe_answers),
		cmocka_unit_test(a_change_is_reported_once),
		cmocka_unit_test(round_trips_are_averaged_with_alpha_a_fifth),
		cmocka_unit_test(down_nodes_are_left_in_peace_and_doubtful_ones_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
