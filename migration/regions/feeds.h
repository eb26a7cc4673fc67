/* SPDX-License-Identifier: PostgreSQL
 *
 * What a changefeed's statement says, as CockroachDB repeats it in SHOW CHANGEFEED JOBS or, for one
 * without a sink, in crdb_internal.cluster_queries: which tables it watches, and whether it ends
 * when one of them changes (schema_change_policy = 'stop'), as REGIONAL BY ROW makes it.
 *
 * Source: CockroachDB documentation, "CREATE CHANGEFEED", "Changefeeds in Multi-Region
 * Deployments".
 */
#ifndef MIGRATION_REGIONS_FEEDS_H
#define MIGRATION_REGIONS_FEEDS_H

#include <stdbool.h>

#include "migration/regions/catalog.h"

bool feed_is_changefeed(const char *text);
bool feed_has_sink(const char *text); /* … INTO '…' */
/* It ends at a schema change. */
bool feed_stops(const struct regions_feed *f);
bool feed_watches(const struct regions_feed *f, const char *database,
		  const struct regions_table *t);

#endif
