/* SPDX-License-Identifier: PostgreSQL
 *
 * What stands against distributing, from the catalog alone: whatever Citus would refuse in the
 * middle of the way is known before the first step. Fills the plan's findings.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_CHECKS_H
#define MIGRATION_DISTRIBUTE_DIST_CHECKS_H

#include "migration/distribute/dist_planner.h"

void dist_checks(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w);

/* One more finding: copies what it is given but `check`; fix may be NULL. */
void dist_find(struct dist_plan *p, enum check_severity severity, const char *check,
	       const char *object, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

#endif
