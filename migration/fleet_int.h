/* SPDX-License-Identifier: PostgreSQL
 *
 * How an executor asks the proxies of its fleet (fleet.c), for those who ask: fleet.c and
 * fleet_stragglers.c. The answering is answer.c's and answer_stragglers.c's.
 */
#ifndef MIGRATION_FLEET_INT_H
#define MIGRATION_FLEET_INT_H

#include <libpq-fe.h>
#include <stdint.h>

#include "migration/fleet.h"

struct asking {
	struct job *j;
	const struct gate_move *m;
	const char *what;
	int64_t epoch;
	int64_t wait_us; /* freeze: how long transactions may take to come to their end */
};

/* Where all proxies look: the home of the migration. */
PGconn *fleet_square(struct job *j, struct err *e);
/* How many others there are. In the pause: a number that was asked for just before will do; the
 * way to the home may be long. */
int fleet_others_lately(struct job *j, struct err *e);
/* The row that every proxy's watcher sees, and the word that wakes it. What was answered to the one
 * before is forgotten. */
int fleet_call(const struct asking *a, struct err *e);
/* Until all have answered, or the deadline: so many have not. Sums what they said. */
int fleet_await(const struct asking *a, int64_t deadline_us, struct gate_counts *sum, int64_t *left,
		struct err *e);

#endif
