/* SPDX-License-Identifier: PostgreSQL
 *
 * The group: the steps between freeze and switch (step_def.in_pause), tried as one. Their rows are
 * written before the first begins and after the last; after a failure or a
 * crash the decision in the database says where the group goes: forward, or back.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/options.h"

#define FORWARD_TRIES 60 /* seconds, once it is decided */
#define BACK_TRIES    20

size_t
group_end(const struct plan *p, size_t first)
{
	size_t end = first;

	while (end < p->n && p->v[end].def->in_pause &&
	       p->v[end].def->phase == p->v[first].def->phase)
		end++;
	return end;
}

bool
group_repeats(const struct plan *p, size_t i)
{
	if (!p->v[i].def->each_time)
		return false;
	for (size_t k = i; k < p->n && p->v[k].def->phase == p->v[i].def->phase; k++)
		if (p->v[k].def->in_pause)
			return p->v[k].state != STEP_APPLIED;
	return false;
}

/* Whether the group's own decision was made, and by which step; the databases are asked. */
static int
decided(struct job *j, size_t first, size_t end, bool *out, size_t *at, struct err *e)
{
	*out = false;
	for (*at = first; *at < end; (*at)++) {
		struct migration_step *s = &j->plan.v[*at];

		if (s->def->once_decided && s->def->done != NULL && s->def->done(j, s, out, e) < 0)
			return -1;
		if (*out)
			break;
	}
	return 0;
}

/* Every step that may have to be undone is "running" before the first begins. */
static int
mark(struct job *j, size_t first, size_t end, struct err *e)
{
	for (size_t i = first; i < end; i++) {
		struct migration_step *s = &j->plan.v[i];

		if (s->def->before != NULL && s->before == NULL &&
		    s->def->before(j, s, &s->before, e) < 0)
			return -1;
		s->state = STEP_RUNNING;
		s->attempt++;
		if (step_write(j, s, CLOCK_STARTS, i == first ? JOURNAL_STEP : NULL, NULL, e) < 0)
			return -1;
	}
	return 0;
}

static int
write_all(struct job *j, size_t first, size_t end, enum step_state state, const char *event,
	  struct err *e)
{
	for (size_t i = first; i < end; i++) {
		struct migration_step *s = &j->plan.v[i];

		s->state = state;
		if (step_write(j, s, CLOCK_ENDS, event, NULL, e) < 0)
			return -1;
	}
	return 0;
}

/* ask: an earlier try may have done some of the steps. */
static int
one_way(struct job *j, size_t first, size_t end, bool ask, size_t *at, struct err *e)
{
	for (*at = first; *at < end; (*at)++) {
		struct migration_step *s = &j->plan.v[*at];
		bool is_done = false;

		j->now = s;
		crash_point(j, s->def->name, "before");
		if (ask && s->def->done != NULL && s->def->done(j, s, &is_done, e) < 0)
			return -1;
		if (!is_done && s->def->act != NULL && s->def->act(j, s, e) < 0)
			return -1;
		crash_point(j, s->def->name, "after");
		if (s->def->once_decided)
			j->x->is_decided = true;
	}
	return 0;
}

/* It is decided: there is no other way, whatever fails. `first`: the step that decided. */
static int
forward(struct job *j, size_t first, size_t end, struct err *e)
{
	size_t at;

	j->x->is_decided = true;
	for (int i = 0; i < FORWARD_TRIES; i++) {
		if (one_way(j, first, end, true, &at, e) == 0)
			return 0;
		if (job_check_stop(j, e) < 0)
			return -1;
		job_notice(j, "decided; %s is tried again: %s", j->plan.v[at].def->name, e->msg);
		clock_sleep(USEC_PER_SEC);
	}
	return -1;
}

/* Nothing has been decided: undo all steps. Tried for a while, since a fence that stays in force
 * stops all clients. */
static int
back(struct job *j, size_t first, size_t end, struct err *e)
{
	for (size_t i = end; i-- > first;) {
		struct migration_step *s = &j->plan.v[i];
		int rc = -1;

		for (int n = 0; rc < 0 && n < BACK_TRIES; n++) {
			if (n > 0)
				clock_sleep(USEC_PER_SEC / 4);
			if (j->x->stop == STOP_LOST)
				return -1;
			j->now = s;
			rc = step_undo_act(j, s, e);
			if (rc == 0)
				crash_point(j, s->def->name, "undo");
			else if (strcmp(e->sqlstate, SQLSTATE_DECIDED) == 0)
				return -1;
		}
		if (rc < 0)
			return err_prefix(e, "undo of %s", s->def->name);
	}
	return write_all(j, first, end, STEP_PENDING, NULL, e);
}

static void
note_failure(struct job *j, size_t at, const struct err *why, bool again)
{
	const struct migration_step *s = &j->plan.v[at];
	char *detail = json_text(json_pack(
	    "{si,ss,ss,ss,ss,ss,sb}", "n", s->n, "name", s->def->name, "error", why->msg,
	    "sqlstate", why->sqlstate, "detail", why->detail, "hint", why->hint, "again", again));

	job_event(j, JOURNAL_STEP_FAIL, detail);
	free(detail);
}

static int
end_well(struct job *j, size_t first, size_t end, struct err *e)
{
	j->in_group = false;
	j->now = NULL;
	j->x->is_decided = false;
	for (size_t i = first; i < end; i++)
		if (j->plan.v[i].def->once_decided && j->m.state == STATE_FINALIZING)
			j->m.state = STATE_SWITCHED;
	return write_all(j, first, end, STEP_APPLIED, JOURNAL_STEP_DONE, e);
}

/* One try: 0 done, 1 it failed and everything is back, -1 it cannot be mended now. */
static int
attempt(struct job *j, size_t first, size_t end, bool again, struct err *e)
{
	struct err why = { .msg = "" };
	bool is_decided = false;
	size_t at = first, decider = first;

	j->in_group = true;
	if (one_way(j, first, end, false, &at, e) == 0)
		return end_well(j, first, end, e);
	j->now = NULL;
	note_failure(j, at, e, again);
	if (j->x->stop == STOP_LOST)
		return -1;
	for (int i = 0; decided(j, first, end, &is_decided, &decider, &why) < 0; i++) {
		if (i == BACK_TRIES) {
			j->in_group = false;
			err_detail(e, "Whether it was decided cannot be asked: %s", why.msg);
			return -1;
		}
		clock_sleep(USEC_PER_SEC / 4);
	}
	if (is_decided)
		return forward(j, decider, end, e) == 0 ? end_well(j, first, end, e) : -1;
	j->in_group = false;
	if (back(j, first, end, &why) < 0) {
		/* It was decided while we asked. */
		if (strcmp(why.sqlstate, SQLSTATE_DECIDED) == 0 &&
		    decided(j, first, end, &is_decided, &decider, &why) == 0 && is_decided)
			return forward(j, decider, end, e) == 0 ? end_well(j, first, end, e) : -1;
		err_detail(e, "It is not all undone: %s", why.msg);
		return -1;
	}
	j->now = NULL;
	return 1;
}

int
group_run(struct job *j, size_t first, size_t end, struct err *e)
{
	const char *attempts = job_option(j, "attempts");
	int64_t most = *attempts != '\0' ? migration_option_int(attempts) : 1;

	for (int64_t i = 1;; i++) {
		int rc;

		if (job_may_begin(j, j->plan.v[first].def->phase, e) < 0 ||
		    mark(j, first, end, e) < 0)
			return -1;
		rc = attempt(j, first, end, i < most, e);
		j->in_group = false;
		if (rc <= 0)
			return rc;
		if (j->x->stop != STOP_NO || i >= most)
			return -1;
		job_notice(j, "attempt %d of %d failed: %s", (int)i, (int)most, e->msg);
		if (job_sleep(j, job_option_usec(j, "retry_wait"), e) < 0)
			return -1;
	}
}

int
group_recover(struct job *j, bool *is_decided, struct err *e)
{
	*is_decided = false;
	for (size_t first = 0; first < j->plan.n; first++) {
		size_t end = j->plan.v[first].def->in_pause ? group_end(&j->plan, first) : first;
		bool was_running = false, this_one = false;
		size_t decider = first;

		for (size_t i = first; i < end; i++)
			was_running = was_running || j->plan.v[i].state == STEP_RUNNING;
		if (!was_running) {
			first = end > first ? end - 1 : first;
			continue;
		}
		if (decided(j, first, end, &this_one, &decider, e) < 0)
			return -1;
		*is_decided = *is_decided || this_one;
		if (this_one) {
			j->in_group = true;
			int rc = forward(j, decider, end, e);

			if (rc < 0 || end_well(j, first, end, e) < 0)
				return -1;
		} else if (back(j, first, end, e) < 0) {
			return -1;
		}
		first = end - 1;
	}
	return 0;
}
