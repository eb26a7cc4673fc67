/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"

void
crash_point(const struct job *j, const char *step, const char *where)
{
	const char *wanted = getenv("MERIDIAN_CRASH_AT");
	struct site_settings settings = { 0 };
	char here[160];

	if (wanted == NULL)
		return;
	snprintf(here, sizeof(here), "%s:%s", step, where);
	if (strcmp(wanted, here) != 0)
		return;
	j->site->ops->settings(j->site->arg, &settings);
	if (settings.crash_points)
		_exit(9);
}

/* ---- rows and steps ---- */

struct step_row
step_row_of(const struct migration_step *s)
{
	return (struct step_row){ .n = s->n,
				  .name = (char *)(uintptr_t)s->def->name,
				  .phase = (char *)(uintptr_t)migration_phase_name(s->def->phase),
				  .class = (char *)(uintptr_t)step_class_name(s->def->class),
				  .place = s->place,
				  .label = s->label,
				  .args = s->args,
				  .state = s->state,
				  .attempt = s->attempt,
				  .before = s->before,
				  .undo = s->undo,
				  .has_secrets = s->def->has_secrets,
				  .error = s->error };
}

static char *
taken(char **p)
{
	char *s = *p;

	*p = NULL;
	return s;
}

static int
plan_from(struct job *j, struct step_rows *rows, struct plan *out, struct err *e)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct step_row *r = &rows->v[i];
		const struct step_def *const *def = j->kind->defs;
		struct migration_step *s;

		while (*def != NULL && strcmp((*def)->name, r->name) != 0)
			def++;
		if (*def == NULL) {
			err_set(e, "55000", "this program has no step %s", r->name);
			return err_hint(e,
					"Another version of Meridian made the plan of migration "
					"%d: go on with that one.",
					j->m.id);
		}
		plan_add(out, *def, r->place, r->label, r->args);
		s = &out->v[out->n - 1];
		s->n = r->n;
		s->state = r->state;
		s->attempt = r->attempt;
		s->before = taken(&r->before);
		s->undo = taken(&r->undo);
		s->error = taken(&r->error);
	}
	return 0;
}

static int
load_from(struct job *j, PGconn *c, struct plan *out, struct err *e)
{
	struct step_rows rows;
	char hash[17];
	int rc = -1;

	*out = (struct plan){ 0 };
	if (store_steps(c, j->m.uuid, &rows, e) < 0)
		return -1;
	rc = plan_from(j, &rows, out, e);
	step_rows_fini(&rows);
	plan_hash(out, hash);
	if (rc == 0 && *j->m.plan_hash != '\0' && strcmp(hash, j->m.plan_hash) != 0) {
		rc = err_set(e, "55000", "the plan of migration %d has been changed", j->m.id);
		err_detail(e, "Its hash is %s, that of its steps %s.", j->m.plan_hash, hash);
	}
	if (rc < 0)
		plan_fini(out);
	return rc;
}

int
steps_load(struct job *j, struct err *e)
{
	PGconn *home = job_home(j, e);

	if (home == NULL)
		return -1;
	plan_fini(&j->plan);
	j->is_frozen = *j->m.plan_hash != '\0';
	return j->is_frozen ? load_from(j, home, &j->plan, e) : 0;
}

static int
steps_make(struct job *j, struct plan *out, struct err *e)
{
	*out = (struct plan){ 0 };
	if (j->kind->plan(j, out, e) == 0)
		return 0;
	plan_fini(out);
	return -1;
}

int
steps_freeze(struct job *j, struct err *e)
{
	struct step_rows rows = { 0 };
	bool is_begun = false;
	PGconn *home;
	char hash[17];
	int rc;

	for (size_t i = 0; j->is_frozen && i < j->plan.n; i++)
		is_begun |= j->plan.v[i].state != STEP_PENDING || j->plan.v[i].attempt > 0;
	if (is_begun)
		return 0;
	/* A RUN that a guard refused has frozen a plan of which nothing was begun. What stood in
	 * the way has been mended since, and may be another plan. */
	if (j->is_frozen) {
		home = job_home(j, e);
		if (home == NULL || store_thaw_plan(home, &j->m, e) < 0)
			return -1;
		plan_fini(&j->plan);
		j->m.plan_hash[0] = '\0';
		j->is_frozen = false;
	}
	if (steps_make(j, &j->plan, e) < 0)
		return -1;
	home = job_home(j, e);
	if (home == NULL)
		return -1;
	rows.n = j->plan.n;
	rows.v = xcalloc(rows.n + 1, sizeof(*rows.v));
	for (size_t i = 0; i < rows.n; i++)
		rows.v[i] = step_row_of(&j->plan.v[i]);
	plan_hash(&j->plan, hash);
	rc = store_freeze_plan(home, &j->m, &rows, hash, e);
	free(rows.v);
	if (rc < 0)
		return -1;
	free(j->m.plan_hash);
	j->m.plan_hash = xstrdup(hash);
	j->is_frozen = true;
	return 0;
}

/* For a command: the steps' rows at the migration's home, or else at any place that has them. */
static PGconn *
look_for_rows(struct job *j, struct err *e)
{
	PGconn *found = NULL;

	for (size_t i = 0; i < j->nplaces; i++) {
		PGconn *c = job_db(j, j->places[i].name, e);
		struct migration m;
		bool is_there;

		if (c == NULL || store_exists(c, &is_there, e) < 0 || !is_there ||
		    store_load(c, j->m.uuid, &m, e) <= 0)
			continue;
		if (found == NULL || m.is_home)
			found = c;
		is_there = m.is_home;
		migration_fini(&m);
		if (is_there)
			break;
	}
	return found;
}

int
job_plan(struct job *j, struct plan *out, bool *is_frozen, struct err *e)
{
	*is_frozen = *j->m.plan_hash != '\0';
	if (!*is_frozen)
		return steps_make(j, out, e);
	struct err why = { .msg = "" };
	PGconn *c = look_for_rows(j, &why);

	if (c == NULL) {
		*e = why;
		return *why.msg != '\0' ? -1 : err_set(e, "42704", "the plan cannot be found");
	}
	return load_from(j, c, out, e);
}

/* ---- writing ---- */

static void
set_step(struct job *j, const struct migration_step *s)
{
	free(j->m.step);
	j->m.step =
	    *s->label != '\0' ? xasprintf("%s %s", s->def->name, s->label) : xstrdup(s->def->name);
	j->m.step_n = s->n;
}

int
step_write(struct job *j, struct migration_step *s, enum step_clock clock, const char *event,
	   json_t *take_more, struct err *e)
{
	struct step_row row = step_row_of(s);
	json_t *about = json_pack("{si,ss,ss,ss}", "n", s->n, "name", s->def->name, "label",
				  s->label, "place", s->place);
	struct store_change ch = { .step = &row, .clock = clock, .row = true, .event = event };
	char *detail;
	int rc;

	if (take_more != NULL && about != NULL)
		json_object_update(about, take_more);
	json_decref(take_more);
	detail = json_text(about);
	ch.detail = detail;
	set_step(j, s);
	rc = job_write(j, &ch, e);
	free(detail);
	return rc;
}

static void
forget_error(struct migration_step *s)
{
	free(s->error);
	s->error = NULL;
}

/* ---- one step ---- */

static int
begin(struct job *j, struct migration_step *s, struct err *e)
{
	bool is_first = s->state == STEP_PENDING || s->attempt == 0;

	if (is_first && s->def->before != NULL && s->before == NULL &&
	    s->def->before(j, s, &s->before, e) < 0)
		return -1;
	s->state = STEP_RUNNING;
	s->attempt++;
	forget_error(s);
	return step_write(j, s, CLOCK_STARTS, JOURNAL_STEP, NULL, e);
}

/* The place of a class T step has a control schema, for its row and the lease. */
static PGconn *
transaction_at(struct job *j, const struct migration_step *s, struct err *e)
{
	struct place *p = job_place(j, s->place);
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return NULL;
	if (!p->is_claimed) {
		if (store_create(c, e) < 0)
			return NULL;
		c = job_db(j, s->place, e);
	}
	return c;
}

static int
act_in_transaction(struct job *j, struct migration_step *s, PGconn *c,
		   int (*act)(struct job *, const struct migration_step *, struct err *),
		   enum step_state then, struct err *e)
{
	struct step_row row = step_row_of(s);
	struct err ignored;
	int rc = db_exec(c, e, "BEGIN");

	j->in_transaction = true;
	if (rc == 0)
		rc = lease_check(c, &j->x->lease, e);
	if (rc == 0)
		rc = act(j, s, e);
	if (rc == 0) {
		row = step_row_of(s);
		row.state = then;
		rc = store_put_step(c, &j->m, &row, CLOCK_ENDS, e);
	}
	j->in_transaction = false;
	if (rc == 0 && PQtransactionStatus(c) != PQTRANS_INTRANS)
		rc = err_set(e, "25P01", "step %s has ended its transaction", s->def->name);
	if (rc == 0)
		return db_exec(c, e, "COMMIT");
	db_exec(c, &ignored, "ROLLBACK");
	return -1;
}

/* A crash may have come between the commit there and the row at home. */
static int
committed_there(struct job *j, const struct migration_step *s, bool *out, struct err *e)
{
	PGconn *c = transaction_at(j, s, e);
	struct step_row row;
	int rc;

	*out = false;
	if (c == NULL)
		return -1;
	rc = store_step(c, j->m.uuid, s->n, &row, e);
	if (rc <= 0)
		return rc;
	*out = row.state == STEP_APPLIED;
	step_row_fini(&row);
	return 0;
}

static int
was_done(struct job *j, const struct migration_step *s, bool resumed, bool *out, struct err *e)
{
	*out = false;
	if (s->def->class == CLASS_T && resumed && committed_there(j, s, out, e) < 0)
		return -1;
	if (*out || s->def->done == NULL || (s->def->class == CLASS_R && resumed))
		return 0;
	return s->def->done(j, s, out, e);
}

static int
step_act(struct job *j, struct migration_step *s, struct err *e)
{
	PGconn *c;

	if (s->def->act == NULL)
		return 0;
	if (s->def->class != CLASS_T)
		return s->def->act(j, s, e);
	c = transaction_at(j, s, e);
	return c != NULL ? act_in_transaction(j, s, c, s->def->act, STEP_APPLIED, e) : -1;
}

static int
failed(struct job *j, struct migration_step *s, const struct err *why)
{
	json_t *more;
	struct err e;

	/* It was ordered to stop: it is still under way. */
	if (j->x->stop != STOP_NO && j->x->stop != STOP_DEADLINE)
		return -1;
	s->state = STEP_FAILED;
	forget_error(s);
	s->error = xasprintf("%s: %s", why->sqlstate, why->msg);
	more = json_pack("{ss,ss,ss,ss}", "error", why->msg, "sqlstate", why->sqlstate, "detail",
			 why->detail, "hint", why->hint);
	if (step_write(j, s, CLOCK_ENDS, JOURNAL_STEP_FAIL, more, &e) < 0)
		log_msg(LOG_LEVEL_WARNING,
			"migration %d: the failure of step %s cannot be written: %s", j->m.id,
			s->def->name, e.msg);
	return -1;
}

static int
ended(struct job *j, struct migration_step *s, enum step_state state, int64_t began_us,
      struct err *e)
{
	json_t *more =
	    json_pack("{sI}", "ms", (json_int_t)((clock_us() - began_us) / USEC_PER_MSEC));

	if (state == STEP_SKIPPED)
		json_object_set_new(more, "found", json_true());
	s->state = state;
	return step_write(j, s, CLOCK_ENDS, JOURNAL_STEP_DONE, more, e);
}

int
step_run(struct job *j, struct migration_step *s, struct err *e)
{
	/* One that failed before it began (attempt 0) has left nothing. */
	bool resumed = s->attempt > 0 && (s->state == STEP_RUNNING || s->state == STEP_FAILED);
	bool is_done;
	int64_t began_us = clock_us();
	int rc;

	j->now = s;
	set_step(j, s);
	job_progress(j, -1, "%s", "");
	crash_point(j, s->def->name, "before");
	rc = was_done(j, s, resumed, &is_done, e);
	if (rc == 0 && is_done)
		return ended(j, s, resumed ? STEP_APPLIED : STEP_SKIPPED, began_us, e);
	if (rc == 0)
		rc = begin(j, s, e);
	if (rc == 0)
		rc = step_act(j, s, e);
	if (rc == 0)
		crash_point(j, s->def->name, "after");
	j->now = NULL;
	if (rc < 0)
		return failed(j, s, e);
	return ended(j, s, STEP_APPLIED, began_us, e);
}

/* ---- back ---- */

int
step_undo_act(struct job *j, struct migration_step *s, struct err *e)
{
	struct place *p = job_place(j, s->place);
	PGconn *c;
	bool is_there = false;

	if (s->def->undo == NULL)
		return 0;
	if (s->def->class != CLASS_T)
		return s->def->undo(j, s, e);
	c = job_db(j, s->place, e);
	if (c == NULL || (!p->is_claimed && store_exists(c, &is_there, e) < 0))
		return -1;
	if (!p->is_claimed && !is_there)
		return s->def->undo(j, s, e);
	return act_in_transaction(j, s, c, s->def->undo, STEP_UNDONE, e);
}

int
step_undo(struct job *j, struct migration_step *s, struct err *e)
{
	int64_t began_us = clock_us();
	int rc;

	j->now = s;
	set_step(j, s);
	rc = step_undo_act(j, s, e);
	if (rc == 0)
		crash_point(j, s->def->name, "undo");
	j->now = NULL;
	if (rc < 0)
		return failed(j, s, e);
	s->state = STEP_UNDONE;
	forget_error(s);
	return step_write(
	    j, s, CLOCK_ENDS, JOURNAL_UNDO,
	    json_pack("{sI}", "ms", (json_int_t)((clock_us() - began_us) / USEC_PER_MSEC)), e);
}

int
steps_decided(struct job *j, bool *is_decided, struct err *e)
{
	*is_decided = false;
	for (size_t i = 0; i < j->plan.n && !*is_decided; i++) {
		const struct migration_step *s = &j->plan.v[i];

		/* What was decided on the way back does not count. */
		if (!s->def->once_decided || s->def->phase > PHASE_FINALIZE)
			continue;
		if (step_is_done(s))
			*is_decided = true;
		else if (s->state != STEP_PENDING && s->state != STEP_UNDONE &&
			 s->def->done != NULL && s->def->done(j, s, is_decided, e) < 0)
			return -1;
	}
	return 0;
}
