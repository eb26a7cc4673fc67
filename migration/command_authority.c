/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW AUTHORITY and SHOW EXECUTORS: what the nodes themselves say.
 */
#include "config.h"

#include <stdio.h>

#include "migration/command_int.h"
#include "migration/db.h"
#include "migration/migrations_int.h"

static const char *
or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

static void
tell_unreached(struct command_run *c, const struct err *why)
{
	if (why->msg[0] != '\0')
		command_notice(c, "not every place could be asked: %s", why->msg);
}

/* The rows of one database. */
static void
authority_of(struct command_run *c, const struct finding *f, struct err *why)
{
	static const char sql[] = "SELECT db, epoch, writable, coalesce(decision, ''), "
				  "coalesce(serves, ''), coalesce(newdb, '') FROM "
				  "meridian.authority ORDER BY 1";
	PGconn *db = finding_open(c->ms, f, why);
	PGresult *r = db != NULL ? db_query(db, why, sql, 0, NULL) : NULL;

	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		const char *values[] = { PQgetvalue(r, i, 0),
					 f->node.name,
					 f->dbname,
					 PQgetvalue(r, i, 1),
					 PQgetvalue(r, i, 2),
					 or_null(PQgetvalue(r, i, 3)),
					 or_null(PQgetvalue(r, i, 4)),
					 or_null(PQgetvalue(r, i, 5)) };

		c->sink->row(c->sink->arg, values, sizeof(values) / sizeof(values[0]));
	}
	PQclear(r);
	PQfinish(db);
}

int
command_authority(struct command_run *c, struct err *e)
{
	const struct site *site = migrations_site(c->ms);
	struct strlist regions = { 0 };
	struct findings found = { 0 };
	struct err why = { .msg = "" };

	(void)e;
	site->ops->regions(site->arg, &regions);
	for (size_t i = 0; i < regions.n; i++)
		(void)migrations_look(c->ms, regions.v[i], LOOK_AGE_US, &found, &why);
	for (size_t i = 0; i < found.n && !command_is_cancelled(c); i++)
		authority_of(c, &found.v[i], &why);
	findings_fini(&found);
	strlist_fini(&regions);
	tell_unreached(c, &why);
	return 0;
}

static void
executor_row(void *to, const struct executor_row *v)
{
	struct command_run *c = to;
	char id[16], token[24];
	const char *values[] = { id,
				 v->uuid,
				 v->database,
				 v->place,
				 v->owner,
				 v->proxy,
				 token,
				 or_null(v->heartbeat),
				 v->is_alive ? "t" : "f",
				 or_null(v->step) };

	snprintf(id, sizeof(id), "%d", v->migration);
	snprintf(token, sizeof(token), "%lld", (long long)v->token);
	c->sink->row(c->sink->arg, values, sizeof(values) / sizeof(values[0]));
}

int
command_executors(struct command_run *c, struct err *e)
{
	struct err why = { .msg = "" };

	(void)e;
	executors_list(c->ms, executor_row, c, &why);
	tell_unreached(c, &why);
	return 0;
}
