/* SPDX-License-Identifier: PostgreSQL
 *
 * The cut-over, in either direction: FINALIZE from the source to the target, REVERSE back. What one
 * try keeps between its steps is in struct cutover; what counts is in the databases:
 *
 *   meridian.authority on the side that takes over: epoch (this try's), decision NULL → 'forward'
 *   or 'back', the first one wins; writable with it
 *   meridian.authority on the side that is left: writable false with the fence, in one transaction
 *   meridian.marker (mig, "fence" or "fence_back"): written with the fence, carries the sequences;
 *   where it has arrived, everything before it has
 */
#ifndef MIGRATION_MOVE_CUTOVER_H
#define MIGRATION_MOVE_CUTOVER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/gate.h"
#include "migration/kind.h"
#include "migration/move/move.h"

struct direction {
	const char *from, *to;           /* places */
	const char *from_name, *to_name; /* regions or nodes */
	const char *subscription;        /* on `to` */
	const char *next_slot;           /* on `to`, made with the decision; NULL: none */
	const char *marker;
	bool is_backward;
	bool streams; /* by replication; else the marker is carried by us */
	struct move_names names;
};

struct cutover {
	PGconn *fence;     /* on `from`: a transaction that holds the lease, and nothing else yet */
	PGconn *armed;     /* on `to`: waits for the marker */
	PGconn *frozen_to; /* on `to`: its snapshot is that of the marker */
	PGconn *frozen_from; /* on `from`: a snapshot behind the fence */
	struct buf closing;  /* what the transaction on `from` goes on with */
	bool is_alone;       /* `to` is given up: what is undone is undone without its word */
	int64_t epoch;
	int64_t freezing_us, frozen_us, fenced_us, decided_us;
	struct gate_counts counts;
};

void direction_of(struct job *j, bool is_backward, struct direction *out);
void direction_of_step(struct job *j, const struct migration_step *s, struct direction *out);
void direction_gate(struct job *j, const struct direction *d, struct gate_move *out);
struct cutover *cutover_of(struct job *j);
/* Connections closed, figures forgotten. */
void cutover_reset(struct cutover *c);

/* ---- decision.c ---- */

/* Whether `to` has been given the database. */
int decision_is_forward(struct job *j, const struct direction *d, bool *out, struct err *e);
/* That it will not be: by compare-and-set. MR004 where it has been. */
int decision_write_back(struct job *j, const struct direction *d, struct err *e);
/* The text of the block that waits on `to`, decides, and lifts the fence there. */
int decision_put_block(struct job *j, const struct direction *d, int64_t epoch, PGconn *to,
		       struct buf *out, struct err *e);
/* The epoch of `to`'s row. */
int decision_epoch(struct job *j, PGconn *c, int64_t *out, struct err *e);

/* ---- stragglers.c ---- */

/* End the sessions whose transaction is still open, on every proxy of the fleet, find out the
 * outcome of each transaction, and send it to the session's proxy. */
int stragglers_end(struct job *j, const struct direction *d, struct gate_move *m, struct err *e);

/* ---- fence.c ---- */

int fence_close(struct job *j, const struct direction *d, struct cutover *c, struct err *e);
/* Open a transaction on `from` that holds the lease, which fence_close() goes on with, and make its
 * statements, so that the pause has no query for them. */
int fence_prepare(struct job *j, const struct direction *d, struct cutover *c, struct err *e);
int fence_lift(struct job *j, const struct direction *d, struct err *e);

#endif
