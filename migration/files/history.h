/* SPDX-License-Identifier: PostgreSQL
 *
 * meridian.history, one row for each file in each region's own database: what was carried out
 * there, how far, by which migration, and its text, so that a file that was changed later can be
 * shown beside it. The row of a file that is one transaction commits with it. And meridian.file, in
 * the migration's home: the files as they were when the migration began, for a proxy that has not
 * got the directory.
 *
 *	history  file, region, checksum, stmts_done, stmts_total, state, error, at, ms, mig,
 *		 running (number of a statement that was begun in no transaction; 0), sums (of each
 *		 statement, by blanks), body, undo_name, undo, origin ("" or the tool it is from)
 *	file     mig, file, checksum, body, undo_name, undo
 *
 * Functions wait, on a connection of migration/db.h.
 */
#ifndef MIGRATION_FILES_HISTORY_H
#define MIGRATION_FILES_HISTORY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "migration/files/tree.h"

/* What stands in `state`. */
#define HISTORY_RUNNING "running"
#define HISTORY_DONE    "done"
#define HISTORY_ERROR   "error"
#define HISTORY_UNDOING "undoing"

struct history_row {
	char *file, *checksum, *state, *error, *at;
	int done, total, mig, running, ms;
	char *origin;
	/* history_load() only */
	char *sums, *body, *undo_name, *undo;
};

struct history {
	struct history_row *v; /* by file, in the server's order */
	size_t n;
};

void history_row_fini(struct history_row *r);
void history_fini(struct history *h);
const struct history_row *history_find(const struct history *h, const char *file);
bool history_is_done(const struct history_row *r);

/* 1; 0: there is no row, or no table; -1 and *e. */
int history_load(PGconn *c, const char *file, const char *region, struct history_row *out,
		 struct err *e) MUST_CHECK;
/* All of a region; none where there is no table. */
int history_list(PGconn *c, const char *region, struct history *out, struct err *e) MUST_CHECK;

/* The sums of all statements of a text, by blanks; the caller's. */
char *history_sums(const struct sqltext *t);

/* The row as it is at the beginning of a file, inserted or taken up; *row (fini it) says how far it
 * is. -1 and *e: 55000 where another migration is at it. */
int history_begin(PGconn *c, const struct sqlfile *f, const char *region, int mig,
		  struct history_row *row, struct err *e) MUST_CHECK;
/* So many statements are done, and that one (from 1; 0: none) is under way. */
int history_progress(PGconn *c, const char *file, const char *region, int done, int running,
		     struct err *e) MUST_CHECK;
int history_done(PGconn *c, const char *file, const char *region, int ms, struct err *e) MUST_CHECK;
/* Why it stopped; where there is no row, there will be none. */
int history_error(PGconn *c, const char *file, const char *region, const char *why, struct err *e);
/* Keep the text of the undo file, as it is when it is begun. */
int history_keep_undo(PGconn *c, const char *file, const char *region, const struct sqltext *t,
		      struct err *e);
/* The same as history_progress() for the statements of the undo text. */
int history_undoing(PGconn *c, const char *file, const char *region, int done, int running,
		    struct err *e) MUST_CHECK;
int history_delete(PGconn *c, const char *file, const char *region, struct err *e) MUST_CHECK;
/* A file that another tool has applied. */
int history_adopt(PGconn *c, const struct sqlfile *f, const char *region, int mig,
		  const char *origin, struct err *e) MUST_CHECK;

/* meridian.file. */
int stored_put(PGconn *c, int mig, const struct sqlfile *f, struct err *e) MUST_CHECK;
/* 1, 0: no such file; -1. */
int stored_load(PGconn *c, int mig, const char *file, struct sqlfile *out,
		struct err *e) MUST_CHECK;
int stored_count(PGconn *c, int mig, int *out, struct err *e) MUST_CHECK;
int stored_delete(PGconn *c, int mig, struct err *e) MUST_CHECK;

#endif
