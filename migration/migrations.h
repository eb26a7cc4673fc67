/* SPDX-License-Identifier: PostgreSQL
 *
 * The migrations of this process: their executors (one thread each, while one runs), the watcher
 * that knows which region serves which database, and where control schemas have been found. Shared
 * by the threads of commands, executors and the watcher; the proxy makes one and frees it last.
 */
#ifndef MIGRATION_MIGRATIONS_H
#define MIGRATION_MIGRATIONS_H

#include "migration/site.h"

struct migrations;

/* Nothing runs yet. */
struct migrations *migrations_new(const struct site *site);
/* Read which region serves which database, and begin to watch; the first look is over when it
 * returns (at most 3 s). */
void migrations_start(struct migrations *ms);
/* Executors are asked to stop, and no more are started: commands that wait for one fail. */
void migrations_stop(struct migrations *ms);
/* Executors stop at the next step (what they do is resumed later, here or elsewhere), threads are
 * joined. Freezes are ended. */
void migrations_free(struct migrations *ms);

#endif
