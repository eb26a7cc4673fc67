/* SPDX-License-Identifier: PostgreSQL
 *
 * For tests that compare what little costs with what much costs. What is too much for the caches
 * takes longer, but not by as much as there is more of it.
 */
#ifndef TESTS_UNIT_COST_H
#define TESTS_UNIT_COST_H

#include <time.h>

/* A sanitizer, and the counters of gcov, make some things dearer than others. */
#if defined(SANITIZED) || defined(COVERAGE)
#define COST_DISTORTED
#endif

/* Milliseconds that are within what cannot be told apart. */
#ifdef COST_DISTORTED
#define COST_SLACK_MS 30
#else
#define COST_SLACK_MS 5
#endif

/* Of this thread, so far; milliseconds. */
static inline double
cost_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The least of several: whatever else the machine does makes it more, never less, so that it is
 * measured until that helps no more. Takes what fn() returns, its time. */
static inline double
cost_least(double (*fn)(const void *arg, size_t n), const void *arg, size_t n)
{
	double least = fn(arg, n);

	for (int i = 0, last = 0; i - last < 3 && i < 40; i++) {
		double ms = fn(arg, n);

		if (ms < least * 0.95)
			last = i;
		least = ms < least ? ms : least;
	}
	return least;
}

/* Much costs no more than so many times as little does. Where both are expressions that measure,
 * they are measured again while it seems to cost more: what else the machine does may have fallen
 * on one of the two. */
#define assert_cost(many_ms, times, few_ms)                                    \
	do {                                                                   \
		int tries_ = 0;                                                \
		while (!((many_ms) <= 5 * (times) * (few_ms) + COST_SLACK_MS)) \
			assert_true(++tries_ < 5);                             \
	} while (0)

#endif
