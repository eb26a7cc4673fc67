/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/histogram.h"

#include <math.h>

#include "base/clock.h"
#include "base/hot.h"

#define PER_DOUBLING (1 << HISTOGRAM_SCHEMA)

static const int64_t bounds_us[HISTOGRAM_BOUNDS] = {
	500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000,
};

static void
bump(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

int
histogram_native_index(int64_t us)
{
	/* 0.5 * 2^(k/8): where the buckets of one doubling begin */
	static const double steps[PER_DOUBLING] = {
		0.5,
		0.5452538663326288,
		0.5946035575013605,
		0.6484197773255048,
		0.7071067811865475,
		0.7711054127039704,
		0.8408964152537144,
		0.9170040432046711,
	};
	int exponent, k = 0;
	double fraction = frexp((double)us / (double)USEC_PER_SEC, &exponent);

	while (k < PER_DOUBLING && steps[k] < fraction)
		k++;
	return k + (exponent - 1) * PER_DOUBLING;
}

HOT void
histogram_observe(struct histogram *h, int64_t us)
{
	unsigned i = 0;

	if (us <= 0) {
		bump(&h->zero, 1);
		us = 0;
	} else {
		int at = histogram_native_index(us);

		at = at > HISTOGRAM_LAST ? HISTOGRAM_LAST : at;
		bump(&h->native[at < HISTOGRAM_FIRST ? 0 : at - HISTOGRAM_FIRST], 1);
	}
	bump(&h->sum_us, (uint64_t)us);
	while (i < HISTOGRAM_BOUNDS && us > bounds_us[i])
		i++;
	if (i < HISTOGRAM_BOUNDS)
		bump(&h->classic[i], 1);
}

void
histogram_read(const struct histogram *h, struct histogram_view *out)
{
	uint64_t sofar = 0;

	out->sum_s =
	    (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / (double)USEC_PER_SEC;
	out->zero = atomic_load_explicit(&h->zero, memory_order_relaxed);
	out->count = out->zero;
	for (unsigned i = 0; i < HISTOGRAM_NATIVE; i++) {
		out->native[i] = atomic_load_explicit(&h->native[i], memory_order_relaxed);
		out->count += out->native[i];
	}
	/* the writer may have been between its two counts */
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		sofar += atomic_load_explicit(&h->classic[i], memory_order_relaxed);
		out->classic[i] = sofar < out->count ? sofar : out->count;
	}
}

double
histogram_bound_s(unsigned i)
{
	return (double)bounds_us[i] / (double)USEC_PER_SEC;
}
