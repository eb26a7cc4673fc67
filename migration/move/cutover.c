/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/cutover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/fleet.h"
#include "migration/grammar.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

#define PREWARM_US     (5 * USEC_PER_SEC)
#define SWITCH_US      (2 * USEC_PER_SEC)
#define FREEZE_EXTRA   (5 * USEC_PER_SEC)
#define MSEC(from, to) ((double)((to) - (from)) / (double)USEC_PER_MSEC)

/* ---- which way ---- */

void
direction_of(struct job *j, bool is_backward, struct direction *out)
{
	const struct spec *spec = job_spec(j);

	*out = (struct direction){ .is_backward = is_backward };
	out->names = move_names(j);
	out->from = is_backward ? MOVE_TARGET : MOVE_SOURCE;
	out->to = is_backward ? MOVE_SOURCE : MOVE_TARGET;
	out->from_name = is_backward ? spec->to : spec->from;
	out->to_name = is_backward ? spec->from : spec->to;
	out->subscription = is_backward ? out->names.backward : out->names.forward;
	out->marker = is_backward ? "fence_back" : "fence";
	out->streams = is_backward || job_step_done(j, "subscription", NULL);
	if (!is_backward && out->streams && move_has_way_back(j))
		out->next_slot = out->names.backward;
}

void
direction_of_step(struct job *j, const struct migration_step *s, struct direction *out)
{
	direction_of(j, s->def->phase == PHASE_REVERSE, out);
}

void
direction_gate(struct job *j, const struct direction *d, struct gate_move *out)
{
	*out =
	    /* a migration without a number yet: any */
	    (struct gate_move){ .migration = job_id(j) != 0 ? job_id(j) : -1,
				.attempt = job_attempt(j),
				.database = job_database(j),
				.from = d->from_name,
				.to = d->to_name,
				.newdb = job_dbname(j, d->to),
				.expires_us = job_option_usec(j, "freeze_deadline") +
					      job_option_usec(j, "catchup_deadline") +
					      job_option_usec(j, "pause_budget") + FREEZE_EXTRA };
}

/* ---- what a try keeps ---- */

static void
forget(PGconn **c)
{
	PQfinish(*c);
	*c = NULL;
}

void
cutover_reset(struct cutover *c)
{
	forget(&c->fence);
	forget(&c->armed);
	forget(&c->frozen_to);
	forget(&c->frozen_from);
	buf_fini(&c->closing);
	memset(c, 0, sizeof(*c));
}

static void
cutover_fini(void *memory)
{
	cutover_reset(memory);
}

struct cutover *
cutover_of(struct job *j)
{
	return job_memory(j, sizeof(struct cutover), cutover_fini);
}

/* ---- prewarm ---- */

static int
prewarm_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;
	struct gate_move m;
	struct err why = { 0 };

	(void)e;
	direction_of_step(j, s, &d);
	direction_gate(j, &d, &m);
	/* Only to be quick: a session without a connection makes one behind the switch. */
	if (fleet_prewarm(j, &m, clock_us() + PREWARM_US, &why) != 0)
		job_notice(j, "connections are not all made in advance: %s", why.msg);
	return 0;
}

/* ---- arm ---- */

/* This try's epoch, higher than any before it on either side; and higher than those of migrations
 * whose rows an ABORT has taken away, which proxies still remember. */
static int
take_epoch(struct job *j, PGconn *from, PGconn *to, struct cutover *c, struct err *e)
{
	int64_t a = 0, b = 0;
	char *db;
	int rc;

	if (decision_epoch(j, from, &a, e) != 0 || decision_epoch(j, to, &b, e) != 0)
		return -1;
	c->epoch = clock_wall_us() / USEC_PER_MSEC;
	if (c->epoch <= a || c->epoch <= b)
		c->epoch = (a > b ? a : b) + 1;
	if (db_exec(to, e, "BEGIN") != 0)
		return -1;
	db = db_literal(to, job_database(j));
	rc = job_check_lease(j, to, e);
	if (rc == 0)
		rc = db_execf(to, e,
			      "UPDATE meridian.authority SET decision = NULL, epoch = %" PRId64
			      " WHERE db = %s AND NOT writable",
			      c->epoch, db);
	free(db);
	if (rc == 0)
		return db_exec(to, e, "COMMIT");
	db_exec(to, NULL, "ROLLBACK");
	return -1;
}

static int
arm_block(struct job *j, const struct direction *d, struct cutover *c, struct err *e)
{
	struct buf sql = { .cap = 0 };
	int rc;

	c->armed = job_db_new(j, d->to, NULL, e);
	if (c->armed == NULL)
		return -1;
	rc = decision_put_block(j, d, c->epoch, c->armed, &sql, e);
	if (rc == 0)
		rc = db_execf(c->armed, e, "SET lock_timeout = %" PRId64,
			      job_option_usec(j, "lock_timeout") / USEC_PER_MSEC);
	/* The block ends when this executor is gone. */
	if (rc == 0 && PQserverVersion(c->armed) >= 140000)
		rc = db_exec(c->armed, e, "SET client_connection_check_interval = '100ms'");
	if (rc == 0 && PQsendQuery(c->armed, buf_text(&sql)) != 1)
		rc = db_error(c->armed, NULL, e);
	buf_fini(&sql);
	return rc;
}

static int
send_piece(PGconn *c, const char *sql)
{
	return PQsendQueryParams(c, sql, 0, NULL, NULL, NULL, NULL, 0) == 1 &&
	       PQpipelineSync(c) == 1;
}

/* A session whose snapshot is that of the marker; what it says is read by VERIFY. Where it cannot
 * be, there is no comparison at the frozen point: the move goes on. */
static void
arm_snapshot(struct job *j, const struct direction *d, struct cutover *c)
{
	struct buf wait = { .cap = 0 }, lock = { .cap = 0 };
	struct err why;

	c->frozen_to = job_db_new(j, d->to, NULL, &why);
	if (c->frozen_to == NULL)
		return;
	buf_printf(&wait,
		   "DO 'DECLARE begun timestamptz := clock_timestamp(); BEGIN LOOP EXIT WHEN "
		   "EXISTS (SELECT FROM meridian.marker WHERE mig = %d AND kind = ''%s'' AND "
		   "payload ->> ''try'' = ''%" PRId64 "''); IF clock_timestamp() > begun + interval"
		   " ''60 s'' THEN RAISE EXCEPTION ''too late''; END IF;"
		   " PERFORM pg_sleep(0.002); END LOOP; END'",
		   job_id(j), d->marker, c->epoch);
	buf_printf(&lock, "SELECT pg_advisory_lock(%d, %" PRId64 ")", MOVE_SNAPSHOT_LOCK,
		   c->epoch & INT32_MAX);
	if (PQenterPipelineMode(c->frozen_to) != 1 || !send_piece(c->frozen_to, buf_text(&wait)) ||
	    !send_piece(c->frozen_to, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") ||
	    !send_piece(c->frozen_to, buf_text(&lock)))
		forget(&c->frozen_to);
	buf_fini(&wait);
	buf_fini(&lock);
}

static int
arm_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	struct direction d;
	PGconn *from, *to;

	direction_of_step(j, s, &d);
	cutover_reset(c);
	from = job_db(j, d.from, e);
	to = from != NULL ? job_db(j, d.to, e) : NULL;
	if (to == NULL || take_epoch(j, from, to, c, e) != 0 || arm_block(j, &d, c, e) != 0 ||
	    fleet_others(j, e) < 0)
		return -1;
	if (!job_option_is(j, "verify", "off"))
		arm_snapshot(j, &d, c);
	return fence_prepare(j, &d, c, e);
}

static int
arm_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	(void)s;
	(void)e;
	cutover_reset(cutover_of(j));
	return 0;
}

/* ---- freeze ---- */

static int
freeze_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	struct direction d;
	struct gate_move m;

	direction_of_step(j, s, &d);
	direction_gate(j, &d, &m);
	c->freezing_us = clock_us();
	if (fleet_freeze(j, &m, c->freezing_us + job_option_usec(j, "freeze_deadline"), &c->counts,
			 e) != 0)
		return -1;
	/* What only its server knows of a session was asked behind the freeze. The way back goes
	 * on. */
	if (c->counts.closed > 0 && !d.is_backward && !job_is_forced(j, "sessions")) {
		err_set(e, SQLSTATE_GUARD_FAILED, "%u sessions would be closed at the switch",
			c->counts.closed);
		err_detail(e, "They have something on their server that cannot be taken along; the "
			      "log of their proxy says what.");
		return err_hint(e, "FORCE (sessions): they are told to reconnect (57P01).");
	}
	if (c->counts.open > 0) {
		if (job_option_is(j, "stragglers", "wait"))
			return err_set(e, SQLSTATE_CUTOVER_DEADLINE,
				       "%u transactions were still open at freeze_deadline",
				       c->counts.open);
		if (stragglers_end(j, &d, &m, e) != 0)
			return -1;
	}
	c->frozen_us = clock_us();
	return 0;
}

static int
freeze_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;
	struct gate_move m;

	(void)e;
	direction_of_step(j, s, &d);
	direction_gate(j, &d, &m);
	fleet_resume(j, &m);
	return 0;
}

/* ---- fence ---- */

static int
fence_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	struct direction d;

	direction_of_step(j, s, &d);
	if (fence_close(j, &d, c, e) != 0)
		return -1;
	c->fenced_us = clock_us();
	return 0;
}

static int
fence_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;

	direction_of_step(j, s, &d);
	return fence_lift(j, &d, e);
}

/* ---- copy_rest ---- */

/* Without replication the marker goes by our hand. */
static int
carry_marker(struct job *j, const struct direction *d, struct err *e)
{
	PGconn *from = job_db(j, d->from, e);
	PGconn *to = from != NULL ? job_db(j, d->to, e) : NULL;
	char *payload = NULL, *literal, id[16];
	const char *const params[] = { id, d->marker };
	int rc;

	snprintf(id, sizeof(id), "%d", job_id(j));
	if (to == NULL || db_value(from, &payload, e,
				   "SELECT payload::text FROM meridian.marker WHERE mig = $1::int"
				   " AND kind = $2",
				   2, params) <= 0)
		return to != NULL && payload == NULL
			   ? err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "the marker is gone")
			   : -1;
	literal = db_literal(to, payload);
	rc = db_execf(
	    to, e,
	    "DELETE FROM meridian.marker WHERE mig = %d AND kind = '%s'; INSERT INTO"
	    " meridian.marker(mig, kind, at, payload) VALUES (%d, '%s', clock_timestamp(), %s)",
	    job_id(j), d->marker, job_id(j), d->marker, literal);
	free(payload);
	free(literal);
	return rc;
}

static int
copy_unlogged(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	PGresult *r = db_query(from, e, SQL_UNLOGGED " ORDER BY 1", 0, NULL);
	int rc = r != NULL ? 0 : -1;

	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		rc = rows_copy_table(j, from, to, PQgetvalue(r, i, 0), e);
	PQclear(r);
	return rc;
}

static int
copy_rest(struct job *j, PGconn *from, PGconn *to, const struct cutover *c, struct err *e)
{
	if (job_option_is(j, "large_objects", "freeze_copy") &&
	    rows_copy_large_objects(j, from, to, e) != 0)
		return -1;
	if (job_option_is(j, "unlogged", "freeze_copy") && copy_unlogged(j, from, to, e) != 0)
		return -1;
	if (job_option_is(j, "matviews", "refresh_before") && rows_refresh_views(j, to, e) != 0)
		return -1;
	return db_execf(to, e,
			"DELETE FROM meridian.marker WHERE mig = %d AND kind = 'rest'; INSERT INTO"
			" meridian.marker(mig, kind, at, payload) VALUES (%d, 'rest',"
			" clock_timestamp(), jsonb_build_object('try', '%" PRId64 "'))",
			job_id(j), job_id(j), c->epoch);
}

/* Materialized views show what is there now: the marker has to be. */
static int
wait_for_marker(struct job *j, PGconn *to, const struct direction *d, const struct cutover *c,
		struct err *e)
{
	struct buf sql = { .cap = 0 };
	int rc;

	buf_printf(&sql,
		   "SELECT EXISTS (SELECT FROM meridian.marker WHERE mig = %d AND kind = '%s'"
		   " AND payload ->> 'try' = '%" PRId64 "')",
		   job_id(j), d->marker, c->epoch);
	rc = move_wait_until(j, to, buf_text(&sql), job_option_usec(j, "catchup_deadline"),
			     "the marker", e);
	buf_fini(&sql);
	return rc;
}

static int
copy_rest_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const struct cutover *c = cutover_of(j);
	struct direction d;
	PGconn *from, *to;
	int rc = -1;

	if (!move_has_rest(j))
		return 0;
	direction_of_step(j, s, &d);
	if (!d.streams && carry_marker(j, &d, e) != 0)
		return -1;
	from = job_db(j, d.from, e);
	to = from != NULL ? job_db_new(j, d.to, NULL, e) : NULL;
	if (to != NULL && wait_for_marker(j, to, &d, c, e) == 0)
		rc = copy_rest(j, from, to, c, e);
	PQfinish(to);
	return rc;
}

/* ---- decide ---- */

static int
decide_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	int64_t catchup = c->fenced_us + job_option_usec(j, "catchup_deadline");
	int64_t budget = c->frozen_us + job_option_usec(j, "pause_budget");
	struct direction d;

	direction_of_step(j, s, &d);
	if (!d.streams && !move_has_rest(j) && carry_marker(j, &d, e) != 0)
		return -1;
	if (c->armed == NULL)
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "nothing is armed");
	/* Until the block has ended, or the pause has lasted long enough. */
	if (move_finish_until(c->armed, catchup < budget ? catchup : budget, e) != 0)
		return -1;
	c->decided_us = clock_us();
	return 0;
}

static int
decide_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	struct direction d;

	direction_of_step(j, s, &d);
	return decision_is_forward(j, &d, is_done, e);
}

static int
decide_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	struct direction d;

	direction_of_step(j, s, &d);
	/* It cannot win any more once it is gone; where it has won, the row says so. */
	if (c->armed != NULL)
		forget(&c->armed);
	return decision_write_back(j, &d, e);
}

/* ---- switch ---- */

static void
tell_pause(struct job *j, const struct cutover *c, int64_t now)
{
	struct buf detail = { .cap = 0 };

	if (c->freezing_us == 0)
		return;
	job_notice(j,
		   "write pause %.0f ms (freeze %.0f, fence %.0f, decision %.0f, switch %.0f),"
		   " %u sessions kept, %u closed, %u aborted",
		   MSEC(c->freezing_us, now), MSEC(c->freezing_us, c->frozen_us),
		   MSEC(c->frozen_us, c->fenced_us), MSEC(c->fenced_us, c->decided_us),
		   MSEC(c->decided_us, now), c->counts.kept, c->counts.closed, c->counts.aborted);
	buf_printf(&detail,
		   "{\"pause_ms\": %.1f, \"freeze_ms\": %.1f, \"fence_ms\": %.1f, \"decision_ms\": "
		   "%.1f, \"switch_ms\": %.1f, \"kept\": %u, \"closed\": %u, \"aborted\": %u}",
		   MSEC(c->freezing_us, now), MSEC(c->freezing_us, c->frozen_us),
		   MSEC(c->frozen_us, c->fenced_us), MSEC(c->fenced_us, c->decided_us),
		   MSEC(c->decided_us, now), c->counts.kept, c->counts.closed, c->counts.aborted);
	job_event(j, "write-pause", buf_text(&detail));
	buf_fini(&detail);
}

static int
switch_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	struct gate_counts counts = { 0 };
	int64_t epoch = c->epoch + 1;
	struct direction d;
	struct gate_move m;
	struct err why;
	PGconn *to;

	direction_of_step(j, s, &d);
	direction_gate(j, &d, &m);
	if (c->epoch == 0) {
		to = job_db(j, d.to, e);
		if (to == NULL || decision_epoch(j, to, &epoch, e) != 0)
			return -1;
	}
	if (fleet_switch(j, &m, epoch, clock_us() + SWITCH_US, &counts, e) != 0)
		return -1;
	c->counts.kept = counts.kept;
	c->counts.closed = counts.closed;
	c->counts.aborted = counts.aborted;
	tell_pause(j, c, clock_us());
	forget(&c->fence);
	forget(&c->armed);
	/* A snapshot of the side that was left: no client writes there until replication comes
	 * back. */
	if (c->frozen_to != NULL)
		c->frozen_from = job_db_new(j, d.from, NULL, &why);
	if (c->frozen_from != NULL &&
	    (db_exec(c->frozen_from, &why, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") !=
		 0 ||
	     db_exec(c->frozen_from, &why, "SELECT 1") != 0))
		forget(&c->frozen_from);
	return 0;
}

/* ---- both directions ---- */

#define PAUSE_STEP(step, text, of_phase, ...) \
	MOVE_STEP(step, text, of_phase, CLASS_R, .in_pause = true, __VA_ARGS__)
#define DECIDE_STEP(step, text, of_phase)                                                \
	MOVE_STEP(step, text, of_phase, CLASS_I, .once_decided = true, .in_pause = true, \
		  .done = decide_done, .act = decide_act, .undo = decide_undo)

MOVE_STEP(move_prewarm, "prewarm", PHASE_FINALIZE, CLASS_R, .each_time = true, .act = prewarm_act);
PAUSE_STEP(move_arm, "arm", PHASE_FINALIZE, .act = arm_act, .undo = arm_undo);
PAUSE_STEP(move_freeze, "freeze", PHASE_FINALIZE, .act = freeze_act, .undo = freeze_undo);
PAUSE_STEP(move_fence, "fence", PHASE_FINALIZE, .act = fence_act, .undo = fence_undo);
PAUSE_STEP(move_copy_rest, "copy_rest", PHASE_FINALIZE, .act = copy_rest_act);
DECIDE_STEP(move_decide, "decide", PHASE_FINALIZE);
PAUSE_STEP(move_switch, "switch", PHASE_FINALIZE, .act = switch_act);

MOVE_STEP(move_reverse_prewarm, "reverse_prewarm", PHASE_REVERSE, CLASS_R, .each_time = true,
	  .act = prewarm_act);
PAUSE_STEP(move_reverse_arm, "reverse_arm", PHASE_REVERSE, .act = arm_act, .undo = arm_undo);
PAUSE_STEP(move_reverse_freeze, "reverse_freeze", PHASE_REVERSE, .act = freeze_act,
	   .undo = freeze_undo);
PAUSE_STEP(move_reverse_fence, "reverse_fence", PHASE_REVERSE, .act = fence_act,
	   .undo = fence_undo);
DECIDE_STEP(move_reverse_decide, "reverse_decide", PHASE_REVERSE);
PAUSE_STEP(move_reverse_switch, "reverse_switch", PHASE_REVERSE, .act = switch_act);
