/* SPDX-License-Identifier: PostgreSQL
 *
 * That a copy has every row: the table is counted, and its rows' hashes summed where the option
 * verify says so, before the copy and after it. Where writes wait anyway (class T) both are of the
 * same moment, in the transaction of the copy, and one that differs is no copy: XX001. With
 * concurrent writes they are of two moments, and only reported. Both are kept with the step, for
 * VERIFY.
 *
 * A sum is of the rows as text, so that settings which change texts are the same on every node.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_PROOF_H
#define MIGRATION_DISTRIBUTE_DIST_PROOF_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/distribute/dist_args.h"
#include "migration/kind.h"

enum dist_moment { DIST_BEFORE, DIST_AFTER };

/* "count", or "count sum", as text; NULL: not known. */
struct dist_figures {
	char *before, *after;
};

enum dist_verify dist_proof_wanted(const struct job *j);
/* In the transaction of a copy, for every table of the step; nothing where the option says off. */
void dist_proof_sql(struct buf *b, const struct dist_args *a, enum dist_moment when);
/* What these have found, kept with the step; XX001 where a table is not the same. */
int dist_proof_compare(struct job *j, PGconn *c, const struct dist_args *a, struct err *e);
/* The same for one table outside of a transaction: counted now into *f, which is kept. */
int dist_proof_count(struct job *j, PGconn *c, const struct dist_args *a, enum dist_moment when,
		     struct dist_figures *f, struct err *e);

/* What was kept with a step about that table. */
void dist_proof_read(const struct migration_step *s, const char *table, struct dist_figures *out);
void dist_figures_fini(struct dist_figures *f);

#endif
