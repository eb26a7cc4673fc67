/* SPDX-License-Identifier: PostgreSQL
 *
 * What an executor on another proxy asks of this one (fleet.h): a row of meridian.freeze, for the
 * files that answer it. They run on a watcher's thread.
 */
#ifndef MIGRATION_ANSWER_INT_H
#define MIGRATION_ANSWER_INT_H

#include <stdint.h>

#include "base/err.h"
#include "migration/gate.h"
#include "migration/watch.h"

struct asked {
	struct migrations *ms;
	struct watched *d; /* where the row is */
	const char *uuid, *what, *database, *from, *to, *newdb;
	int migration;
	int64_t attempt, epoch;
	int64_t left_us; /* until what was asked is void */
	int64_t wait_us; /* until transactions should have come to their end */
	int64_t at_us;   /* when it was asked: by the clock of the database */
};

/* ---- answer_stragglers.c ---- */

/* Takes hold of them; rows of meridian.straggler tell the executor. */
int answer_stragglers(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
		      struct err *e);
/* What became of them is in those rows now. */
int answer_settle(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
		  struct err *e);

#endif
