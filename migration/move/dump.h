/* SPDX-License-Identifier: PostgreSQL
 *
 * The schema of the source as pg_dump wrote it, and pieces of it as SQL. An archive in a temporary
 * file, gone with struct dump: a step that needs it again makes it again (schema changes are
 * blocked).
 */
#ifndef MIGRATION_MOVE_DUMP_H
#define MIGRATION_MOVE_DUMP_H

#include "base/buf.h"
#include "base/err.h"

struct job;

struct dump {
	char path[64];
	char *restore; /* the program */
};

/* One line of the archive's table of contents. */
struct dump_entry {
	unsigned classid, oid; /* in the catalogs of the source */
	char type[32];         /* "TABLE", "FK CONSTRAINT", … */
	const char *line;      /* not terminated: up to the end of line */
	size_t length;
};

int dump_make(struct job *j, struct dump *d, struct err *e);
void dump_fini(struct dump *d);
/* The table of contents of a section ("pre-data", "post-data"), without what is Meridian's. */
int dump_contents(struct job *j, const struct dump *d, const char *section, struct buf *out,
		  struct err *e);
/* The next entry of such a text; *at begins at its begin. */
bool dump_next(const char **at, struct dump_entry *out);
/* The SQL of these entries (lines of a table of contents), for one simple query. */
int dump_sql(struct job *j, const struct dump *d, const char *contents, struct buf *out,
	     struct err *e);
/* Have pg_restore put these entries into the target, `workers` at once. */
int dump_restore(struct job *j, const struct dump *d, const char *contents, int workers,
		 struct err *e);
/* psql's \restrict and \unrestrict, which pg_dump puts around a script, are blanked out. */
void dump_plain(struct buf *script);

#endif
