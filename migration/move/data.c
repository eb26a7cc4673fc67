/* SPDX-License-Identifier: PostgreSQL
 *
 * DATA: the rows get there by logical replication, while they are written; or, with data =
 * snapshot, as a copy that goes through us, with writes stopped.
 */
#include "config.h"

#include "migration/move/move.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/grammar.h"
#include "migration/move/sql.h"
#include "migration/move/stream.h"
#include "protocol/sqlstate.h"

#define WORKER_US    (60 * USEC_PER_SEC)
#define COPY_LOOK_US (200 * USEC_PER_MSEC)

/* ---- publication, and that of the way back ---- */

static int
publication_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	PGresult *r = c != NULL ? db_query(c, e, SQL_PUBLISHED " ORDER BY 1", 0, NULL) : NULL;
	struct buf sql = { .cap = 0 };
	int rc;

	if (r == NULL)
		return -1;
	buf_printf(&sql, "CREATE PUBLICATION %s FOR TABLE ONLY meridian.marker",
		   move_names(j).publication);
	for (int i = 0; i < PQntuples(r); i++)
		buf_printf(&sql, ", ONLY %s", PQgetvalue(r, i, 0));
	PQclear(r);
	rc = db_exec(c, e, buf_text(&sql));
	buf_fini(&sql);
	return rc;
}

static int
publication_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	if (c == NULL)
		return -1;
	return db_execf(c, e, "DROP PUBLICATION IF EXISTS %s", names.publication);
}

MOVE_STEP(move_publication, "publication", PHASE_DATA, CLASS_T, .act = publication_act,
	  .undo = publication_undo);

/* It goes with the database. */
MOVE_STEP(move_reverse_publication, "reverse_publication", PHASE_DATA, CLASS_T,
	  .act = publication_act);

/* $1: the name that slot and subscription of the way forward have. */
static int
is_so_of_forward(struct job *j, const struct migration_step *s, const char *sql, bool *out,
		 struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);
	const char *const params[] = { names.forward };

	return c != NULL ? db_is(c, out, e, sql, 1, params) : -1;
}

/* ---- slot ---- */

static int
slot_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return is_so_of_forward(j, s,
				"SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name ="
				" $1 AND database = current_database())",
				is_done, e);
}

static int
slot_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	if (c == NULL)
		return -1;
	job_progress(j, -1, "waiting for the transactions that are open to make the slot");
	return job_runf(j, c, e, "SELECT pg_create_logical_replication_slot('%s', 'pgoutput')",
			names.forward);
}

static int
slot_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	return c != NULL ? move_drop_slots(j, c, names.forward, e) : -1;
}

MOVE_STEP(move_slot, "slot", PHASE_DATA, CLASS_I, .done = slot_done, .act = slot_act,
	  .undo = slot_undo);

/* ---- subscription ---- */

char *
move_peer_conninfo(struct job *j, const char *from, const char *dbname, struct err *e)
{
	bool forward = strcmp(from, MOVE_SOURCE) == 0;
	const struct site *site = job_site(j);
	const struct site_node *n = job_node(j, from);
	const struct site_node *to = job_node(j, forward ? MOVE_TARGET : MOVE_SOURCE);
	char *words = NULL;

	if (!job_option_is(j, "connection", "through_meridian"))
		return site->ops->peer_conninfo(site->arg, n, dbname);
	if (site->ops->through_conninfo != NULL)
		words = site->ops->through_conninfo(
		    site->arg, to, n, forward ? job_spec(j)->from : job_spec(j)->to, dbname);
	if (words == NULL) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
			"region %s has no migration_through_conninfo", to->region);
		err_hint(e, "It says how the servers there reach Meridian.");
	}
	return words;
}

int
move_subscribe(struct job *j, PGconn *c, const char *from, const char *name, bool copy,
	       struct err *e)
{
	char *peer = move_peer_conninfo(j, from, job_dbname(j, from), e), *words, *literal;
	struct move_names names = move_names(j);
	int rc;

	if (peer == NULL)
		return -1;
	words = xasprintf("%s application_name=%s", peer, name);
	literal = db_literal(c, words);
	rc = db_exec(c, e, SQL_SECRETLY("true"));
	if (rc == 0)
		rc = db_execf(c, e,
			      "CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH "
			      "(create_slot = false, slot_name = '%s', copy_data = %s, enabled = "
			      "true%s, synchronous_commit = off)",
			      name, literal, names.publication, name, copy ? "true" : "false",
			      PQserverVersion(c) >= 140000 ? ", streaming = on" : "");
	free(peer);
	free(words);
	free(literal);
	return rc;
}

static int
subscription_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	return c != NULL ? move_subscribe(j, c, MOVE_SOURCE, names.forward, true, e) : -1;
}

static int
subscription_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	struct move_names names = move_names(j);
	PGconn *c;

	(void)s;
	if (move_target_of_undo(j, "the subscription stays there", &c, e) != 0)
		return -1;
	if (c == NULL)
		return 0;
	if (move_note_copies(j, c, e) != 0)
		return -1;
	return move_drop_subscription(j, c, names.forward, e);
}

MOVE_STEP(move_subscription, "subscription", PHASE_DATA, CLASS_T, .act = subscription_act,
	  .undo = subscription_undo);

int
move_wait_for_worker(struct job *j, PGconn *c, const char *name, bool runs, struct err *e)
{
	struct buf sql = { .cap = 0 };
	int rc;

	buf_printf(&sql,
		   "SELECT %s EXISTS (SELECT FROM pg_stat_subscription WHERE subname = '%s'"
		   " AND relid IS NULL AND pid IS NOT NULL)",
		   runs ? "" : "NOT", name);
	rc = move_wait_until(j, c, buf_text(&sql), WORKER_US,
			     runs ? "the start of the apply worker" : "the end of the apply worker",
			     e);
	buf_fini(&sql);
	if (rc != 0 && runs && strcmp(e->sqlstate, SQLSTATE_OBJECT_NOT_IN_STATE) == 0)
		err_hint(e, "The log of the server that subscribes says why.");
	return rc;
}

/* ---- copy ---- */

struct copy_look {
	int64_t ready, all, bytes, errors;
};

static int
look_at_copy(PGconn *c, const char *subscription, struct copy_look *out, struct err *e)
{
	const char *const params[] = { subscription };
	int version = PQserverVersion(c);
	struct buf sql = { .cap = 0 };
	PGresult *r;

	buf_printf(&sql,
		   "SELECT count(*) FILTER (WHERE r.srsubstate = 'r'), count(*), %s, %s"
		   " FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid"
		   " WHERE s.subname = $1",
		   version >= 140000 ? "(SELECT coalesce(sum(bytes_processed), 0)::bigint FROM "
				       "pg_stat_progress_copy WHERE datname = current_database())"
				     : "0",
		   version >= 150000
		       ? "(SELECT coalesce(sum(apply_error_count + sync_error_count), 0)"
			 "::bigint FROM pg_stat_subscription_stats WHERE subname = $1)"
		       : "0");
	r = db_query(c, e, buf_text(&sql), 1, params);
	buf_fini(&sql);
	if (r == NULL)
		return -1;
	out->ready = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	out->all = strtoll(PQgetvalue(r, 0, 1), NULL, 10);
	out->bytes = strtoll(PQgetvalue(r, 0, 2), NULL, 10);
	out->errors = strtoll(PQgetvalue(r, 0, 3), NULL, 10);
	PQclear(r);
	return 0;
}

/* The workers that copy do not wait for the disk; a transaction of ours that writes does. */
static int
flush(PGconn *c, struct err *e)
{
	return db_exec(c, e, "SELECT pg_logical_emit_message(true, 'meridian', '')");
}

static int
copy_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct copy_look look;
	struct move_names names = move_names(j);
	char *again;

	if (c == NULL || look_at_copy(c, names.forward, &look, e) != 0 ||
	    recopy_table(j, &again, e) != 0)
		return -1;
	*is_done = look.all > 0 && look.ready == look.all && again == NULL;
	free(again);
	return *is_done ? flush(c, e) : 0;
}

/* What a wait for copies keeps between two looks. */
struct waiting {
	struct copy_look look;
	int64_t errors; /* as many have been told */
	struct lost_copy lost;
	struct stream_watch stream;
};

/* The server copies; we look on, and say so when it cannot. 1: all is there. */
static int
look_on(struct job *j, PGconn *c, struct waiting *w, struct err *e)
{
	const struct copy_look *look = &w->look;
	struct move_names names = move_names(j);
	const char *why;

	if (look_at_copy(c, names.forward, &w->look, e) != 0)
		return -1;
	if (look->ready == look->all && look->all > 0)
		return 1;
	if (look->errors > w->errors) {
		if (move_report_changes(j, e) != 0)
			return -1;
		job_notice(
		    j, "the target has met %" PRId64 " errors while it copies: its log says which",
		    look->errors);
		w->errors = look->errors;
	}
	if (recopy_lost(j, c, &w->lost, e) != 0 || stream_watch(j, c, &w->stream, &why, e) != 0)
		return -1;
	job_progress(j, look->all > 0 ? (int)(look->ready * 100 / look->all) : 0,
		     "%" PRId64 " of %" PRId64 " tables copied, %" PRId64
		     " bytes of those under way%s%s",
		     look->ready, look->all, look->bytes, *why != '\0' ? "; " : "", why);
	return 0;
}

static int
copy_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct waiting w = { .errors = 0 };
	PGconn *c = job_db(j, s->place, e);
	int rc = -1;

	if (c != NULL && move_note_copies(j, c, e) == 0 && recopy_continue(j, e) == 0)
		rc = 0;
	while (rc == 0) {
		c = job_db(j, s->place, e);
		rc = c != NULL ? look_on(j, c, &w, e) : -1;
		if (rc == 0)
			rc = job_sleep(j, COPY_LOOK_US, e);
	}
	free(w.lost.table);
	stream_watch_fini(&w.stream);
	return rc > 0 ? flush(c, e) : -1;
}

/* It goes with the subscription. */
MOVE_STEP(move_copy, "copy", PHASE_DATA, CLASS_I, .done = copy_done, .act = copy_act);

/* ---- copy_rows: data = snapshot ---- */

static int
copy_rows_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db_new(j, s->place, NULL, e) : NULL;
	PGresult *r = to != NULL ? db_query(from, e, SQL_PUBLISHED " ORDER BY 1", 0, NULL) : NULL;
	int n = r != NULL ? PQntuples(r) : -1, rc = r != NULL ? 0 : -1;

	for (int i = 0; rc == 0 && i < n; i++) {
		job_progress(j, i * 100 / n, "%s (%d of %d tables)", PQgetvalue(r, i, 0), i + 1, n);
		rc = rows_copy_table(j, from, to, PQgetvalue(r, i, 0), e);
	}
	PQclear(r);
	PQfinish(to);
	return rc;
}

/* They go with the database. */
MOVE_STEP(move_copy_rows, "copy_rows", PHASE_DATA, CLASS_R, .act = copy_rows_act);

/* ---- enable ---- */

static int
enable_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return is_so_of_forward(j, s, "SELECT subenabled FROM pg_subscription WHERE subname = $1",
				is_done, e);
}

static int
enable_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	if (c == NULL || db_execf(c, e, "ALTER SUBSCRIPTION %s ENABLE", names.forward) != 0)
		return -1;
	return move_wait_for_worker(j, c, names.forward, true, e);
}

MOVE_STEP(move_enable, "enable", PHASE_DATA, CLASS_I, .done = enable_done, .act = enable_act);
