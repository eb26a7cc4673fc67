/* SPDX-License-Identifier: PostgreSQL
 *
 * The statements that ran through a worker in the last 24 hours, by their fingerprints
 * (protocol/fingerprint.h): how many, and how long their answers took. Kept by the hour, for at
 * most FINGERPRINTS_MAX statements: the one not seen for longest is dropped first.
 *
 * Statements are counted only where statement_sample is set, and then one of N stands for N. A
 * table belongs to its worker; sums (struct fingerprint_sums) belong to their makers. Times are
 * monotonic and given by the caller.
 */
#ifndef PROXY_SQLSTATE_FINGERPRINTS_H
#define PROXY_SQLSTATE_FINGERPRINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define FINGERPRINTS_MAX     1000
#define FINGERPRINTS_HOURS   24
#define FINGERPRINTS_BUCKETS 44 /* of durations: two for each doubling, from 16 microseconds on */

struct fingerprints;

struct fingerprints *fingerprints_new(int64_t now_us);
void fingerprints_free(struct fingerprints *t); /* accepts NULL */

/* True once in `one_of` times, at random: a fixed turn would always meet the same statement of a
 * loop. */
bool fingerprints_chance(struct fingerprints *t, unsigned one_of);
/* The key of a statement for the two functions below; adds it to the table. */
uint64_t fingerprints_key(struct fingerprints *t, struct slice database, struct slice text,
			  int64_t now_us);
/* The statement ran this many times. Keys that are not in the table any more are ignored. */
void fingerprints_count(struct fingerprints *t, uint64_t key, unsigned times, int64_t now_us);
/* The answer to one of them took this long. */
void fingerprints_took(struct fingerprints *t, uint64_t key, int64_t us, int64_t now_us);

/* ---- sums over tables ---- */

struct fingerprint_sum {
	uint64_t id; /* by the text alone */
	uint64_t calls;
	uint64_t timed, sum_us; /* the answers that were timed, and their sum */
	uint64_t buckets[FINGERPRINTS_BUCKETS];
	int64_t seen_us; /* last */
	char *database, *text;
	unsigned verdict; /* for the maker of the sums; of two that are joined, the greater */
};

struct fingerprint_sums {
	struct fingerprint_sum *v;
	size_t n;
	int64_t window_us;  /* how far back the counts reach: at most 24 hours */
	uint64_t forgotten; /* statements that were dropped for others */
};

/* Add a table (NULL: nothing); `database`: only its statements, NULL: all. Statements without
 * counts in that time are left out. */
void fingerprint_sums_add(struct fingerprint_sums *sums, const struct fingerprints *t,
			  const char *database, int64_t now_us);
void fingerprint_sums_join(struct fingerprint_sums *sums, struct fingerprint_sums *take_other);
/* The statements with the most calls come first. */
void fingerprint_sums_sort(struct fingerprint_sums *sums);
void fingerprint_sums_fini(struct fingerprint_sums *sums);

double fingerprint_per_second(const struct fingerprint_sums *sums, const struct fingerprint_sum *s);
/* The longest that `percent` of all answers took, rounded up by at most half of it; -1: none was
 * timed. */
int64_t fingerprint_percentile_us(const struct fingerprint_sum *s, unsigned percent);
int64_t fingerprint_mean_us(const struct fingerprint_sum *s);

#endif
