/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/histogram.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#include "tests/unit/unit.h"

static double
native_bound(int index)
{
	return exp2((double)index / 8);
}

static void
a_native_bucket_ends_with_its_bound_and_begins_behind_the_one_before(void **arg)
{
	(void)arg;
	for (int64_t us = 1; us < (int64_t)40 * 3600 * USEC_PER_SEC; us += us / 61 + 1) {
		int i = histogram_native_index(us);
		double v = (double)us / (double)USEC_PER_SEC;

		assert_true(v <= native_bound(i) * (1 + 1e-12));
		assert_true(v > native_bound(i - 1) * (1 - 1e-12));
	}
}

static void
powers_of_two_are_bounds(void **arg)
{
	(void)arg;
	assert_int_equal(histogram_native_index(USEC_PER_SEC), 0);
	assert_int_equal(histogram_native_index(2 * USEC_PER_SEC), 8);
	assert_int_equal(histogram_native_index(USEC_PER_SEC + 1), 1);
	assert_int_equal(histogram_native_index(USEC_PER_SEC / 2), -8);
	assert_int_equal(histogram_native_index(USEC_PER_SEC / 64), -48);
}

static void
the_range_holds_a_microsecond_and_a_day(void **arg)
{
	(void)arg;
	assert_true(histogram_native_index(1) >= HISTOGRAM_FIRST);
	assert_true(histogram_native_index((int64_t)86400 * USEC_PER_SEC) <= HISTOGRAM_LAST);
}

static void
classic_buckets_are_cumulative_and_inclusive(void **arg)
{
	struct histogram *h = xcalloc(1, sizeof(*h));
	struct histogram_view v;

	(void)arg;
	histogram_observe(h, 500);
	histogram_observe(h, 501);
	histogram_observe(h, 100 * USEC_PER_MSEC);
	histogram_observe(h, 100 * USEC_PER_MSEC + 1);
	histogram_observe(h, 61 * USEC_PER_SEC);
	histogram_read(h, &v);
	assert_true(histogram_bound_s(0) == 0.0005 && histogram_bound_s(7) == 0.1);
	assert_int_equal(v.classic[0], 1);
	assert_int_equal(v.classic[1], 2);
	assert_int_equal(v.classic[6], 2);
	assert_int_equal(v.classic[7], 3);
	assert_int_equal(v.classic[8], 4);
	assert_int_equal(v.classic[HISTOGRAM_BOUNDS - 1], 4);
	assert_int_equal(v.count, 5);
	assert_true(fabs(v.sum_s - 61.201002) < 1e-9);
	free(h);
}

static void
bounds_grow(void **arg)
{
	(void)arg;
	for (unsigned i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bound_s(i) > histogram_bound_s(i - 1));
}

static void
what_is_not_positive_is_zero_and_what_is_too_long_is_kept(void **arg)
{
	struct histogram *h = xcalloc(1, sizeof(*h));
	struct histogram_view v;

	(void)arg;
	histogram_observe(h, 0);
	histogram_observe(h, -5);
	histogram_observe(h, INT64_MAX / 4);
	histogram_read(h, &v);
	assert_int_equal(v.zero, 2);
	assert_int_equal(v.classic[0], 2);
	assert_int_equal(v.native[HISTOGRAM_NATIVE - 1], 1);
	assert_int_equal(v.count, 3);
	free(h);
}

/* The reader may come between the writer's two counts. */
static void
classic_buckets_never_hold_more_than_there_is(void **arg)
{
	struct histogram *h = xcalloc(1, sizeof(*h));
	struct histogram_view v;

	(void)arg;
	atomic_store(&h->classic[3], 7);
	histogram_observe(h, 1);
	histogram_read(h, &v);
	assert_int_equal(v.count, 1);
	assert_int_equal(v.classic[HISTOGRAM_BOUNDS - 1], 1);
	free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_native_bucket_ends_with_its_bound_and_begins_behind_the_one_before),
		cmocka_unit_test(powers_of_two_are_bounds),
		cmocka_unit_test(the_range_holds_a_microsecond_and_a_day),
		cmocka_unit_test(classic_buckets_are_cumulative_and_inclusive),
		cmocka_unit_test(bounds_grow),
		cmocka_unit_test(what_is_not_positive_is_zero_and_what_is_too_long_is_kept),
		cmocka_unit_test(classic_buckets_never_hold_more_than_there_is),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
