/* SPDX-License-Identifier: PostgreSQL
 *
 * Which region serves which database: what meridian.authority says on the nodes that could be
 * reached, the row with the highest epoch counting. Kept in a file too, so that a proxy that starts
 * while a node is down does not send writers to a node that was fenced. Any thread.
 */
#ifndef MIGRATION_ROUTES_H
#define MIGRATION_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "migration/site.h"

struct routes;

/* place "": nothing has been decided, or not anew: what is in force stays so. */
struct route_row {
	char *database, *place, *newdb;
	int64_t epoch;
};

void route_row_fini(struct route_row *r);

struct routes *routes_new(const struct site *site);
void routes_free(struct routes *r);
/* Bring the routes of the file into force. */
void routes_read(struct routes *r);
/* Replace the rows of that region by those that its databases (all were reached) have now. Routes
 * that change by it come into force (site_ops.serve). `rows` are copied. */
void routes_update(struct routes *r, const char *region, const struct route_row *rows, size_t n);

#endif
