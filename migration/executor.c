/* SPDX-License-Identifier: PostgreSQL
 *
 * The executor: the thread that runs a migration. It takes the lease, recovers what a dead executor
 * left between freeze and decision, runs the phases and their guards step by step (or undoes the
 * steps, for ABORT), and writes how it ended. Functions return 0, or -1 and *e.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/migrations_int.h"
#include "migration/transitions.h"

#define STATE_TRIES 30

static const char *const whats[] = {
	[RUN_PHASE] = "phase",       [RUN_ALL] = "all",         [RUN_NEXT] = "next",
	[RUN_STEP] = "step",         [RUN_ABORT] = "abort",     [RUN_REVERSE] = "reverse",
	[RUN_COMPLETE] = "complete", [RUN_RECOVER] = "recover", [RUN_AGAIN] = "again",
};

/* ---- what was ordered, as the row keeps it ---- */

static char *
order_text(const struct executor *x)
{
	return json_text(json_pack("{ss,ss,si,ss,sb,ss}", "what", whats[x->what], "phase",
				   migration_phase_name(x->phase), "step", x->step, "force",
				   x->force != NULL ? x->force : "", "is_forced", x->is_forced,
				   "by", x->actor));
}

static bool
order_read(struct executor *x, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const char *what = json_string_value(json_object_get(o, "what"));
	const char *phase = json_string_value(json_object_get(o, "phase"));
	const char *force = json_string_value(json_object_get(o, "force"));
	bool is_known = false;

	for (int w = 0; what != NULL && w < RUN_RECOVER; w++)
		if (strcmp(what, whats[w]) == 0) {
			x->what = (enum run_what)w;
			is_known = true;
		}
	if (phase != NULL && migration_phase_of(phase) >= 0)
		x->phase = (enum migration_phase)migration_phase_of(phase);
	x->step = (int)json_integer_value(json_object_get(o, "step"));
	x->is_forced = json_is_true(json_object_get(o, "is_forced"));
	if (x->force == NULL && force != NULL && *force != '\0')
		x->force = xstrdup(force);
	json_decref(o);
	return is_known;
}

/* Tell the command that started it that it runs (`why` NULL), or why it does not; the first call
 * counts. */
static void
report_start(struct executor *x, const struct err *why)
{
	pthread_mutex_lock(&x->lock);
	if (x->started == EXECUTOR_STARTS) {
		x->started = why != NULL ? EXECUTOR_FAILED : EXECUTOR_RUNS;
		if (why != NULL)
			x->why = *why;
		pthread_cond_broadcast(&x->cond);
	}
	pthread_mutex_unlock(&x->lock);
}

/* ---- the plan, looked at ---- */

static bool
has_steps(const struct plan *p, enum migration_phase phase)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].def->phase == phase)
			return true;
	return false;
}

static bool
is_decided_by_rows(const struct job *j)
{
	for (size_t i = 0; i < j->plan.n; i++)
		if (j->plan.v[i].def->once_decided && j->plan.v[i].def->phase == PHASE_FINALIZE &&
		    step_is_done(&j->plan.v[i]))
			return true;
	return false;
}

/* ---- guards ---- */

static int
check_guards(struct job *j, enum migration_phase phase, struct err *e)
{
	struct checks found;
	struct buf b = { 0 };
	size_t n = 0;
	PGconn *home;
	char *json;
	int rc;

	if (!is_decided_by_rows(j) && job_may_begin(j, phase, e) < 0)
		return -1;
	for (size_t i = 0; i < j->plan.n; i++)
		if (j->plan.v[i].def->phase == phase && j->plan.v[i].state != STEP_PENDING)
			return 0;
	if (job_checks(j, phase, &found, e) < 0)
		return -1;
	json = checks_json(&found);
	home = job_home(j, e);
	rc = home != NULL ? store_set_checks(home, j->m.uuid, json, e) : -1;
	free(json);
	for (size_t i = 0; rc == 0 && i < found.n; i++) {
		const struct check *c = &found.v[i];

		if (c->severity != CHECK_ERROR || job_is_forced(j, c->check))
			continue;
		buf_printf(&b, "%s%s%s%s: %s", n++ > 0 ? "\n" : "", c->check,
			   *c->object != '\0' ? " " : "", c->object, c->detail);
	}
	if (n > 0) {
		rc = err_set(e, SQLSTATE_GUARD_FAILED, "%zu check%s stand%s in the way", n,
			     n > 1 ? "s" : "", n > 1 ? "" : "s");
		err_detail(e, "%s", buf_text(&b));
		err_hint(e,
			 "SHOW MIGRATION %d CHECKS; says how to mend them, FORCE (check, …) goes "
			 "past.",
			 j->m.id);
	}
	buf_fini(&b);
	checks_fini(&found);
	return rc;
}

/* ---- running ---- */

/* 0, -1 and *e, or 1: as far as was ordered (NEXT, STEP). */
static int
run_steps(struct job *j, enum migration_phase phase, struct err *e)
{
	struct executor *x = j->x;

	for (size_t i = 0; i < j->plan.n; i++) {
		struct migration_step *s = &j->plan.v[i];
		bool again = step_is_done(s);
		size_t end = i + 1;
		int rc;

		if (s->def->phase != phase || (again && !group_repeats(&j->plan, i)))
			continue;
		if (x->what == RUN_STEP && s->n > x->step)
			return 1;
		if (job_check_stop(j, e) < 0)
			return -1;
		if (s->def->in_pause) {
			end = group_end(&j->plan, i);
			rc = group_run(j, i, end, e);
		} else {
			rc = step_run(j, s, e);
		}
		if (rc < 0)
			return -1;
		i = end - 1;
		if (x->what == RUN_NEXT && !again)
			return 1;
	}
	return 0;
}

static enum migration_state
running_state(const struct job *j, enum migration_phase phase)
{
	if (phase == PHASE_FINALIZE && is_decided_by_rows(j))
		return STATE_SWITCHED;
	return transition_running(phase);
}

static int
end_phase(struct job *j, enum migration_phase phase, struct err *e)
{
	enum migration_state from = running_state(j, phase);
	enum migration_event ev = EVENT_ALL_DONE;
	int to;

	for (int later = (int)phase + 1; later < MIGRATION_NPHASES; later++)
		if (has_steps(&j->plan, (enum migration_phase)later))
			ev = EVENT_PHASE_DONE;
	to = transition(from, ev, phase);
	if (to < 0)
		to = transition(from, EVENT_PHASE_DONE, phase);
	if (to < 0)
		return err_set(e, "XX000", "state %s has no end", migration_state_name(from));
	job_progress(j, 100, "%s", "");
	return job_enter(j, (enum migration_state)to, e);
}

static int
run_phase(struct job *j, enum migration_phase phase, struct err *e)
{
	int rc;

	j->m.phase = (int)phase;
	j->m.progress = -1;
	if (job_enter(j, running_state(j, phase), e) < 0)
		return -1;
	report_start(j->x, NULL);
	rc = run_steps(j, phase, e);
	if (rc < 0 || (rc > 0 && !plan_is_done(&j->plan, phase)))
		return rc;
	return end_phase(j, phase, e) < 0 ? -1 : rc;
}

/* RUN ALL, NEXT and STEP: the phases one after another, those without steps left out. */
static int
run_forward(struct job *j, struct err *e)
{
	int rc = 0;

	for (int p = PHASE_PREPARE; p <= PHASE_FINALIZE && rc == 0; p++) {
		enum migration_phase phase = (enum migration_phase)p;

		if (!has_steps(&j->plan, phase))
			continue;
		if (plan_is_done(&j->plan, phase)) {
			/* the last one died behind its last step */
			if (j->m.state == running_state(j, phase))
				rc = end_phase(j, phase, e);
			continue;
		}
		rc = check_guards(j, phase, e);
		if (rc == 0)
			rc = run_phase(j, phase, e);
	}
	if (rc > 0 && !transition_is_over(j->m.state) && transition_is_running(j->m.state))
		return job_enter(j, STATE_PAUSED, e);
	return rc < 0 ? -1 : 0;
}

static int
run_one(struct job *j, enum migration_phase phase, struct err *e)
{
	if (check_guards(j, phase, e) < 0)
		return -1;
	return run_phase(j, phase, e) < 0 ? -1 : 0;
}

/* ---- ABORT ---- */

static int
refuse_abort(struct job *j, struct err *e)
{
	err_set(e, "55000", "migration %d is decided: it cannot be aborted", j->m.id);
	return err_hint(e, "REVERSE MIGRATION %d; is the way back.", j->m.id);
}

static int
undo_all(struct job *j, struct err *e)
{
	for (size_t i = j->plan.n; i-- > 0;) {
		struct migration_step *s = &j->plan.v[i];

		if (s->state != STEP_RUNNING && s->state != STEP_APPLIED && s->state != STEP_FAILED)
			continue;
		/* A step that failed before its first attempt, because its `done` could not be
		 * read, has done nothing. */
		if (s->state == STEP_FAILED && s->attempt == 0)
			continue;
		if (job_check_stop(j, e) < 0)
			return -1;
		if (step_undo(j, s, e) == 0)
			continue;
		if (!j->x->is_forced || j->x->stop != STOP_NO ||
		    strcmp(e->sqlstate, SQLSTATE_DECIDED) == 0)
			return err_prefix(e, "undo of step %d %s", s->n, s->def->name);
		job_notice(j, "undo of step %d %s failed and was left out (FORCE): %s", s->n,
			   s->def->name, e->msg);
	}
	return 0;
}

/* The request in the row has been obeyed. */
static int
clear_request(struct job *j, struct err *e)
{
	PGconn *home = job_home(j, e);

	return home != NULL ? store_set_request(home, j->m.uuid, "", e) : -1;
}

static int
run_abort(struct job *j, struct err *e)
{
	struct err ignored;
	char *order;

	j->x->what = RUN_ABORT;
	j->x->stop = STOP_NO;
	j->x->is_forced = j->x->is_forced || atomic_load(&j->x->force_abort);
	if (j->kind->may_abort != NULL && j->kind->may_abort(j, j->x->is_forced, e) < 0) {
		(void)clear_request(j, &ignored);
		return -1;
	}
	order = order_text(j->x);
	free(j->m.run);
	j->m.run = order;
	if (job_enter(j, STATE_ABORTING, e) < 0 || clear_request(j, e) < 0)
		return -1;
	report_start(j->x, NULL);
	if (undo_all(j, e) < 0)
		return -1;
	free(j->m.error);
	j->m.error = xstrdup("");
	return job_enter(j, STATE_ABORTED, e);
}

/* A REVERSE that failed before it was decided may be given up, with the way back. */
static int
run_complete(struct job *j, struct err *e)
{
	bool is_decided = false;

	for (size_t i = 0; i < j->plan.n; i++)
		if (j->plan.v[i].def->phase == PHASE_REVERSE && j->plan.v[i].def->once_decided)
			is_decided = step_is_done(&j->plan.v[i]);
	if (!is_decided || plan_is_done(&j->plan, PHASE_REVERSE))
		return run_one(j, PHASE_COMPLETE, e);
	err_set(e, "55000", "the way back of migration %d is decided, and not at its end", j->m.id);
	return err_hint(e, "RETRY MIGRATION %d; goes on.", j->m.id);
}

static int
run_order(struct job *j, struct err *e)
{
	switch (j->x->what) {
	case RUN_PHASE:
		return run_one(j, j->x->phase, e);
	case RUN_ALL:
	case RUN_NEXT:
	case RUN_STEP:
		return run_forward(j, e);
	case RUN_ABORT:
		return run_abort(j, e);
	case RUN_REVERSE:
		return run_one(j, PHASE_REVERSE, e);
	case RUN_COMPLETE:
		return run_complete(j, e);
	case RUN_RECOVER:
	case RUN_AGAIN:
		break;
	}
	return err_set(e, "55000", "nothing was begun that could go on");
}

/* ---- how it ended ---- */

/* A state that must get into the row: the database may just be restarting. */
static void
write_state(struct job *j, enum migration_state s)
{
	struct err e;

	for (int i = 0; i < STATE_TRIES && !migrations_are_over(j->ms); i++) {
		if (job_enter(j, s, &e) == 0)
			return;
		if (strcmp(e.sqlstate, LEASE_LOST) == 0)
			break;
		clock_sleep(USEC_PER_SEC);
	}
	log_msg(LOG_LEVEL_WARNING, "migration %d: state %s cannot be written: %s", j->m.id,
		migration_state_name(s), e.msg);
}

static void
end_in_error(struct job *j, const struct err *why)
{
	free(j->m.error);
	j->m.error = xasprintf("%s: %s%s%s", why->sqlstate, why->msg,
			       *why->detail != '\0' ? "\n" : "", why->detail);
	log_msg(LOG_LEVEL_WARNING, "migration %d: %s", j->m.id, why->msg);
	write_state(j, STATE_ERROR);
}

/* Write why the order was not carried out to its end; true: the caller is to abort. */
static bool
wants_abort(struct job *j, const struct err *why)
{
	struct executor *x = j->x;
	struct err ignored;

	/* An ABORT that came while it failed. */
	if (x->stop == STOP_NO && job_check_stop(j, &ignored) < 0 && x->stop != STOP_ABORT)
		x->stop = STOP_NO;
	switch (x->stop) {
	case STOP_LOST:
		log_msg(LOG_LEVEL_WARNING, "migration %d: %s; this executor ends", j->m.id,
			why->msg);
		return false;
	case STOP_SHUTDOWN:
		return false;
	case STOP_PAUSE:
		write_state(j, STATE_PAUSED);
		return false;
	case STOP_ABORT:
		return true;
	case STOP_NO:
	case STOP_DEADLINE:
		break;
	}
	if (strcmp(why->sqlstate, LEASE_LOST) == 0 && x->heartbeat.is_lost) {
		x->stop = STOP_LOST;
		return false;
	}
	end_in_error(j, why);
	return false;
}

/* ---- the thread ---- */

/* The lease of the home, and of every other place; a place may know a higher token. */
static int
take_lease(struct executor *x, PGconn *c, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		if (lease_take(c, &x->lease, e) < 0)
			return -1;
		x->higher_token = 0;
		if (job_claim_places(x->j, e) == 0)
			return 0;
		if (x->higher_token <= x->lease.token)
			return -1;
		x->lease.token = x->higher_token;
	}
	return -1;
}

/* The row as it is now, which may be newer than what the command saw. */
static int
reload(struct job *j, struct err *e)
{
	PGconn *home = job_home(j, e);
	struct migration m;
	int rc;

	if (home == NULL)
		return -1;
	rc = store_load(home, j->m.uuid, &m, e);
	if (rc <= 0)
		return rc < 0 ? -1 : err_set(e, "42704", "migration %d is gone", j->m.id);
	migration_fini(&j->m);
	j->m = m;
	job_load_options(j, j->m.options);
	if (!m.is_home && !j->x->is_forced) {
		err_set(e, "08006", "the home of migration %d cannot be reached", j->m.id);
		err_detail(e, "What %s has of it is a copy, as of state %s.",
			   j->places[j->home].node.name, migration_state_name(j->m.state));
		return err_hint(
		    e, "Mend the node; where it is gone for good, ABORT … FORCE goes on from "
		       "the copy.");
	}
	j->m.is_home = true;
	return store_set_request(home, j->m.uuid, "", e);
}

static int
note_start(struct job *j, struct err *e)
{
	char *detail;
	struct store_change ch = { .row = true, .event = JOURNAL_EXECUTOR };
	int rc;

	free(j->m.run);
	j->m.run = order_text(j->x);
	free(j->m.error);
	j->m.error = xstrdup("");
	detail = json_text(json_pack("{ss,sI,ss,ss}", "owner", j->x->lease.owner, "token",
				     (json_int_t)j->x->lease.token, "event", "starts", "what",
				     whats[j->x->what]));
	ch.detail = detail;
	rc = job_write(j, &ch, e);
	free(detail);
	return rc;
}

static int
prepare(struct executor *x, struct err *e)
{
	struct job *j = x->j;
	struct place *home = &j->places[j->home];
	char *words = j->site->ops->conninfo(j->site->arg, &home->node, home->dbname);
	PGconn *c = db_connect(words, j->m.id, e);

	free(words);
	if (c == NULL)
		return -1;
	x->heartbeat.c = c;
	atomic_store(&x->heartbeat.pid, PQbackendPID(c));
	if (take_lease(x, c, e) < 0 || reload(j, e) < 0)
		return -1;
	if (x->what == RUN_AGAIN && !order_read(x, j->m.run))
		return err_set(e, "55000", "nothing was begun that could go on");
	if (heartbeat_start(x, c, e) < 0 || steps_load(j, e) < 0)
		return -1;
	if (x->what != RUN_ABORT && steps_freeze(j, e) < 0)
		return -1;
	return 0;
}

/* What was decided goes forward, an ABORT goes on; everything else waits for the operator. */
static int
take_up_order(struct job *j, bool is_decided, struct err *e)
{
	if (!is_decided && steps_decided(j, &is_decided, e) < 0)
		return -1;
	if ((is_decided || j->m.state == STATE_ABORTING || j->m.state == STATE_REVERSING) &&
	    order_read(j->x, j->m.run))
		return 0;
	err_set(e, SQLSTATE_CUTOVER_DEADLINE, "the executor died before the decision");
	return err_detail(e, "What it had frozen and fenced is open again.");
}

/* ABORT … FORCE goes on where the database that would say whether it is decided is gone for good.
 */
static bool
is_forced_past(struct job *j, const struct err *why)
{
	if (j->x->what != RUN_ABORT || !j->x->is_forced || strncmp(why->sqlstate, "08", 2) != 0)
		return false;
	job_notice(j, "whether it was decided cannot be asked, and was not waited for (FORCE): %s",
		   why->msg);
	return true;
}

/* What a dead executor left between freeze and decision is recovered first, whatever was ordered.
 * An ABORT that comes too late is refused, and the migration goes on: 1 where there is nothing to
 * go on with. */
static int
recover_dead(struct job *j, struct err *e)
{
	struct executor *x = j->x;
	bool is_decided = false;

	if (group_recover(j, &is_decided, e) < 0)
		return !is_decided && is_forced_past(j, e) ? 0 : -1;
	if (x->what == RUN_RECOVER)
		return take_up_order(j, is_decided, e);
	if (x->what != RUN_ABORT)
		return 0;
	if (!is_decided && steps_decided(j, &is_decided, e) < 0)
		return is_forced_past(j, e) ? 0 : -1;
	if (!is_decided)
		return 0;
	refuse_abort(j, e);
	report_start(x, e);
	return transition_is_running(j->m.state) && order_read(x, j->m.run) && x->what != RUN_ABORT
		   ? 0
		   : 1;
}

/* The order was not carried out to its end: write why, or abort. */
static void
end_early(struct executor *x, struct err *e)
{
	struct job *j = x->j;
	bool is_decided = true;
	struct err ignored;
	int rc;

	if (!wants_abort(j, e))
		return;
	rc = steps_decided(j, &is_decided, e);
	if (rc == 0 && is_decided) {
		(void)clear_request(j, &ignored);
		rc = refuse_abort(j, e);
	} else if (rc == 0) {
		rc = run_abort(j, e);
	}
	if (rc < 0 && x->stop == STOP_NO)
		end_in_error(j, e);
}

static void
run_executor(struct executor *x)
{
	struct job *j = x->j;
	struct err e = { .msg = "" };
	int rc = recover_dead(j, &e);
	bool was_running = transition_is_running(j->m.state), refused;

	if (rc == 0)
		rc = note_start(j, &e);
	if (rc == 0)
		rc = run_order(j, &e);
	if (rc >= 0) {
		report_start(x, NULL);
		return;
	}
	/* Refused before anything was done: the command says so, the state stays. (`started` is
	 * changed on this thread only.) */
	refused = x->started == EXECUTOR_STARTS && !was_running;
	report_start(x, &e);
	if (!refused)
		end_early(x, &e);
}

void *
executor_main(void *arg)
{
	struct executor *x = arg;
	struct err e = { .msg = "" };
	PGconn *home;

	if (prepare(x, &e) < 0)
		report_start(x, &e);
	else
		run_executor(x);
	home = x->stop == STOP_LOST ? NULL : job_home(x->j, &e);
	heartbeat_stop(&x->heartbeat);
	if (home != NULL && x->lease.token > 0) {
		heartbeat_write_events(x, home);
		lease_drop(x->heartbeat.c != NULL ? x->heartbeat.c : home, &x->lease);
	}
	PQfinish(x->heartbeat.c);
	x->heartbeat.c = NULL;
	job_close(x->j);
	x->j = NULL;
	atomic_store(&x->is_over, true);
	return NULL;
}
