/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_rate.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define LOOKS_APART_US ((int64_t)1000000)
#define MB             ((double)(1 << 20))
/* Where there is no table to measure with; and what no measurement may leave. */
#define RATE_STANDARD (20 * MB)
#define RATE_MIN      (1 * MB)
#define RATE_MAX      (200 * MB)
/* A copy writes rows as text on one side, and reads and stores them on the other. */
#define RATE_SHARE   0.25
#define SAMPLE_BYTES ((int64_t)1 << 20)

static const char writes_sql[] =
    "SELECT extract(epoch FROM clock_timestamp()),"
    " coalesce(pg_partition_root(relid)::oid, relid),"
    " sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables GROUP BY 2";

/* sign -1: the first look, +1: the second. */
static int
look(PGconn *db, struct dist_catalog *c, double sign, double *at, struct err *e)
{
	PGresult *r = db_query(db, e, writes_sql, 0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		unsigned long oid = strtoul(PQgetvalue(r, i, 1), NULL, 10);

		*at = strtod(PQgetvalue(r, i, 0), NULL);
		for (size_t t = 0; t < c->ntables; t++)
			if (c->tables[t].oid == (uint32_t)oid)
				c->tables[t].writes += sign * strtod(PQgetvalue(r, i, 2), NULL);
	}
	PQclear(r);
	return 0;
}

int
dist_load_writes(struct job *j, PGconn *db, struct dist_catalog *c, struct err *e)
{
	double from = 0, to = 0;

	if (look(db, c, -1, &from, e) != 0 || job_sleep(j, LOOKS_APART_US, e) != 0 ||
	    look(db, c, 1, &to, e) != 0)
		return -1;
	for (size_t i = 0; i < c->ntables; i++)
		c->tables[i].writes =
		    to > from && c->tables[i].writes > 0 ? c->tables[i].writes / (to - from) : 0;
	return 0;
}

static const struct dist_table *
largest(const struct dist_catalog *c)
{
	const struct dist_table *best = NULL;

	for (size_t i = 0; i < c->ntables; i++)
		if (c->tables[i].relkind == 'r' && c->tables[i].state == DIST_LOCAL &&
		    c->tables[i].bytes >= SAMPLE_BYTES &&
		    (best == NULL || c->tables[i].bytes > best->bytes))
			best = &c->tables[i];
	return best;
}

int
dist_load_rate(PGconn *db, struct dist_catalog *c, struct err *e)
{
	const struct dist_table *t = largest(c);
	int64_t bytes = 0, from = clock_us();
	double rate;
	char *sql;
	int rc;

	c->server.bytes_per_second = RATE_STANDARD;
	if (t == NULL)
		return 0;
	sql = xasprintf("SELECT coalesce(sum(octet_length(x::text)), 0)"
			" FROM (SELECT * FROM %s LIMIT 20000) x",
			t->name);
	rc = db_int(db, &bytes, e, sql, 0, NULL);
	free(sql);
	rate = RATE_SHARE * (double)bytes * 1e6 / (double)(clock_us() - from + 1);
	if (rc == 0 && bytes > SAMPLE_BYTES / 2)
		c->server.bytes_per_second = rate < RATE_MIN   ? RATE_MIN
					     : rate > RATE_MAX ? RATE_MAX
							       : rate;
	return rc;
}
