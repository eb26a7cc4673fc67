/* SPDX-License-Identifier: PostgreSQL
 *
 * What the way does to those who use the database meanwhile: after each step that changes a table,
 * the foreign keys that nobody enforces, the pairs of tables of which one is distributed and one is
 * not, and the statements that join them (migration/traffic.h).
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_IMPACT_H
#define MIGRATION_DISTRIBUTE_DIST_IMPACT_H

#include "base/err.h"
#include "migration/distribute/dist_planner.h"
#include "migration/kind.h"

int dist_impact(struct job *j, const struct dist_catalog *c, const struct dist_plan *p,
		const struct dist_wish *w, const struct rows_sink *out, struct err *e);

#endif
