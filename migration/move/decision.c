/* SPDX-License-Identifier: PostgreSQL
 *
 * Which side serves the database is decided on the one that takes over, by one UPDATE that either
 * 'forward' or 'back' can win.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"

#define SLACK_US (5 * USEC_PER_SEC)

int
decision_is_forward(struct job *j, const struct direction *d, bool *out, struct err *e)
{
	const char *const params[] = { job_database(j) };
	PGconn *c;
	bool is_there = false;

	*out = false;
	if (move_place_or_gone(j, d->to, &c, e) != 0)
		return -1;
	if (c == NULL)
		return 0;
	if (db_is(c, &is_there, e, "SELECT to_regclass('meridian.authority') IS NOT NULL", 0,
		  NULL) != 0 ||
	    !is_there)
		return is_there ? -1 : 0;
	return db_is(
	    c, out, e,
	    "SELECT writable AND decision = 'forward' FROM meridian.authority WHERE db = $1", 1,
	    params);
}

int
decision_epoch(struct job *j, PGconn *c, int64_t *out, struct err *e)
{
	const char *const params[] = { job_database(j) };

	return db_int(c, out, e, "SELECT epoch FROM meridian.authority WHERE db = $1", 1, params);
}

/* `to` cannot be reached, and FORCE said not to wait. A COMMIT that is on its way there shall not
 * arrive any more: it would be the decision. */
static int
give_up(struct job *j, const struct direction *d, struct err *e)
{
	const struct err why = *e;
	struct err left;
	PGconn *from = job_db(j, d->from, e);

	if (from == NULL)
		return -1;
	if (d->streams && move_drop_slots(j, from, d->subscription, &left) != 0)
		job_notice(j, "slot %s is still there: %s", d->subscription, left.msg);
	cutover_of(j)->is_alone = true;
	move_report_left(j, d->to,
			 "whether it had taken over is not known: if so, what was written there is"
			 " lost, and it must not come back as it was",
			 &why);
	return 0;
}

int
decision_write_back(struct job *j, const struct direction *d, struct err *e)
{
	PGconn *c;
	bool is_forward = true;
	char *db;
	int rc;

	if (move_place_or_gone(j, d->to, &c, e) != 0)
		return -1;
	if (c == NULL)
		return give_up(j, d, e);
	cutover_of(j)->is_alone = false;
	db = db_literal(c, job_database(j));
	rc = db_execf(c, e,
		      "SELECT " SQL_DURABLE "; UPDATE meridian.authority SET decision = 'back' "
		      "WHERE db = %s AND decision IS NULL AND NOT writable",
		      db);
	free(db);
	if (rc != 0 || decision_is_forward(j, d, &is_forward, e) != 0)
		return -1;
	if (!is_forward)
		return 0;
	err_set(e, SQLSTATE_DECIDED, "the database is served by %s already", d->to_name);
	return err_hint(e, d->is_backward ? "It goes on by itself." : "REVERSE MIGRATION %d.",
			job_id(j));
}

/* ---- the block ---- */

static void
put_wait(struct buf *b, const char *condition, int64_t usec)
{
	buf_printf(b,
		   " LOOP\n  SELECT payload INTO p FROM meridian.marker WHERE %s;\n"
		   "  EXIT WHEN FOUND;\n"
		   "  IF clock_timestamp() > begun + interval '%" PRId64 " microseconds' THEN\n"
		   "   RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE ="
		   " 'the deadline of the cut-over has passed';\n  END IF;\n"
		   "  PERFORM pg_sleep(0.002);\n END LOOP;\n",
		   condition, usec);
}

/* The snapshot for VERIFY is taken behind the marker and before clients write here; it is not
 * waited for longer than half a second. */
static void
put_snapshot_wait(struct buf *b, int64_t epoch)
{
	buf_printf(b,
		   " FOR i IN 1..250 LOOP\n"
		   "  EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND "
		   "granted AND classid = %d AND objid = %" PRId64 ");\n"
		   "  PERFORM pg_sleep(0.002);\n END LOOP;\n",
		   MOVE_SNAPSHOT_LOCK, epoch & INT32_MAX);
}

static void
put_decision(struct job *j, const struct direction *d, int64_t epoch, PGconn *to, struct buf *b)
{
	char *db = db_literal(to, job_database(j)), *serves = db_literal(to, d->to_name);
	char *newdb = db_literal(to, job_dbname(j, d->to));

	buf_printf(
	    b,
	    " UPDATE meridian.authority SET decision = 'forward', writable = true, epoch = %" PRId64
	    ", serves = %s, newdb = %s, mig = %d WHERE db = %s AND decision IS NULL"
	    " AND epoch = %" PRId64 ";\n"
	    " IF NOT FOUND THEN\n  RAISE EXCEPTION USING ERRCODE = 'MR004', MESSAGE ="
	    " 'decided otherwise';\n END IF;\n",
	    epoch + 1, serves, newdb, job_id(j), db, epoch);
	free(db);
	free(serves);
	free(newdb);
}

int
decision_put_block(struct job *j, const struct direction *d, int64_t epoch, PGconn *to,
		   struct buf *out, struct err *e)
{
	int64_t usec = job_option_usec(j, "freeze_deadline") +
		       job_option_usec(j, "catchup_deadline") + job_option_usec(j, "pause_budget") +
		       SLACK_US;
	struct buf body = { .cap = 0 }, condition = { .cap = 0 };
	char *literal;
	int rc;

	buf_str(&body, "DECLARE p jsonb; begun timestamptz := clock_timestamp();\nBEGIN\n");
	buf_printf(&condition, "mig = %d AND kind = '%s' AND payload ->> 'try' = '%" PRId64 "'",
		   job_id(j), d->marker, epoch);
	put_wait(&body, buf_text(&condition), usec);
	/* Only in the first statement of a transaction that has written nothing. */
	if (d->next_slot != NULL)
		buf_printf(&body,
			   " PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
			   " WHERE slot_name = '%s' AND NOT active;\n"
			   " PERFORM pg_create_logical_replication_slot('%s', 'pgoutput');\n",
			   d->next_slot, d->next_slot);
	if (move_has_rest(j) && !d->is_backward) {
		buf_clear(&condition);
		buf_printf(&condition,
			   "mig = %d AND kind = 'rest' AND payload ->> 'try' = '%" PRId64 "'",
			   job_id(j), epoch);
		buf_str(&body, " DECLARE seq jsonb := p -> 'seq';\n BEGIN\n");
		put_wait(&body, buf_text(&condition), usec);
		buf_str(&body, " p := jsonb_build_object('seq', seq);\n END;\n");
	}
	if (!job_option_is(j, "verify", "off"))
		put_snapshot_wait(&body, epoch);
	buf_str(&body, " PERFORM " SQL_DURABLE ";\n");
	buf_str(&body, " PERFORM setval((x ->> 0)::regclass, (x ->> 1)::bigint, (x ->> 2)::bool)"
		       " FROM jsonb_array_elements(p -> 'seq') x;\n ");
	rc = move_put_fences(to, "DISABLE", &body, e);
	buf_str(&body, "\n");
	put_decision(j, d, epoch, to, &body);
	buf_str(&body, "END");
	literal = db_literal(to, buf_text(&body));
	buf_printf(out, "DO %s", literal);
	free(literal);
	buf_fini(&body);
	buf_fini(&condition);
	return rc;
}
