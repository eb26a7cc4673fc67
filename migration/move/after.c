/* SPDX-License-Identifier: PostgreSQL
 *
 * Behind the switch, and at the very end: replication is turned round, the side that was left says
 * where the database is, and COMPLETE drops what is not needed any more.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "migration/db.h"
#include "migration/move/cutover.h"

/* ---- hand_over: the rows of the migration live where the database lives ---- */

static int
hand_over_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;

	direction_of_step(j, s, &d);
	return job_set_home(j, d.to, e);
}

MOVE_STEP(move_hand_over, "hand_over", PHASE_FINALIZE, CLASS_R, .act = hand_over_act);
MOVE_STEP(move_reverse_hand_over, "reverse_hand_over", PHASE_REVERSE, CLASS_R,
	  .act = hand_over_act);

/* ---- stop_forward, stop_backward ---- */

static int
stop_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	struct direction d;
	PGconn *c;
	const char *params[1];

	direction_of_step(j, s, &d);
	params[0] = d.subscription;
	c = job_db(j, d.to, e);
	if (c == NULL)
		return -1;
	return db_is(c, is_done, e,
		     "SELECT NOT EXISTS (SELECT FROM pg_subscription s WHERE s.subname = $1 AND "
		     "s.subenabled) AND NOT EXISTS (SELECT FROM pg_stat_subscription WHERE subname "
		     "= $1 AND pid IS NOT NULL)",
		     1, params);
}

static int
stop_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;
	PGconn *c;

	direction_of_step(j, s, &d);
	c = job_db(j, d.to, e);
	/* The worker notices by itself within a second or so; ended, it notices at once. */
	if (c == NULL || job_runf(j, c, e, "ALTER SUBSCRIPTION %s DISABLE", d.subscription) != 0 ||
	    job_runf(j, c, e,
		     "SELECT pg_terminate_backend(pid) FROM pg_stat_subscription WHERE subname = "
		     "'%s' AND pid IS NOT NULL",
		     d.subscription) != 0)
		return -1;
	return move_wait_for_worker(j, c, d.subscription, false, e);
}

MOVE_STEP(move_stop_forward, "stop_forward", PHASE_FINALIZE, CLASS_I, .done = stop_done,
	  .act = stop_act);
MOVE_STEP(move_stop_backward, "stop_backward", PHASE_REVERSE, CLASS_I, .done = stop_done,
	  .act = stop_act);

/* ---- reverse_subscription ---- */

/* Its slot was made with the decision, in front of the first change over there. */
static int
reverse_subscription_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct move_names names = move_names(j);

	if (!move_has_way_back(j))
		return 0;
	return c != NULL ? move_subscribe(j, c, MOVE_TARGET, names.backward, false, e) : -1;
}

MOVE_STEP(move_reverse_subscription, "reverse_subscription", PHASE_FINALIZE, CLASS_T,
	  .act = reverse_subscription_act);

/* ---- reopen_source, reopen_target: the side that was left says where to go ---- */

static int
reopen_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction d;
	PGconn *from, *to;
	char *db, *serves, *newdb;
	int64_t epoch;
	int rc;

	direction_of_step(j, s, &d);
	to = job_db(j, d.to, e);
	from = to != NULL ? job_db(j, d.from, e) : NULL;
	if (from == NULL || decision_epoch(j, to, &epoch, e) != 0)
		return -1;
	db = db_literal(from, job_database(j));
	serves = db_literal(from, d.to_name);
	newdb = db_literal(from, job_dbname(j, d.to));
	rc = db_execf(
	    from, e,
	    "UPDATE meridian.authority SET decision = 'away', writable = false, epoch = %" PRId64
	    ", serves = %s, newdb = %s WHERE db = %s AND epoch <= %" PRId64,
	    epoch, serves, newdb, db, epoch);
	free(db);
	free(serves);
	free(newdb);
	return rc;
}

MOVE_STEP(move_reopen_source, "reopen_source", PHASE_FINALIZE, CLASS_R, .act = reopen_act);
MOVE_STEP(move_reopen_target, "reopen_target", PHASE_REVERSE, CLASS_R, .act = reopen_act);

/* ---- refresh_views ---- */

static int
refresh_views_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c;

	if (!job_option_is(j, "matviews", "refresh_after"))
		return 0;
	c = job_db(j, s->place, e);
	return c != NULL ? rows_refresh_views(j, c, e) : -1;
}

MOVE_STEP(move_refresh_views, "refresh_views", PHASE_FINALIZE, CLASS_R, .act = refresh_views_act);

/* ---- COMPLETE ---- */

/* The side that does not serve may be gone; nothing there is worth waiting for. */
static int
drop_replication_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct move_names names = move_names(j);
	struct err why = { 0 };
	PGconn *source, *target;

	(void)s;
	source = job_db(j, MOVE_SOURCE, &why);
	if (source == NULL && !job_is_forced(j, "source")) {
		*e = why;
		return err_hint(e, "FORCE (source) goes on without it.");
	}
	target = job_db(j, MOVE_TARGET, e);
	if (target == NULL)
		return -1;
	if (source != NULL && move_drop_subscription(j, source, names.backward, e) != 0)
		return -1;
	if (move_drop_subscription(j, target, names.forward, e) != 0 ||
	    move_drop_slots(j, target, names.backward, e) != 0 ||
	    db_execf(target, e, "DROP PUBLICATION IF EXISTS %s", names.publication) != 0)
		return -1;
	if (source == NULL)
		return 0;
	if (move_drop_slots(j, source, names.forward, e) != 0)
		return -1;
	return db_execf(source, e, "DROP PUBLICATION IF EXISTS %s", names.publication);
}

MOVE_STEP(move_drop_replication, "drop_replication", PHASE_COMPLETE, CLASS_R,
	  .act = drop_replication_act);

/* The side that serves: no fence, no function of ours, identities as they were. The row in
 * meridian.authority stays: it says where the database is. The other side stays fenced until the
 * operator drops it. */
static int
drop_leftovers_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct direction back;
	bool is_back = false;
	PGconn *c;

	(void)s;
	direction_of(j, true, &back);
	if (decision_is_forward(j, &back, &is_back, e) != 0)
		return -1;
	c = job_db(j, is_back ? MOVE_SOURCE : MOVE_TARGET, e);
	if (c == NULL || db_exec(c, e,
				 "DROP EVENT TRIGGER IF EXISTS meridian_ddl;"
				 " DROP EVENT TRIGGER IF EXISTS meridian_drop;"
				 " DROP TABLE IF EXISTS meridian.ddl_log") != 0)
		return -1;
	if (move_restore_identity(j, c, e) != 0 || move_drop_fences(j, c, e) != 0)
		return -1;
	return db_execf(c, e,
			"DROP FUNCTION IF EXISTS meridian.fence(); DROP FUNCTION IF EXISTS "
			"meridian.ddl_block(); DELETE FROM meridian.marker WHERE mig = %d",
			job_id(j));
}

MOVE_STEP(move_drop_leftovers, "drop_leftovers", PHASE_COMPLETE, CLASS_R,
	  .act = drop_leftovers_act);
