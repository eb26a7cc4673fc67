/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/executor_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/job_int.h"
#include "migration/transitions.h"

#define LAST_FORWARD PHASE_FINALIZE

/* ---- the plan, looked at ---- */

static bool
is_finished(const struct migration_step *s)
{
	return s->state == STEP_APPLIED || s->state == STEP_SKIPPED;
}

static bool
has_steps(const struct plan *p, enum migration_phase phase)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].def->phase == phase)
			return true;
	return false;
}

static bool
is_phase_finished(const struct plan *p, enum migration_phase phase)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].def->phase == phase && !is_finished(&p->v[i]))
			return false;
	return true;
}

static bool
is_phase_begun(const struct plan *p, enum migration_phase phase)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].def->phase == phase && p->v[i].state != STEP_PENDING)
			return true;
	return false;
}

static bool
is_last_phase(const struct plan *p, enum migration_phase phase)
{
	for (int q = (int)phase + 1; q < MIGRATION_NPHASES; q++)
		if (has_steps(p, (enum migration_phase)q))
			return false;
	return true;
}

static bool
is_decided_by_rows(const struct job *j)
{
	for (size_t i = 0; i < j->plan.n; i++)
		if (j->plan.v[i].def->once_decided && j->plan.v[i].def->phase == PHASE_FINALIZE &&
		    is_finished(&j->plan.v[i]))
			return true;
	return false;
}

/* ---- guards ---- */

static bool
stands_in_the_way(const struct job *j, const struct check *c)
{
	return c->severity == CHECK_ERROR && !job_is_forced(j, c->check);
}

static int
refuse(struct job *j, const struct checks *found, struct err *e)
{
	struct buf b = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < found->n; i++) {
		const struct check *c = &found->v[i];

		if (!stands_in_the_way(j, c))
			continue;
		buf_printf(&b, "%s%s", n++ > 0 ? "\n" : "", c->check);
		if (*c->object != '\0')
			buf_printf(&b, " %s", c->object);
		buf_printf(&b, ": %s", c->detail);
	}
	err_set(e, SQLSTATE_GUARD_FAILED, "%zu check%s stand%s in the way", n, n > 1 ? "s" : "",
		n > 1 ? "" : "s");
	err_detail(e, "%s", buf_text(&b));
	err_hint(e, "SHOW MIGRATION %d CHECKS; says how to mend them, FORCE (check, …) goes past.",
		 j->m.id);
	buf_fini(&b);
	return -1;
}

static int
guard(struct job *j, enum migration_phase phase, struct err *e)
{
	struct checks found;
	PGconn *home;
	char *json;
	int rc;
	bool stands = false;

	if (!is_decided_by_rows(j) && job_may_begin(j, phase, e) < 0)
		return -1;
	if (is_phase_begun(&j->plan, phase))
		return 0;
	if (job_checks(j, phase, &found, e) < 0)
		return -1;
	json = checks_json(&found);
	home = job_home(j, e);
	rc = home != NULL ? store_set_checks(home, j->m.uuid, json, e) : -1;
	free(json);
	for (size_t i = 0; i < found.n; i++)
		stands = stands || stands_in_the_way(j, &found.v[i]);
	if (rc == 0 && stands)
		rc = refuse(j, &found, e);
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
		bool again = is_finished(s);
		size_t end = i + 1;
		int rc;

		if (s->def->phase != phase || (again && !group_wants_again(&j->plan, i)))
			continue;
		if (x->what == RUN_STEP && s->n > x->step)
			return 1;
		if (job_tick(j, e) < 0)
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
	enum migration_event ev =
	    is_last_phase(&j->plan, phase) ? EVENT_ALL_DONE : EVENT_PHASE_DONE;
	enum migration_state from = running_state(j, phase);
	int to = transition(from, ev, phase);

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
	executor_tell_starter(j->x, NULL);
	rc = run_steps(j, phase, e);
	if (rc < 0 || (rc > 0 && !is_phase_finished(&j->plan, phase)))
		return rc;
	return end_phase(j, phase, e) < 0 ? -1 : rc;
}

/* RUN ALL, NEXT and STEP: the phases one after another, those without steps left out. */
static int
run_forward(struct job *j, struct err *e)
{
	int rc = 0;

	for (int p = PHASE_PREPARE; p <= LAST_FORWARD && rc == 0; p++) {
		enum migration_phase phase = (enum migration_phase)p;

		if (!has_steps(&j->plan, phase))
			continue;
		if (is_phase_finished(&j->plan, phase)) {
			/* the last one died behind its last step */
			if (j->m.state == running_state(j, phase))
				rc = end_phase(j, phase, e);
			continue;
		}
		rc = guard(j, phase, e);
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
	if (guard(j, phase, e) < 0)
		return -1;
	return run_phase(j, phase, e) < 0 ? -1 : 0;
}

/* ---- ABORT ---- */

int
executor_refuse_abort(struct job *j, struct err *e)
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
		/* What cannot be asked whether it is done has not been begun: nothing of it is
		 * ours. */
		if (s->state == STEP_FAILED && s->attempt == 0)
			continue;
		if (job_tick(j, e) < 0)
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

/* It has been heard. */
int
executor_forget_request(struct job *j, struct err *e)
{
	PGconn *home = job_home(j, e);

	return home != NULL ? store_set_request(home, j->m.uuid, "", e) : -1;
}

int
executor_abort(struct job *j, struct err *e)
{
	struct err ignored;
	char *order;

	j->x->what = RUN_ABORT;
	j->x->stop = STOP_NO;
	j->x->is_forced = j->x->is_forced || atomic_load(&j->x->force_abort);
	if (j->kind->may_abort != NULL && j->kind->may_abort(j, j->x->is_forced, e) < 0) {
		(void)executor_forget_request(j, &ignored);
		return -1;
	}
	order = executor_order_text(j->x);
	free(j->m.run);
	j->m.run = order;
	if (job_enter(j, STATE_ABORTING, e) < 0 || executor_forget_request(j, e) < 0)
		return -1;
	executor_tell_starter(j->x, NULL);
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
			is_decided = is_finished(&j->plan.v[i]);
	if (!is_decided || is_phase_finished(&j->plan, PHASE_REVERSE))
		return run_one(j, PHASE_COMPLETE, e);
	err_set(e, "55000", "the way back of migration %d is decided, and not at its end", j->m.id);
	return err_hint(e, "RETRY MIGRATION %d; goes on.", j->m.id);
}

int
executor_run(struct job *j, struct err *e)
{
	switch (j->x->what) {
	case RUN_PHASE:
		return run_one(j, j->x->phase, e);
	case RUN_ALL:
	case RUN_NEXT:
	case RUN_STEP:
		return run_forward(j, e);
	case RUN_ABORT:
		return executor_abort(j, e);
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
