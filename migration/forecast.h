/* SPDX-License-Identifier: PostgreSQL
 *
 * What will become of the sessions of this proxy when their database is switched over, said before
 * anything is frozen.
 */
#ifndef MIGRATION_FORECAST_H
#define MIGRATION_FORECAST_H

#include <stdbool.h>

#include "base/buf.h"
#include "migration/gate.h"
#include "migration/plan.h"
#include "migration/site.h"

struct forecast {
	unsigned sessions, closed;
	bool may_resolve_itself; /* all that keeps a session from moving may end by itself */
	struct checks reasons; /* a check `sessions` (ERROR) for each reason; object: "temp table",
				  "role app" */
};

/* logins: those that were tried and refused count; NULL: none was. A site without sessions has
 * none. */
void forecast_make(const struct site *site, const struct gate_move *m,
		   const struct gate_logins *logins, struct forecast *out);
/* So many more would be closed. */
void forecast_add(struct forecast *f, unsigned closed, const char *object, const char *detail);
/* "3 of 5 sessions will be kept; temp table: 2 would be closed at the switch: …". */
void forecast_put(const struct forecast *f, struct buf *b);
void forecast_fini(struct forecast *f);

#endif
