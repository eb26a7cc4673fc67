/* SPDX-License-Identifier: PostgreSQL
 *
 * A table whose initial copy cannot go on is copied anew.
 *
 * The worker that copies a table drops the slot of that copy at the source before it commits that
 * the copy is done (PostgreSQL's src/backend/replication/logical/tablesync.c,
 * process_syncing_tables_for_sync()), and that commit is on disk only later. A target that dies in
 * between comes back with the table in state 'f' (copied, not caught up, from PostgreSQL 14 on) and
 * no slot to catch up from: its worker asks for it for ever. How far the table has come cannot be
 * used: what it has missed may be gone with the slot.
 *
 * So the table leaves the publication, and the subscription with it, which forgets where it was; it
 * is emptied, and comes back to both like a new one. No client writes it on the target: there the
 * fence is in force, and changes of a table are applied only while its row in pg_subscription_rel
 * says so. Those that are committed on the source meanwhile are in the copy, or behind its
 * snapshot, for which the server waits until every transaction is over that has begun before the
 * table was published again.
 *
 * What is under way stands in the source's meridian.marker, kind 'again', from the transaction that
 * takes the table out of the publication until the subscription has it again: any executor goes on
 * there, and until then the copy is not done, though no table is left that waits.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/move/sql.h"

#define LOOK_US (2 * USEC_PER_SEC)

/* ---- which one ---- */

/* No worker is at one of these. $1: the subscription. */
static const char idle_sql[] =
    "SELECT " SQL_QUALIFIED ", 'pg_' || s.oid || '_sync_' || r.srrelid || '_' ||"
    " x.system_identifier FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid"
    " JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace,"
    " pg_control_system() x WHERE s.subname = $1 AND r.srsubstate = 'f' AND NOT EXISTS (SELECT"
    " FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid = r.srrelid AND w.pid IS NOT"
    " NULL) ORDER BY 1";

/* A table that has no slot any more, the caller's; NULL: none, or the source cannot be asked now.
 */
static int
find_lost(struct job *j, PGconn *target, char **out, struct err *e)
{
	struct move_names names = move_names(j);
	const char *params[1];
	PGresult *r;

	*out = NULL;
	params[0] = names.forward;
	r = db_query(target, e, idle_sql, 1, params);
	for (int i = 0; r != NULL && *out == NULL && i < PQntuples(r); i++) {
		struct err ignored;
		PGconn *source = job_db(j, MOVE_SOURCE, &ignored);
		bool is_there = true;

		params[0] = PQgetvalue(r, i, 1);
		if (source == NULL ||
		    db_is(source, &is_there, &ignored,
			  "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)",
			  1, params) != 0)
			break;
		if (!is_there)
			*out = xstrdup(PQgetvalue(r, i, 0));
	}
	PQclear(r);
	return r != NULL ? 0 : -1;
}

/* ---- not there any more ---- */

/* Tables that wait for their copy, as an array. $1: the subscription. */
static const char waiting_sql[] =
    "SELECT array_agg(" SQL_QUALIFIED ")::text FROM pg_subscription_rel r JOIN pg_subscription s ON"
    " s.oid = r.srsubid JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid ="
    " c.relnamespace WHERE s.subname = $1 AND r.srsubstate IN ('i', 'd') AND NOT EXISTS (SELECT"
    " FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid = r.srrelid AND w.pid IS NOT"
    " NULL)";

static int
is_dropped(PGconn *source, const char *table, bool *out, struct err *e)
{
	const char *const params[] = { table };

	return db_is(source, out, e, "SELECT to_regclass($1) IS NULL", 1, params);
}

static void
tell_dropped(struct job *j, const char *tables)
{
	job_notice(j,
		   "not on the source any more, so the copy goes on without: %s; drop it on the"
		   " target too",
		   tables);
}

/* ---- step by step ---- */

/* One transaction. Our connections wait for the disk (db.c): no step is lost that a later one, on
 * the other server, relies on. */
static int __attribute__((format(printf, 4, 5)))
change(struct job *j, PGconn *c, struct err *e, const char *fmt, ...)
{
	struct buf sql = { .cap = 0 };
	va_list ap;
	int rc = db_exec(c, e, "BEGIN");

	va_start(ap, fmt);
	buf_vprintf(&sql, fmt, ap);
	va_end(ap);
	if (rc == 0)
		rc = job_check_lease(j, c, e);
	if (rc == 0)
		rc = job_exec_retry(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	if (rc == 0)
		return db_exec(c, e, "COMMIT");
	db_exec(c, NULL, "ROLLBACK");
	return -1;
}

static int
unpublish(struct job *j, const char *table, struct err *e)
{
	PGconn *source = job_db(j, MOVE_SOURCE, e);
	struct buf drop = { .cap = 0 };
	struct move_names names = move_names(j);
	bool is_gone;
	char *literal;
	int rc;

	if (source == NULL || is_dropped(source, table, &is_gone, e) != 0)
		return -1;
	literal = db_literal(source, table);
	if (!is_gone)
		buf_printf(&drop, "; ALTER PUBLICATION %s DROP TABLE ONLY %s", names.publication,
			   table);
	rc = change(j, source, e,
		    "INSERT INTO meridian.marker(mig, kind, at, payload) VALUES (%d, 'again',"
		    " clock_timestamp(), to_jsonb(%s::text))%s",
		    job_id(j), literal, buf_text(&drop));
	buf_fini(&drop);
	free(literal);
	return rc;
}

/* meridian.marker has rows that were made on the target. */
static int
empty(struct job *j, PGconn *target, const char *table, struct err *e)
{
	bool is_marker = strcmp(table, "meridian.marker") == 0;

	return change(j, target, e, "SET LOCAL session_replication_role = replica; %s %s%s",
		      is_marker ? "DELETE FROM ONLY" : "TRUNCATE ONLY", table,
		      is_marker ? " WHERE kind NOT IN ('schema', 'post_data')" : "");
}

/* The subscription has what is published: rows of other tables go, with their workers, origins and
 * slots; new ones come. */
static int
refresh(struct job *j, PGconn *target, struct err *e)
{
	struct move_names names = move_names(j);

	return job_runf(j, target, e, "ALTER SUBSCRIPTION %s REFRESH PUBLICATION", names.forward);
}

/* A client may drop it meanwhile: then both sides only forget it. */
static int
bring_back(struct job *j, PGconn *source, PGconn *target, const char *table, struct err *e)
{
	struct move_names names = move_names(j);
	const char *const params[] = { names.publication, table };
	bool is_gone = false, is_there = false;

	if (db_is(source, &is_there, e,
		  "SELECT EXISTS (SELECT FROM pg_publication_rel x JOIN pg_publication b ON"
		  " b.oid = x.prpubid WHERE b.pubname = $1 AND x.prrelid = to_regclass($2))",
		  2, params) != 0 ||
	    is_dropped(source, table, &is_gone, e) != 0)
		return -1;
	if (is_there)
		return 0;
	if (!is_gone && (refresh(j, target, e) != 0 || empty(j, target, table, e) != 0 ||
			 is_dropped(source, table, &is_gone, e) != 0))
		return -1;
	if (!is_gone)
		return change(j, source, e, "ALTER PUBLICATION %s ADD TABLE ONLY %s",
			      names.publication, table);
	tell_dropped(j, table);
	return 0;
}

/* ---- from outside ---- */

int
recopy_table(struct job *j, char **table, struct err *e)
{
	PGconn *source = job_db(j, MOVE_SOURCE, e);
	char id[16];
	const char *const params[] = { id };

	*table = NULL;
	snprintf(id, sizeof(id), "%d", job_id(j));
	if (source == NULL || db_value(source, table, e,
				       "SELECT payload #>> '{}' FROM meridian.marker WHERE mig ="
				       " $1::int AND kind = 'again'",
				       1, params) < 0)
		return -1;
	return 0;
}

int
recopy_continue(struct job *j, struct err *e)
{
	char *table;
	int rc = recopy_table(j, &table, e);
	PGconn *source, *target;

	if (rc != 0 || table == NULL)
		return rc;
	source = job_db(j, MOVE_SOURCE, e);
	target = source != NULL ? job_db(j, MOVE_TARGET, e) : NULL;
	rc = -1;
	if (target != NULL) {
		job_progress(j, -1, "%s is copied anew", table);
		rc = bring_back(j, source, target, table, e);
	}
	if (rc == 0)
		rc = refresh(j, target, e);
	if (rc == 0)
		rc = change(j, source, e,
			    "DELETE FROM meridian.marker WHERE mig = %d AND kind = 'again'",
			    job_id(j));
	free(table);
	return rc;
}

/* Leave out tables that wait and that the source has not got any more, where it can be asked now.
 */
static int
forget_dropped(struct job *j, PGconn *target, struct err *e)
{
	struct move_names names = move_names(j);
	const char *params[] = { names.forward };
	char *waiting, *tables = NULL;
	struct err ignored;
	PGconn *source;
	int rc = db_value(target, &waiting, e, waiting_sql, 1, params);

	if (rc <= 0)
		return rc;
	source = job_db(j, MOVE_SOURCE, &ignored);
	params[0] = waiting;
	if (source != NULL)
		(void)db_value(source, &tables, &ignored,
			       "SELECT string_agg(t, ', ' ORDER BY t) FROM unnest($1::text[]) t"
			       " WHERE to_regclass(t) IS NULL",
			       1, params);
	free(waiting);
	if (tables == NULL)
		return 0;
	tell_dropped(j, tables);
	free(tables);
	return refresh(j, target, e);
}

int
recopy_lost(struct job *j, PGconn *target, struct lost_copy *l, struct err *e)
{
	char *before = l->table;
	bool is_lost;
	int rc;

	if (clock_us() < l->next_us)
		return 0;
	l->next_us = clock_us() + LOOK_US;
	l->table = NULL;
	if (forget_dropped(j, target, e) != 0 || find_lost(j, target, &l->table, e) != 0) {
		free(before);
		return -1;
	}
	/* Seen once, its end may have been on its way between the two servers. */
	is_lost = before != NULL && l->table != NULL && strcmp(before, l->table) == 0;
	free(before);
	if (!is_lost)
		return 0;
	job_notice(j,
		   "the copy of %s cannot go on: the target died at its end, and its slot is gone;"
		   " the table is copied anew",
		   l->table);
	rc = unpublish(j, l->table, e);
	free(l->table);
	l->table = NULL;
	return rc == 0 ? recopy_continue(j, e) : -1;
}
