/* SPDX-License-Identifier: PostgreSQL
 *
 * What statements ran through a worker in the last 24 hours, by their fingerprints
 * (protocol/fingerprint.h): how many, and how long their answers took. Kept by the hour, for at
 * most FINGERPRINTS_MAX statements: who has not been seen for longest goes first. Only where
 * statement_sample says so is anything counted, and then one of N stands for N.
 *
 * A table is its worker's; sums (struct fingerprint_sums) are whose they are. Time is monotonic,
 * and the caller's.
 */
#ifndef PROXY_SQLSTATE_FINGERPRINTS_H
#define PROXY_SQLSTATE_FINGERPRINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define FINGERPRINTS_MAX     1000
#define FINGERPRINTS_HOURS   24
#define FINGERPRINTS_BUCKETS 44 /* of durations: two to each doubling, from 16 microseconds on */

struct fingerprints;

struct fingerprints *fingerprints_new(int64_t now_us);
void fingerprints_free(struct fingerprints *t); /* accepts NULL */

/* True once in `one_of` times, by chance: what comes in turns would meet the same turn for ever. */
bool fingerprints_chance(struct fingerprints *t, unsigned one_of);
/* The key of a statement, for the two below; it is in the table from now on. */
uint64_t fingerprints_key(struct fingerprints *t, struct slice database, struct slice text,
			  int64_t now_us);
/* It ran so many times. Keys that are not in the table any more count nothing. */
void fingerprints_count(struct fingerprints *t, uint64_t key, unsigned times, int64_t now_us);
/* The answer to one of them took so long. */
void fingerprints_took(struct fingerprints *t, uint64_t key, int64_t us, int64_t now_us);

/* ---- sums over tables ---- */

struct fingerprint_sum {
	uint64_t id; /* of the text alone */
	uint64_t calls;
	uint64_t timed, sum_us; /* the answers that were timed, and what they took together */
	uint64_t buckets[FINGERPRINTS_BUCKETS];
	int64_t seen_us; /* last */
	char *database, *text;
};

struct fingerprint_sums {
	struct fingerprint_sum *v;
	size_t n;
	int64_t window_us;  /* so far back does it reach: at most 24 hours */
	uint64_t forgotten; /* statements that were given up for others */
};

/* Add a table (NULL: nothing); `database`: only what is of that one, NULL: all. Those that nothing
 * was counted of in that time are left out. */
void fingerprint_sums_add(struct fingerprint_sums *sums, const struct fingerprints *t,
			  const char *database, int64_t now_us);
void fingerprint_sums_join(struct fingerprint_sums *sums, struct fingerprint_sums *take_other);
/* Those with the most calls first. */
void fingerprint_sums_sort(struct fingerprint_sums *sums);
void fingerprint_sums_fini(struct fingerprint_sums *sums);

double fingerprint_per_second(const struct fingerprint_sums *sums, const struct fingerprint_sum *s);
/* So long did it take at most in `percent` of all cases, rounded up by as much as half of it; -1:
 * none was timed. */
int64_t fingerprint_percentile_us(const struct fingerprint_sum *s, unsigned percent);
int64_t fingerprint_mean_us(const struct fingerprint_sum *s);

#endif
