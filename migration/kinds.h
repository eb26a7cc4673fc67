/* SPDX-License-Identifier: PostgreSQL
 *
 * The kinds that this program can run.
 */
#ifndef MIGRATION_KINDS_H
#define MIGRATION_KINDS_H

#include "migration/kind.h"

/* NULL: this program has no such kind. */
const struct kind *kind_find(enum migration_kind id);

#endif
