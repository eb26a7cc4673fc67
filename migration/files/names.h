/* SPDX-License-Identifier: PostgreSQL
 *
 * What the names of files say: their order, which version they are, and which of them take another
 * one back. Pure.
 */
#ifndef MIGRATION_FILES_NAMES_H
#define MIGRATION_FILES_NAMES_H

#include <stdbool.h>

#include "base/slice.h"

/* Runs of digits are numbers: V9 < V10; the rest by bytes. < 0, 0, > 0. */
int names_compare(const char *a, const char *b);
/* "V003__add_col.sql", "003_add_col.sql", "20240101.sql": the version, "003" ("003.1" too); n == 0:
 * there is none. */
struct slice names_version(const char *name);
/* Whether two versions are the same number. */
bool names_same_version(struct slice a, struct slice b);
/* X.sql, and not what takes a file back. */
bool names_is_migration(const char *name);
/* X.undo.sql, X.down.sql, U3__x.sql beside V3__x.sql. */
bool names_is_undo(const char *name);
/* Whether `undo` takes `name` back, by their names alone. */
bool names_is_undo_of(const char *undo, const char *name);

#endif
