/* SPDX-License-Identifier: PostgreSQL
 *
 * Tables whose initial copy cannot go on, because their slot is gone, are copied anew.
 */
#ifndef MIGRATION_MOVE_RECOPY_H
#define MIGRATION_MOVE_RECOPY_H

#include <libpq-fe.h>
#include <stdint.h>

#include "base/err.h"

struct job;

/* Kept between two looks: zeroed at first, `table` is the owner's to free. */
struct lost_copy {
	char *table;     /* that had no slot; NULL: none */
	int64_t next_us; /* the next look, by clock_us() */
};

/* To be called again and again while copies are waited for; it looks every two seconds, and a table
 * that had no slot twice is copied anew, one at a time. -1 and *e. */
int recopy_lost(struct job *j, PGconn *target, struct lost_copy *l, struct err *e);
/* The table that is between publication and subscription, the caller's to free; NULL: none. */
int recopy_table(struct job *j, char **table, struct err *e);
/* On with it, where this or an older executor has begun. */
int recopy_continue(struct job *j, struct err *e);

#endif
