/* SPDX-License-Identifier: PostgreSQL
 *
 * pg_dump and pg_restore, run as programs of their own: found, given their connection by
 * environment variables (every process can read a password on a command line), watched, and ended
 * when the migration is to stop.
 */
#ifndef MIGRATION_MOVE_TOOLS_H
#define MIGRATION_MOVE_TOOLS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct job;

/* "pg_dump": the newest there is: in `dir` ("" : where PostgreSQL's packages put them, then PATH).
 * The caller frees; NULL and *e (58P01). */
char *tool_find(const char *dir, const char *program, struct err *e);
/* Where the options of the configuration say. */
char *tool_of_job(struct job *j, const char *program, struct err *e);
/* argv[0] is the program's path. conninfo NULL: it connects to nothing. What it says on its output
 * goes to `out` (NULL: nowhere); -1 and *e (with the last lines of its errors) where it fails. */
int tool_run(struct job *j, const char *const *argv, const char *conninfo, struct buf *out,
	     struct err *e);
/* "PGHOST=…" and so on for a connection string, with the rest of our own environment; the caller
 * frees by tool_environment_free(). */
char **tool_environment(const char *conninfo, struct err *e);
void tool_environment_free(char **env);

#endif
