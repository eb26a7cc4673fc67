/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

#define DROP_US (20 * USEC_PER_SEC)

int
move_drop_subscription(struct job *j, PGconn *c, const char *name, struct err *e)
{
	struct buf sql = { .cap = 0 };
	bool is_there = false;
	int rc;

	/* Without a control schema this is a database that we never came to. */
	buf_printf(&sql,
		   "SELECT EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = "
		   "s.subdbid WHERE d.datname = current_database() AND s.subname = '%s')",
		   name);
	rc = db_is(c, &is_there, e, buf_text(&sql), 0, NULL);
	buf_fini(&sql);
	if (rc != 0 || !is_there)
		return rc;
	/* The slot is dropped by itself, at the other side, which may not be there any more. */
	if (job_runf(j, c, e, "ALTER SUBSCRIPTION %s DISABLE", name) != 0 ||
	    job_runf(j, c, e, "ALTER SUBSCRIPTION %s SET (slot_name = NONE)", name) != 0)
		return -1;
	return job_runf(j, c, e, "DROP SUBSCRIPTION %s", name);
}

/* ---- slots ---- */

/* The initial copy of a table has a slot of its own, pg_<subscription>_sync_<table>_<system>, which
 * is not "active" while rows go through it. Which subscription and which system are ours is known
 * where the subscription is: it is noted while it can be asked. */
int
move_note_copies(struct job *j, PGconn *target, struct err *e)
{
	struct move_names names = move_names(j);
	const char *params[2];
	char *pattern = NULL, id[16];
	PGconn *source;
	PGresult *r = NULL;
	int rc;

	params[0] = names.forward;
	rc = db_value(target, &pattern, e,
		      "SELECT '^pg_' || s.oid || '_sync_[0-9]+_' || c.system_identifier || '$'"
		      " FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid,"
		      " pg_control_system() c WHERE d.datname = current_database()"
		      " AND s.subname = $1",
		      1, params);
	if (rc <= 0)
		return rc;
	snprintf(id, sizeof(id), "%d", job_id(j));
	params[0] = id;
	params[1] = pattern;
	source = job_db(j, MOVE_SOURCE, e);
	if (source != NULL)
		r = db_query(source, e,
			     "INSERT INTO meridian.marker(mig, kind, at, payload) VALUES ($1::int,"
			     " 'copies', clock_timestamp(), to_jsonb($2::text)) ON CONFLICT (mig,"
			     " kind) DO UPDATE SET payload = excluded.payload"
			     " WHERE marker.payload <> excluded.payload",
			     2, params);
	PQclear(r);
	free(pattern);
	return r != NULL ? 0 : -1;
}

/* The slots of our copies on `c`, as a pattern, the caller's: "" where there are none. */
static int
noted_copies(struct job *j, PGconn *c, char **out, struct err *e)
{
	bool is_there = false;
	char id[16];
	const char *const params[] = { id };
	int rc;

	*out = NULL;
	snprintf(id, sizeof(id), "%d", job_id(j));
	/* Without a control schema this is a database that we never came to. */
	rc = db_is(c, &is_there, e, "SELECT to_regclass('meridian.marker') IS NOT NULL", 0, NULL);
	if (rc == 0 && is_there)
		rc = db_value(c, out, e,
			      "SELECT payload #>> '{}' FROM meridian.marker WHERE mig = $1::int"
			      " AND kind = 'copies'",
			      1, params);
	if (rc >= 0 && *out == NULL)
		*out = xstrdup("");
	return rc < 0 ? -1 : 0;
}

/* $1: a name, $2: a pattern of more. */
#define SQL_SLOTS                                                                  \
	" FROM pg_replication_slots s WHERE s.database = current_database() AND (" \
	"s.slot_name = $1 OR ($2 <> '' AND s.slot_name ~ $2))"

static int
drop_slots(struct job *j, PGconn *c, const char *const params[2], struct err *e)
{
	int64_t end = clock_us() + DROP_US;

	for (;;) {
		PGresult *r = db_query(c, e,
				       "SELECT CASE WHEN s.active THEN"
				       " pg_terminate_backend(s.active_pid)::text END" SQL_SLOTS,
				       2, params);
		int left;

		if (r == NULL)
			return -1;
		PQclear(r);
		PQclear(db_query(c, NULL,
				 "SELECT pg_drop_replication_slot(s.slot_name)" SQL_SLOTS
				 " AND NOT s.active",
				 2, params));
		r = db_query(c, e, "SELECT s.slot_name" SQL_SLOTS, 2, params);
		if (r == NULL)
			return -1;
		left = PQntuples(r);
		PQclear(r);
		if (left == 0)
			return 0;
		if (clock_us() > end)
			return err_set(e, SQLSTATE_OBJECT_IN_USE,
				       "replication slots of the migration are still in use");
		if (job_sleep(j, 100 * USEC_PER_MSEC, e) != 0)
			return -1;
	}
}

int
move_drop_slots(struct job *j, PGconn *c, const char *name, struct err *e)
{
	struct move_names names = move_names(j);
	char *copies = NULL;
	int rc = 0;

	/* Nothing is copied on the way back. */
	if (strcmp(name, names.forward) == 0)
		rc = noted_copies(j, c, &copies, e);
	if (rc == 0) {
		const char *const params[] = { name, copies != NULL ? copies : "" };

		rc = drop_slots(j, c, params, e);
	}
	free(copies);
	return rc;
}

/* ---- fences, identities ---- */

int
move_drop_fences(struct job *j, PGconn *c, struct err *e)
{
	return move_each(j, c, SQL_FENCES " ORDER BY 1",
			 "DROP TRIGGER IF EXISTS meridian_fence ON %s", e) >= 0
		   ? 0
		   : -1;
}

int
move_restore_identity(struct job *j, PGconn *c, struct err *e)
{
	bool is_there = false;

	if (db_is(c, &is_there, e, "SELECT to_regclass('meridian.marker') IS NOT NULL", 0, NULL) !=
	    0)
		return -1;
	if (!is_there)
		return 0;
	return move_each(j, c,
			 "SELECT x ->> 'table' || ' REPLICA IDENTITY ' || CASE x ->> 'identity' "
			 "WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN coalesce('USING INDEX ' || (x ->> "
			 "'index'), 'NOTHING') WHEN 'f' THEN 'FULL' ELSE 'DEFAULT' END FROM "
			 "meridian.marker m, jsonb_array_elements(m.payload) x WHERE m.kind = "
			 "'identity' AND to_regclass(x ->> 'table') IS NOT NULL ORDER BY 1",
			 "ALTER TABLE %s", e) >= 0
		   ? 0
		   : -1;
}

int
move_place_or_gone(struct job *j, const char *place, PGconn **out, struct err *e)
{
	bool is_target = strcmp(place, MOVE_TARGET) == 0;
	PGconn *other;

	*out = job_db(j, place, e);
	if (*out != NULL)
		return 0;
	if (strncmp(e->sqlstate, "08", 2) != 0)
		return -1;
	/* FORCE (the place), or ABORT … FORCE for the target: it is not waited for. */
	if (job_is_forced(j, place) || (is_target && job_is_forced(j, "abort"))) {
		/* That it does not answer counts only while we are not cut off ourselves. */
		other = job_db(j, is_target ? MOVE_SOURCE : MOVE_TARGET, e);
		if (other == NULL || job_check_lease(j, other, e) != 0)
			return -1;
		*out = job_db(j, place, e);
		return 0;
	}
	err_prefix(e, "the %s cannot be reached", place);
	return is_target ? err_hint(e, "ABORT … FORCE leaves behind what is there.")
			 : err_hint(e, "FORCE (%s) leaves behind what is there.", place);
}

void
move_report_left(struct job *j, const char *place, const char *what, const struct err *why)
{
	struct buf detail = { .cap = 0 };

	buf_printf(&detail, "{\"place\": \"%s\"}", place);
	job_event(j, "left-behind", buf_text(&detail));
	buf_fini(&detail);
	job_notice(j, "%s; the %s cannot be reached: %s", what, place, why->msg);
}

int
move_target_of_undo(struct job *j, const char *what, PGconn **out, struct err *e)
{
	if (move_place_or_gone(j, MOVE_TARGET, out, e) != 0)
		return -1;
	if (*out == NULL)
		move_report_left(j, MOVE_TARGET, what, e);
	return 0;
}
