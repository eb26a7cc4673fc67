/* SPDX-License-Identifier: PostgreSQL
 *
 * Decisions that are only shown: the locality of some claims with the evidence for it, the route
 * that follows, and the rows of both. The functions change nothing and keep no state; any thread
 * may call them with a world that it holds.
 */
#ifndef PROXY_ADMIN_EXPLAIN_H
#define PROXY_ADMIN_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/admin/resultset.h"
#include "proxy/process/world.h"
#include "proxy/reads/reads.h"
#include "routing/locality.h"
#include "routing/route.h"

struct explained {
	struct locality locality;
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	size_t nevidence;
};

void explain_locality(const struct world *w, const struct claims *claims,
		      const struct conf_database *db, struct explained *out);
#define EXPLAIN_ROUTE_COLUMNS    10
#define EXPLAIN_QUERY_COLUMNS    12
#define EXPLAIN_LOCALITY_COLUMNS 6
extern const struct column explain_route_columns[EXPLAIN_ROUTE_COLUMNS];
extern const struct column explain_query_columns[EXPLAIN_QUERY_COLUMNS];
extern const struct column explain_locality_columns[EXPLAIN_LOCALITY_COLUMNS];

void explain_route_rows(const struct world *w, const struct route *route, struct rows *rows);
/* Where a query of this database would run: `place` is the caller's, whatever the query says. */
void explain_query_row(const struct world *w, struct slice sql, struct slice database,
		       const struct reads_place *place, struct rows *rows);
/* Shows the evidence in the order in which it was weighed, then the sources that claimed nothing.
 */
void explain_locality_rows(const struct world *w, const struct explained *x, struct rows *rows);

#endif
