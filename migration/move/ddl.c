/* SPDX-License-Identifier: PostgreSQL
 *
 * ddl = record: schema changes that others make on the source from PREPARE on are let through, and
 * kept in meridian.ddl_log by the event trigger (prepare.c). They are not made on the target:
 * only their authors know what they would do there. They are reported, with their statements, as
 * soon as a step or a command reads them, and FINALIZE waits until both sides are the same.
 */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>

#include "migration/db.h"
#include "migration/move/move.h"

/* As much of a statement as fits into a notice; all of it is in the table. */
#define SQL_WORDS                                                                        \
	"tag || ' by ' || role || coalesce(': ' || left(regexp_replace(btrim(query, E' " \
	"\\n\\t;'), "                                                                    \
	"'\\s+', ' ', 'g'), 400), '')"
#define TOLD_MAX "100"

static bool
is_recorded(const struct job *j)
{
	return job_option_is(j, "ddl", "record");
}

int
move_report_changes(struct job *j, struct err *e)
{
	PGconn *c;
	PGresult *r;

	if (!is_recorded(j))
		return 0;
	c = job_db(j, MOVE_SOURCE, e);
	r = c == NULL ? NULL
		      : db_query(c, e,
				 "WITH t AS (UPDATE meridian.ddl_log SET told = true WHERE n IN"
				 " (SELECT n FROM meridian.ddl_log WHERE NOT told ORDER BY n"
				 " LIMIT " TOLD_MAX ") RETURNING *) SELECT object, " SQL_WORDS
				 " FROM t ORDER BY n",
				 0, NULL);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *words = PQgetvalue(r, i, 1);
		json_t *o = json_pack("{ss,ss}", "object", PQgetvalue(r, i, 0), "change", words);
		char *detail = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

		job_event(j, "schema-change", detail);
		job_notice(j, "the schema of the source was changed: %s", words);
		free(detail);
		json_decref(o);
	}
	PQclear(r);
	return 0;
}

int
move_check_changes(struct job *j, PGconn *source, bool differ, struct checks *out, struct err *e)
{
	PGresult *r;

	if (!is_recorded(j))
		return 0;
	r = db_query(source, e,
		     "SELECT object, " SQL_WORDS
		     " FROM meridian.ddl_log ORDER BY n LIMIT " TOLD_MAX,
		     0, NULL);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		checks_add(out, differ ? CHECK_ERROR : CHECK_INFO, "schema_change",
			   PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
			   "make the same change on the target");
	PQclear(r);
	return 0;
}
