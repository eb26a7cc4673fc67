/* SPDX-License-Identifier: PostgreSQL
 *
 * Histograms of durations, counted in two forms at once: classic buckets with bounds that people
 * name in their objectives (5 ms, 100 ms …), and Prometheus' native ones, which are exponential
 * (schema 3: eight to each doubling, bucket i covers ]2^((i-1)/8), 2^(i/8)] seconds).
 *
 * One thread writes, any thread may read: no lock, no read-modify-write instruction. All members
 * are 64-bit counters, so that histograms may be summed word by word. All zero is empty.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_SCHEMA 3
#define HISTOGRAM_FIRST  (-160) /* native bucket that one microsecond falls into */
#define HISTOGRAM_LAST   136 /* … and one and a half days; what is longer is counted there too */
#define HISTOGRAM_NATIVE (HISTOGRAM_LAST - HISTOGRAM_FIRST + 1)
#define HISTOGRAM_BOUNDS 16

struct histogram {
	_Atomic uint64_t sum_us;
	_Atomic uint64_t zero; /* durations of no microsecond at all */
	_Atomic uint64_t native[HISTOGRAM_NATIVE];
	_Atomic uint64_t classic[HISTOGRAM_BOUNDS]; /* not cumulative; longer ones only in native */
};

/* The writer's own thread. Negative durations count as 0. */
void histogram_observe(struct histogram *h, int64_t us);

/* What a histogram held at one moment, consistent in itself. */
struct histogram_view {
	uint64_t count;
	double sum_s;
	uint64_t zero;
	uint64_t native[HISTOGRAM_NATIVE];  /* bucket HISTOGRAM_FIRST + i */
	uint64_t classic[HISTOGRAM_BOUNDS]; /* cumulative */
};

void histogram_read(const struct histogram *h, struct histogram_view *out);
/* Upper bound of the i-th classic bucket, in seconds. */
double histogram_bound_s(unsigned i);
/* The native bucket of a duration (> 0), before it is clamped. */
int histogram_native_index(int64_t us);

#endif
