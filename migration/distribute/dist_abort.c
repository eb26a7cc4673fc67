/* SPDX-License-Identifier: PostgreSQL
 *
 * What has come between the plan and an ABORT: tables of others that hang on ours by keys would go
 * back with them, and keys that the plan does not know would not come back.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_steps.h"

#define NAMES_SHOWN "10"

/* ours: the tables of the plan. k: the keys that they have, or that lead to them; is_kept: the plan
 * brings it back; is_outside: the other end is distributed, and not ours. $1: the migration. */
static const char keys_sql[] =
    "WITH given AS (SELECT args FROM meridian.step WHERE mig = CAST($1 AS int) AND name = 'keys'),"
    " ours AS (SELECT to_regclass(t->>'table') AS oid"
    "  FROM given, jsonb_array_elements(args->'tables') t),"
    " k AS (SELECT x.conname, x.conrelid, EXISTS (SELECT FROM given,"
    "   jsonb_array_elements(args->'keys') g WHERE g->>'name' = x.conname"
    "   AND to_regclass(g->>'table') = x.conrelid) AS is_kept,"
    "  EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid IN (x.conrelid, x.confrelid)"
    "   AND p.logicalrelid NOT IN (SELECT oid FROM ours WHERE oid IS NOT NULL)) AS is_outside"
    "  FROM pg_constraint x WHERE x.contype = 'f' AND x.conparentid = 0"
    "   AND (x.conrelid IN (SELECT oid FROM ours) OR x.confrelid IN (SELECT oid FROM ours))"
    "   AND NOT relation_is_a_known_shard(x.conrelid)"
    "   AND NOT relation_is_a_known_shard(x.confrelid))";

static int
ask(struct job *j, PGconn *c, const char *what, char **out, struct err *e)
{
	char id[16];
	const char *params[] = { id };
	char *sql = xasprintf("%s %s", keys_sql, what);
	int rc;

	snprintf(id, sizeof(id), "%d", job_id(j));
	rc = db_value(c, out, e, sql, 1, params);
	free(sql);
	return rc < 0 ? -1 : 0;
}

int
dist_is_alone_now(struct job *j, PGconn *c, bool *out, struct err *e)
{
	char *is = NULL;
	int rc = ask(j, c, "SELECT NOT EXISTS (SELECT FROM k WHERE is_outside)", &is, e);

	*out = is != NULL && is[0] == 't';
	free(is);
	return rc;
}

/* Where tables go back one by one every key of theirs goes. */
static int
unkept(struct job *j, PGconn *c, char **out, struct err *e)
{
	return ask(j, c,
		   "SELECT string_agg(n, ', ') FROM (SELECT format('%I on %s', conname,"
		   " conrelid::regclass) AS n FROM k WHERE NOT is_kept"
		   " AND EXISTS (SELECT FROM k WHERE is_outside)"
		   " AND EXISTS (SELECT FROM ours o JOIN pg_dist_partition p"
		   "  ON p.logicalrelid = o.oid) ORDER BY 1 LIMIT " NAMES_SHOWN ") q",
		   out, e);
}

int
dist_may_abort(struct job *j, bool is_forced, struct err *e)
{
	PGconn *c = job_db(j, DIST_PLACE, e);
	char *names = NULL;
	bool has_citus = false;
	int rc;

	if (c == NULL || dist_has_citus(c, &has_citus, e) != 0)
		return -1;
	if (!has_citus)
		return 0;
	rc = unkept(j, c, &names, e);
	if (rc == 0 && names != NULL && is_forced)
		job_notice(j, "foreign keys that are not of this migration are dropped: %s", names);
	else if (rc == 0 && names != NULL) {
		rc = err_set(e, "55000", "ABORT would lose foreign keys that came after the plan");
		err_detail(e, "%s: with it the tables hang on others that are distributed.", names);
		err_hint(e, "Drop them, or have them dropped: ABORT MIGRATION %d FORCE.",
			 job_id(j));
	}
	free(names);
	return rc;
}
