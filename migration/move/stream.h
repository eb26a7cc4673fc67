/* SPDX-License-Identifier: PostgreSQL
 *
 * Whether changes can come: what is gone for good, and what the operator has to mend.
 */
#ifndef MIGRATION_MOVE_STREAM_H
#define MIGRATION_MOVE_STREAM_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct direction;
struct job;
struct migration;

/* What changes go through is gone, and cannot be had again without losing some: 1 and *out, the
 * caller's, says what; 0: it is there; -1 and *e. */
int stream_is_lost(const struct direction *d, PGconn *from, PGconn *to, char **out, struct err *e);

/* Kept between two looks: zeroed at first, the texts are the owner's to free. */
struct stream_watch {
	char *seen;      /* what was in the way at the last look; NULL: nothing */
	char *told;      /* the last that was written to the journal */
	int64_t next_us; /* the next look, by clock_us() */
};

/* To be called again and again while the copies are waited for; it looks every two seconds. -1 and
 * *e where waiting is of no use. What is in the way is written to the journal once it has been seen
 * twice, and is in *why (borrowed; "": nothing). */
int stream_watch(struct job *j, PGconn *target, struct stream_watch *w, const char **why,
		 struct err *e);
void stream_watch_fini(struct stream_watch *w);

/* The `stalled` of struct kind, for a migration at rest; `home`: a connection to its home. */
int stream_stalled(PGconn *home, const struct migration *m, bool *is_final, struct buf *out,
		   struct err *e);

#endif
