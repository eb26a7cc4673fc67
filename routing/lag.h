/* SPDX-License-Identifier: PostgreSQL
 *
 * How far a standby is behind, from samples of it and of its primary that were taken at different
 * times. No clock of a server is compared with another's: what counts is which of the primary's
 * positions, taken at a time of ours, the standby had replayed. Only where no such position is
 * known, the standby's own word is taken (time since the last commit that it replayed). The age of
 * a sample is added to its lag (INV-17). Pure.
 */
#ifndef ROUTING_LAG_H
#define ROUTING_LAG_H

#include <stdbool.h>
#include <stdint.h>

/* Positions of a primary's log, newest last, as they were sampled. All zero is empty. */
#define LAG_MARKS 32

struct lag_mark {
	int64_t at_us;
	uint64_t lsn;
};

struct lag_marks {
	struct lag_mark v[LAG_MARKS];
	unsigned n, next;
};

struct lag_standby {
	int64_t at_us;
	uint64_t received, replayed; /* positions; received 0: unknown */
	bool receiving;              /* a connection to the primary stands */
	int64_t replay_age_us;       /* since the last commit replayed, by its clock; -1 unknown */
};

struct lag {
	int64_t us, bytes; /* -1 unknown */
};

void lag_mark(struct lag_marks *m, int64_t at_us, uint64_t lsn);
/* `primary` may be NULL: none known. */
struct lag lag_of(const struct lag_standby *s, const struct lag_marks *primary);

#endif
