/* SPDX-License-Identifier: PostgreSQL
 *
 * The cluster: whether Citus is there and can do what the plan asks of it.
 */
#include "config.h"

#include <string.h>

#include "migration/distribute/dist_checks.h"

static bool
uses(const struct dist_plan *p, enum dist_act act)
{
	for (size_t i = 0; i < p->nsteps; i++)
		if (p->steps[i].act == act)
			return true;
	return false;
}

static void
check_citus(struct dist_plan *p, const struct dist_server *s)
{
	if (!s->is_coordinator)
		dist_find(p, CHECK_ERROR, "not_coordinator", "", "name the coordinator's region",
			  "this node is a worker: tables are distributed on the coordinator");
	if (s->workers == 0)
		dist_find(p, CHECK_ERROR, "no_workers", "pg_dist_node",
			  "SELECT citus_add_node('host', port)",
			  "there is no worker that takes shards: Citus would put all of them on "
			  "the coordinator");
	if (!s->is_registered && (uses(p, DIST_CONCURRENT) || uses(p, DIST_REFER)))
		dist_find(p, CHECK_ERROR, "coordinator_not_registered", "pg_dist_node",
			  "SELECT citus_set_coordinator_host('host', port)",
			  "the coordinator is not among the nodes of the cluster");
	for (size_t i = 0; i < s->unreachable.n; i++)
		dist_find(p, CHECK_ERROR, "node_unreachable", s->unreachable.v[i],
			  "SELECT * FROM citus_check_cluster_node_health()",
			  "these nodes do not reach each other");
}

/* What create_distributed_table_concurrently() needs: it copies by logical replication, from the
 * coordinator to itself and to the workers. */
static void
check_replication(struct dist_plan *p, const struct dist_server *s)
{
	if (strcmp(s->wal_level, "logical") != 0)
		dist_find(p, CHECK_ERROR, "wal_level", "wal_level",
			  "ALTER SYSTEM SET wal_level = logical, and a restart",
			  "it is %s on the coordinator, METHOD CONCURRENT needs logical",
			  s->wal_level);
	if (s->plugins != NULL && strstr(s->plugins, "citus") == NULL)
		dist_find(p, CHECK_ERROR, "output_plugin_libraries", "output_plugin_libraries",
			  "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, "
			  "citus; SELECT pg_reload_conf()",
			  "citus is not among them: %s", s->plugins);
	if (s->slots_free < s->workers)
		dist_find(p, CHECK_ERROR, "replication_slots", "max_replication_slots",
			  "raise max_replication_slots, or drop slots that nobody uses",
			  "%d are free on the coordinator, one for each of %d workers is needed",
			  s->slots_free, s->workers);
	if (s->senders_free < s->workers)
		dist_find(p, CHECK_ERROR, "wal_senders", "max_wal_senders", "raise max_wal_senders",
			  "%d are free on the coordinator, one for each of %d workers is needed",
			  s->senders_free, s->workers);
	if (s->connects_back != NULL)
		dist_find(p, CHECK_ERROR, "connect_back", "citus.local_hostname",
			  "set citus.local_hostname, and let the coordinator in by its own "
			  "pg_hba.conf",
			  "the coordinator cannot connect to itself: %s", s->connects_back);
	if (s->replication_factor > 1)
		dist_find(p, CHECK_ERROR, "shard_replication_factor",
			  "citus.shard_replication_factor", "set it to 1",
			  "it is %d, METHOD CONCURRENT needs 1", s->replication_factor);
}

static void
check_atomic(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	double sum = 0, budget = (double)w->lock_budget_us / 1e6;
	size_t n = 0;

	for (size_t i = 0; i < c->ntables; i++)
		if (p->choice[i].is_in && (p->choice[i].method == METHOD_BLOCKING ||
					   p->choice[i].method == METHOD_REFERENCE)) {
			sum += dist_seconds(c, c->tables[i].bytes);
			n++;
		}
	if (w->is_atomic && sum > budget)
		dist_find(p, CHECK_WARN, "lock_budget", "atomic", "atomic = off",
			  "writes to %zu tables wait for about %.1f s, lock_budget is %.1f s", n,
			  sum, budget);
	if (!w->is_atomic && n > 1 && sum <= budget && !uses(p, DIST_CONCURRENT))
		dist_find(p, CHECK_INFO, "atomic_possible", "atomic", "atomic = on",
			  "all %zu tables could be distributed in one transaction of about "
			  "%.1f s: nothing would ever be half way",
			  n, sum);
}

void
dist_checks_cluster(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	if (!c->server.has_citus)
		dist_find(p, CHECK_ERROR, "citus_extension", "citus",
			  "shared_preload_libraries = 'citus', a restart, CREATE EXTENSION citus",
			  "the extension is not installed in this database");
	else
		check_citus(p, &c->server);
	if (uses(p, DIST_CONCURRENT))
		check_replication(p, &c->server);
	check_atomic(p, c, w);
}
