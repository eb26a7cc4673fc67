/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/executor_int.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/migrations_int.h"
#include "migration/transitions.h"

#define SAY_TRIES 30

static const char *const whats[] = {
	[RUN_PHASE] = "phase",       [RUN_ALL] = "all",         [RUN_NEXT] = "next",
	[RUN_STEP] = "step",         [RUN_ABORT] = "abort",     [RUN_REVERSE] = "reverse",
	[RUN_COMPLETE] = "complete", [RUN_RECOVER] = "recover", [RUN_AGAIN] = "again",
};

/* ---- what was ordered, as the row keeps it ---- */

char *
executor_order_text(const struct executor *x)
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

/* ---- saying how it ended ---- */

void
executor_tell_starter(struct executor *x, const struct err *why)
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

/* A state that must get into the row, tried for a while: the database may just be restarting. */
static void
say(struct job *j, enum migration_state s)
{
	struct timespec second = { .tv_sec = 1 };
	struct err e;

	for (int i = 0; i < SAY_TRIES && !migrations_are_over(j->ms); i++) {
		if (job_enter(j, s, &e) == 0)
			return;
		if (strcmp(e.sqlstate, LEASE_LOST) == 0)
			break;
		nanosleep(&second, NULL);
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
	say(j, STATE_ERROR);
}

/* Why it ended before its end. Abort is done by the caller. */
static bool
wants_abort(struct job *j, const struct err *why)
{
	struct executor *x = j->x;
	struct err ignored;

	/* An ABORT that came while it failed. */
	if (x->stop == STOP_NO && job_tick(j, &ignored) < 0 && x->stop != STOP_ABORT)
		x->stop = STOP_NO;
	switch (x->stop) {
	case STOP_LOST:
		log_msg(LOG_LEVEL_WARNING, "migration %d: %s; this executor ends", j->m.id,
			why->msg);
		return false;
	case STOP_SHUTDOWN:
		return false;
	case STOP_PAUSE:
		say(j, STATE_PAUSED);
		return false;
	case STOP_ABORT:
		return true;
	case STOP_NO:
	case STOP_DEADLINE:
		break;
	}
	if (strcmp(why->sqlstate, LEASE_LOST) == 0 && x->beat.is_lost) {
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
		x->seen = 0;
		if (job_claim_places(x->j, e) == 0)
			return 0;
		if (x->seen <= x->lease.token)
			return -1;
		x->lease.token = x->seen;
	}
	return -1;
}

static int
only_a_copy(const struct job *j, struct err *e)
{
	err_set(e, "08006", "the home of migration %d cannot be reached", j->m.id);
	err_detail(e, "What %s has of it is a copy, as of state %s.", j->places[j->home].node.name,
		   migration_state_name(j->m.state));
	return err_hint(e, "Mend the node; where it is gone for good, ABORT … FORCE goes on from "
			   "the copy.");
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
	if (!m.is_home && !j->x->is_forced)
		return only_a_copy(j, e);
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
	j->m.run = executor_order_text(j->x);
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
	x->beat.c = c;
	atomic_store(&x->beat.pid, PQbackendPID(c));
	if (take_lease(x, c, e) < 0 || reload(j, e) < 0)
		return -1;
	if (x->what == RUN_AGAIN && !order_read(x, j->m.run))
		return err_set(e, "55000", "nothing was begun that could go on");
	if (beat_start(x, c, e) < 0 || steps_load(j, e) < 0)
		return -1;
	if (x->what != RUN_ABORT && steps_freeze(j, e) < 0)
		return -1;
	return 0;
}

/* Forward what was decided, and an abort; the rest waits for somebody to say what to do. */
static int
recover(struct job *j, bool is_decided, struct err *e)
{
	if (!is_decided && steps_decided(j, &is_decided, e) < 0)
		return -1;
	if ((is_decided || j->m.state == STATE_ABORTING || j->m.state == STATE_REVERSING) &&
	    order_read(j->x, j->m.run))
		return 0;
	err_set(e, SQLSTATE_CUTOVER_DEADLINE, "the executor died before the decision");
	return err_detail(e, "What it had frozen and fenced is open again.");
}

/* FORCE of ABORT: who could say whether it is decided is gone for good. */
static bool
goes_on_unasked(struct job *j, const struct err *why)
{
	if (j->x->what != RUN_ABORT || !j->x->is_forced || strncmp(why->sqlstate, "08", 2) != 0)
		return false;
	job_notice(j, "whether it was decided cannot be asked, and was not waited for (FORCE): %s",
		   why->msg);
	return true;
}

/* What a dead executor left between freeze and decision is mended first, whatever was ordered. An
 * ABORT that comes too late is refused, and what it wanted to abort goes on by itself: 1 where
 * there is nothing to go on with. */
static int
mend(struct job *j, struct err *e)
{
	struct executor *x = j->x;
	bool is_decided = false;

	if (group_recover(j, &is_decided, e) < 0)
		return !is_decided && goes_on_unasked(j, e) ? 0 : -1;
	if (x->what == RUN_RECOVER)
		return recover(j, is_decided, e);
	if (x->what != RUN_ABORT)
		return 0;
	if (!is_decided && steps_decided(j, &is_decided, e) < 0)
		return goes_on_unasked(j, e) ? 0 : -1;
	if (!is_decided)
		return 0;
	executor_refuse_abort(j, e);
	executor_tell_starter(x, e);
	return transition_is_running(j->m.state) && order_read(x, j->m.run) && x->what != RUN_ABORT
		   ? 0
		   : 1;
}

/* It did not come to its end: say why, or turn round. */
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
		(void)executor_forget_request(j, &ignored);
		rc = executor_refuse_abort(j, e);
	} else if (rc == 0) {
		rc = executor_abort(j, e);
	}
	if (rc < 0 && x->stop == STOP_NO)
		end_in_error(j, e);
}

static bool
is_refused(struct executor *x)
{
	bool yes;

	pthread_mutex_lock(&x->lock);
	yes = x->started == EXECUTOR_STARTS;
	pthread_mutex_unlock(&x->lock);
	return yes;
}

static void
work(struct executor *x)
{
	struct job *j = x->j;
	struct err e = { .msg = "" };
	int rc = mend(j, &e);
	bool was_running = transition_is_running(j->m.state);

	if (rc == 0)
		rc = note_start(j, &e);
	if (rc == 0)
		rc = executor_run(j, &e);
	if (rc >= 0) {
		executor_tell_starter(x, NULL);
		return;
	}
	/* Refused before anything was done: the command says so, the state stays. */
	if (is_refused(x) && !was_running) {
		executor_tell_starter(x, &e);
		return;
	}
	executor_tell_starter(x, &e);
	end_early(x, &e);
}

static void
leave(struct executor *x)
{
	struct err e;
	PGconn *home = x->stop == STOP_LOST ? NULL : job_home(x->j, &e);

	beat_stop(&x->beat);
	if (home != NULL && x->lease.token > 0) {
		beat_drain(x, home);
		if (x->beat.c != NULL)
			lease_drop(x->beat.c, &x->lease);
		else
			lease_drop(home, &x->lease);
	}
	PQfinish(x->beat.c);
	x->beat.c = NULL;
}

void *
executor_main(void *arg)
{
	struct executor *x = arg;
	struct err e = { .msg = "" };

	if (prepare(x, &e) < 0)
		executor_tell_starter(x, &e);
	else
		work(x);
	leave(x);
	job_close(x->j);
	x->j = NULL;
	atomic_store(&x->is_over, true);
	return NULL;
}
