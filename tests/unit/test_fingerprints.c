/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/fingerprints.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "protocol/fingerprint.h"
#include "tests/unit/collisions.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define HOUR_US (3600 * USEC_PER_SEC)

static const int64_t start = 1000 * HOUR_US;

static uint64_t
run(struct fingerprints *t, const char *database, const char *text, unsigned times, int64_t at)
{
	uint64_t key = fingerprints_key(t, slice_str(database), slice_str(text), at);

	fingerprints_count(t, key, times, at);
	return key;
}

static const struct fingerprint_sum *
find(const struct fingerprint_sums *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].text, text) == 0)
			return &s->v[i];
	return NULL;
}

static void
statements_are_counted_by_database(void **state)
{
	struct fingerprints *t = fingerprints_new(start);
	struct fingerprint_sums all = { 0 }, one = { 0 };

	(void)state;
	run(t, "a", "select ?", 10, start);
	run(t, "a", "select ?", 10, start + USEC_PER_SEC);
	run(t, "b", "select ?", 5, start);
	run(t, "b", "begin", 7, start);
	fingerprint_sums_add(&all, t, NULL, start + 10 * USEC_PER_SEC);
	fingerprint_sums_add(&one, t, "b", start + 10 * USEC_PER_SEC);
	fingerprint_sums_sort(&all);
	assert_int_equal(all.n, 3);
	assert_int_equal(all.v[0].calls, 20);
	assert_string_equal(all.v[0].database, "a");
	assert_int_equal(all.v[1].calls, 7);
	assert_int_equal(all.v[0].id, all.v[2].id);
	assert_int_equal(all.window_us, 10 * USEC_PER_SEC);
	assert_true(fingerprint_per_second(&all, &all.v[0]) > 1.99 &&
		    fingerprint_per_second(&all, &all.v[0]) < 2.01);
	assert_int_equal(one.n, 2);
	assert_int_equal(find(&one, "select ?")->calls, 5);
	fingerprint_sums_fini(&all);
	fingerprint_sums_fini(&one);
	fingerprints_free(t);
}

static void
workers_are_added_up(void **state)
{
	struct fingerprints *t = fingerprints_new(start), *u = fingerprints_new(start - HOUR_US);
	struct fingerprint_sums all = { 0 };
	uint64_t key;

	(void)state;
	key = run(t, "a", "select ?", 1, start);
	fingerprints_took(t, key, 1000, start);
	run(t, "a", "begin", 1, start);
	key = run(u, "a", "select ?", 2, start + 5);
	fingerprints_took(u, key, 3000, start);
	run(u, "a", "commit", 1, start);
	fingerprint_sums_add(&all, NULL, NULL, start + 5);
	assert_int_equal(all.n, 0);
	fingerprint_sums_add(&all, t, NULL, start + 5);
	fingerprint_sums_add(&all, u, NULL, start + 5);
	assert_int_equal(all.n, 3);
	assert_int_equal(find(&all, "select ?")->calls, 3);
	assert_int_equal(find(&all, "select ?")->timed, 2);
	assert_int_equal(find(&all, "select ?")->seen_us, start + 5);
	assert_int_equal(fingerprint_mean_us(find(&all, "select ?")), 2000);
	assert_int_equal(all.window_us, HOUR_US + 5);
	fingerprint_sums_fini(&all);
	fingerprints_free(t);
	fingerprints_free(u);
}

static void
what_is_older_than_a_day_does_not_count(void **state)
{
	struct fingerprints *t = fingerprints_new(start);
	struct fingerprint_sums s = { 0 };

	(void)state;
	run(t, "a", "once", 1, start);
	for (int h = 0; h < 30; h++)
		run(t, "a", "hourly", 1, start + h * HOUR_US);
	fingerprint_sums_add(&s, t, NULL, start + 29 * HOUR_US + 60 * USEC_PER_SEC);
	assert_null(find(&s, "once"));
	assert_int_equal(find(&s, "hourly")->calls, 24);
	assert_int_equal(s.window_us, 23 * HOUR_US + 60 * USEC_PER_SEC);
	fingerprint_sums_fini(&s);
	/* nothing since: the table knows it all the same, but nothing of that day */
	fingerprint_sums_add(&s, t, NULL, start + 60 * HOUR_US);
	assert_int_equal(s.n, 0);
	fingerprint_sums_fini(&s);
	fingerprints_free(t);
}

static void
who_was_not_seen_for_longest_goes_first(void **state)
{
	struct fingerprints *t = fingerprints_new(start);
	struct fingerprint_sums s = { 0 };
	uint64_t first = run(t, "a", "first", 1, start), second = run(t, "a", "second", 1, start);
	char text[32];

	(void)state;
	for (int i = 0; i < FINGERPRINTS_MAX - 2; i++) {
		snprintf(text, sizeof(text), "statement %d", i);
		run(t, "a", text, 1, start);
	}
	fingerprints_count(t, first, 1, start); /* it is seen again */
	run(t, "a", "another", 1, start);
	fingerprints_count(t, second, 1, start); /* gone: counts nothing */
	fingerprints_took(t, second, 1, start);
	fingerprint_sums_add(&s, t, NULL, start);
	assert_int_equal(s.n, FINGERPRINTS_MAX);
	assert_int_equal(s.forgotten, 1);
	assert_int_equal(find(&s, "first")->calls, 2);
	assert_null(find(&s, "second"));
	assert_non_null(find(&s, "another"));
	fingerprint_sums_fini(&s);
	fingerprints_free(t);
}

static void
percentiles_are_bounds_from_above(void **state)
{
	struct fingerprints *t = fingerprints_new(start);
	struct fingerprint_sums s = { 0 };
	uint64_t key = run(t, "a", "x", 1, start), slow = run(t, "a", "slow", 1, start);
	const struct fingerprint_sum *x;

	(void)state;
	run(t, "a", "untimed", 1, start);
	for (int i = 0; i < 990; i++)
		fingerprints_took(t, key, 1000, start);
	for (int i = 0; i < 10; i++)
		fingerprints_took(t, key, 500000, start);
	fingerprints_took(t, key, -5, start); /* no duration */
	fingerprints_took(t, slow, INT64_MAX / 2, start);
	fingerprint_sums_add(&s, t, NULL, start);
	x = find(&s, "x");
	assert_int_equal(x->timed, 1000);
	assert_in_range(fingerprint_percentile_us(x, 50), 1000, 1500);
	assert_in_range(fingerprint_percentile_us(x, 99), 1000, 1500);
	assert_in_range(fingerprint_percentile_us(x, 100), 500000, 750000);
	assert_true(fingerprint_percentile_us(find(&s, "slow"), 99) > 40 * USEC_PER_SEC);
	assert_int_equal(fingerprint_percentile_us(find(&s, "untimed"), 99), -1);
	assert_int_equal(fingerprint_mean_us(find(&s, "untimed")), -1);
	fingerprint_sums_fini(&s);
	fingerprints_free(t);
}

static void
chance_chooses_one_of_n(void **state)
{
	struct fingerprints *t = fingerprints_new(start);
	unsigned n = 0, turn[7] = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(fingerprints_chance(t, 1));
	for (int i = 0; i < 70000; i++)
		if (fingerprints_chance(t, 7)) {
			n++;
			turn[i % 7]++;
		}
	assert_in_range(n, 9500, 10500);
	for (int i = 0; i < 7; i++)
		assert_in_range(turn[i], 1200, 1660);
	fingerprints_free(t);
}

/* The next text whose key ends in as many zeros by FNV as are looked at. */
static void
next_text(bool collides, unsigned *number, char text[32])
{
	uint64_t key;

	do {
		snprintf(text, 32, "select from t%u", ++*number);
		key = fingerprint_id_from(fingerprint_id(slice_str(text)) ^ UINT64_MAX,
					  slice_str("db"));
	} while (collides && collision_fnv(2166136261U, slice_of((const char *)&key, 8)) % 1024);
}

/* Of texts that are seen again and again. */
static double
cost_of_texts(const void *arg, size_t n)
{
	struct fingerprints *t = fingerprints_new(start);
	const bool *collide = arg;
	char(*texts)[32] = calloc(n, sizeof(*texts));
	unsigned number = 0;
	double ms;

	assert_non_null(texts);
	for (size_t i = 0; i < n; i++)
		next_text(*collide, &number, texts[i]);
	ms = cost_ms();
	for (size_t i = 0; i < 20 * n; i++)
		run(t, "db", texts[i * 7 % n], 1, start);
	ms = cost_ms() - ms;
	free(texts);
	fingerprints_free(t);
	return ms;
}

static void
texts_that_were_chosen_cost_no_more_than_others(void **state)
{
	(void)state;
	collisions_cost_nothing("texts", cost_of_texts, FINGERPRINTS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_are_counted_by_database),
		cmocka_unit_test(workers_are_added_up),
		cmocka_unit_test(what_is_older_than_a_day_does_not_count),
		cmocka_unit_test(who_was_not_seen_for_longest_goes_first),
		cmocka_unit_test(percentiles_are_bounds_from_above),
		cmocka_unit_test(chance_chooses_one_of_n),
		cmocka_unit_test(texts_that_were_chosen_cost_no_more_than_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
