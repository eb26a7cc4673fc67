/* SPDX-License-Identifier: PostgreSQL
 *
 * The commands that have something done by an executor, or stop it; and staying with a migration:
 * RUN … WAIT and FOLLOW read the journal where it is, so that it does not matter which proxy of the
 * fleet does the work.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "migration/command_int.h"
#include "migration/db.h"
#include "migration/journal.h"
#include "migration/json.h"
#include "migration/options.h"
#include "migration/transitions.h"
#include "protocol/sqlstate.h"

#define NAP_US        (50 * USEC_PER_MSEC)
#define PATIENCE_US   (30 * USEC_PER_SEC) /* with a database that cannot be asked */
#define LOOK_AT_US    USEC_PER_SEC        /* whether an executor is at work */
#define BATCH         200
#define PROGRESS_EACH USEC_PER_SEC
#define LISTED_MAX    20 /* operations that are named one by one */
#define PAUSE_FOR_US  (10 * USEC_PER_SEC)

struct watching {
	struct command_run *c;
	bool follows; /* FOLLOW: every event is a line */
	int64_t seq;
	int64_t told_us;    /* when progress was told last */
	struct err failure; /* of the last step that failed */
	int64_t looked_us;  /* when it was asked last whether an executor is at work */
};

/* ---- events ---- */

/* Events that a command that waits tells its client, and the words in front of their text. */
static const struct {
	const char *event, *before;
} told[] = {
	{ JOURNAL_STEP_DONE, "step " },
	{ JOURNAL_UNDO, "undone: step " },
	{ JOURNAL_NOTICE, "" },
	{ JOURNAL_PROGRESS, "" },
};

static void
each_event(void *to, const struct journal_row *row)
{
	struct watching *w = to;

	if (w->follows) {
		struct buf text = { .cap = 1 << 20 };

		buf_printf(&text, "%s ", row->at);
		command_event_text(row, &text);
		w->c->sink->line(w->c->sink->arg, buf_text(&text));
		buf_fini(&text);
		return;
	}
	if (strcmp(row->event, JOURNAL_STEP_FAIL) == 0) {
		json_t *o = row->detail != NULL ? json_loads(row->detail, 0, NULL) : NULL;

		snprintf(w->failure.detail, sizeof(w->failure.detail), "%s",
			 json_member(o, "detail"));
		snprintf(w->failure.hint, sizeof(w->failure.hint), "%s", json_member(o, "hint"));
		json_decref(o);
	}
	if (strcmp(row->event, JOURNAL_PROGRESS) == 0) {
		if (clock_us() - w->told_us < PROGRESS_EACH)
			return;
		w->told_us = clock_us();
	}
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (strcmp(row->event, told[i].event) == 0) {
			struct buf text = { .cap = 65536 };

			command_event_text(row, &text);
			if (text.n > strlen(row->event))
				command_notice(w->c, "%s%s", told[i].before,
					       buf_text(&text) + strlen(row->event) + 1);
			buf_fini(&text);
		}
}

/* Everything new, and the row. A place that cannot be asked is looked for elsewhere. */
static int
look(struct watching *w, struct err *e)
{
	struct command_run *c = w->c;
	int64_t before;

	do {
		before = w->seq;
		if (journal_read(c->at.db, c->at.m.uuid, w->seq, BATCH, each_event, w, &w->seq,
				 e) != 0)
			return command_find_again(c, PATIENCE_US, e);
	} while (w->seq > before && !command_is_cancelled(c));
	if (command_reload(c, e) == 0)
		return 0;
	return command_find_again(c, PATIENCE_US, e);
}

/* ---- whether it goes on ---- */

/* No heartbeat for a while, and the row is still the one that was read: an executor
 * that ends writes its last row first and lets the lease go then. One statement sees both. */
static bool
is_abandoned(struct watching *w)
{
	static const char sql[] =
	    "SELECT (owner = '' OR heartbeat < clock_timestamp() - interval '30 seconds') AND "
	    "EXISTS (SELECT 1 FROM meridian.migration m WHERE m.uuid = lease.uuid AND m.is_home "
	    "AND m.rev = CAST($2 AS int8)) FROM meridian.lease WHERE uuid = $1";
	char rev[24];
	const char *params[] = { w->c->at.m.uuid, rev };
	bool abandoned = false;
	struct err ignored;

	if (!w->c->at.m.is_home || executor_is_here(w->c->ms, w->c->at.m.uuid) ||
	    clock_us() - w->looked_us < LOOK_AT_US)
		return false;
	w->looked_us = clock_us();
	snprintf(rev, sizeof(rev), "%" PRId64, w->c->at.m.rev);
	return db_is(w->c->at.db, &abandoned, &ignored, sql, 2, params) == 0 && abandoned;
}

/* Its executor may be dead: the ABORT is done when that is certain. */
static bool
awaits_abort(const struct migration *m)
{
	return request_is_abort(m->request) && transition(m->state, EVENT_ABORT, m->phase) >= 0;
}

static bool
is_at_rest(struct watching *w)
{
	const struct migration *m = &w->c->at.m;

	if (awaits_abort(m))
		return false;
	if (m->state == STATE_WAITING_ACK)
		return true;
	/* RUN ALL rests between two phases, but the executor is still there */
	return !transition_is_running(m->state) && !executor_is_here(w->c->ms, m->uuid);
}

static int
stay(struct watching *w, struct err *e)
{
	w->looked_us = clock_us();
	for (;;) {
		bool rests;

		if (command_is_cancelled(w->c)) {
			int id = w->c->at.m.id;

			return err_set(e, SQLSTATE_QUERY_CANCELED,
				       "detached from migration %d; it continues: FOLLOW MIGRATION "
				       "%d; stop it with PAUSE MIGRATION %d or ABORT MIGRATION %d",
				       id, id, id, id);
		}
		/* what was said before it came to rest is read after it has */
		rests = is_at_rest(w);
		if (look(w, e) != 0)
			return -1;
		if (rests && is_at_rest(w))
			return 0;
		if ((transition_is_running(w->c->at.m.state) || awaits_abort(&w->c->at.m)) &&
		    is_abandoned(w)) {
			err_set(e, SQLSTATE_ADMIN_SHUTDOWN,
				"nobody works on migration %d any more, its state is %s",
				w->c->at.m.id, migration_state_name(w->c->at.m.state));
			return err_hint(e, "RETRY MIGRATION %d; goes on.", w->c->at.m.id);
		}
		clock_sleep(NAP_US);
	}
}

/* ---- RUN … WAIT ---- */

/* "55P03: canceling …" of the row as an error, with what can be done. */
static int
row_error(const struct watching *w, struct err *e)
{
	const struct migration *m = &w->c->at.m;
	const char *text = m->error, *line;
	char sqlstate[6] = SQLSTATE_INTERNAL_ERROR;

	if (strlen(text) > 7 && text[5] == ':') {
		memcpy(sqlstate, text, 5);
		text += 7;
	}
	line = strchr(text, '\n');
	err_set(e, sqlstate, "%.*s", line != NULL ? (int)(line - text) : (int)strlen(text), text);
	if (w->failure.detail[0] != '\0' || line != NULL)
		err_detail(e, "%s", w->failure.detail[0] != '\0' ? w->failure.detail : line + 1);
	return err_hint(e, "%s%sGo on with RETRY MIGRATION %d; %s MIGRATION %d;", w->failure.hint,
			w->failure.hint[0] != '\0' ? "\n" : "", m->id,
			m->phase < PHASE_REVERSE    ? "undo with ABORT"
			: m->phase == PHASE_REVERSE ? "stay where it is with COMPLETE"
						    : "see what it does with FOLLOW",
			m->id);
}

/* ---- FOLLOW ---- */

int
command_follow(struct command_run *c, struct err *e)
{
	struct watching w = { .c = c, .follows = true };
	char *next, *line;

	if (stay(&w, e) != 0)
		return -1;
	next = command_next(&c->at.m);
	line = xasprintf("migration %d is %s%s%s", c->at.m.id, migration_state_name(c->at.m.state),
			 next[0] != '\0' ? "; next: " : "", next);
	c->sink->line(c->sink->arg, line);
	free(line);
	free(next);
	return 0;
}

/* ---- what will be done ---- */

/* Of a move, in words; %d database, %f from, %t to are filled in by announce_move(). */
static const char *const move_operations[MIGRATION_NPHASES] = {
	[PHASE_PREPARE] =
	    "- Mark %d as migrating: schema changes are refused, reads and writes go on\n"
	    "- Copy roles, database settings, grants and schema to %t (writes there are fenced)\n"
	    "- Install the write fence on %f, disabled",
	[PHASE_DATA] = "- Replicate %d from %f to %t while reads and writes go on\n"
		       "- Add what the schema has behind the data: indexes, constraints, triggers",
	[PHASE_FINALIZE] = "- Hold up new transactions on %d until the switch\n"
			   "- Fence %f, wait for the last change at %t, decide\n"
			   "- Send every session to %t, and replicate back to %f",
	[PHASE_REVERSE] = "- Hold up new transactions on %d until the switch\n"
			  "- Fence %t, wait for the last change at %f, decide\n"
			  "- Send every session back to %f",
	[PHASE_COMPLETE] = "- Stop replicating back, and give up the way back\n"
			   "- Drop what the migration has left behind",
};

static void
announce_move(const struct migration *m, enum migration_phase phase, struct buf *out)
{
	for (const char *t = move_operations[phase]; *t != '\0'; t++) {
		if (*t != '%') {
			buf_u8(out, (uint8_t)*t);
			continue;
		}
		t++;
		buf_str(out, *t == 'd' ? m->database : *t == 'f' ? m->src : m->dst);
	}
}

/* Which steps a request is about. */
static bool
is_meant(const struct migration_step *s, const struct run_request *rq)
{
	if (step_is_done(s))
		return false;
	switch (rq->what) {
	case RUN_PHASE:
		return s->def->phase == rq->phase;
	case RUN_STEP:
		return s->n <= rq->step && s->def->phase <= PHASE_FINALIZE;
	case RUN_REVERSE:
		return s->def->phase == PHASE_REVERSE;
	case RUN_COMPLETE:
		return s->def->phase == PHASE_COMPLETE;
	case RUN_ALL:
	case RUN_NEXT:
	case RUN_ABORT:
	case RUN_AGAIN:
	case RUN_RECOVER:
		break;
	}
	return s->def->phase <= PHASE_FINALIZE;
}

static void
announce(struct command_run *c, const struct plan *p, const struct run_request *rq)
{
	bool is_move = c->at.m.kind == KIND_MOVE && rq->what != RUN_ALL && rq->what != RUN_NEXT &&
		       rq->what != RUN_STEP;
	size_t n = 0, most = rq->what == RUN_NEXT ? 1 : LISTED_MAX;
	struct buf lines = { .cap = 1 << 20 };

	if (is_move)
		announce_move(&c->at.m, rq->phase, &lines);
	for (size_t i = 0; !is_move && i < p->n; i++) {
		const struct migration_step *s = &p->v[i];

		if (!is_meant(s, rq) || n++ >= most)
			continue;
		buf_printf(&lines, "%s- %d %s%s%s (%s)", n > 1 ? "\n" : "", s->n, s->def->name,
			   s->label[0] != '\0' ? " " : "", s->label, s->place);
	}
	if (n > most && rq->what != RUN_NEXT)
		buf_printf(&lines, "\n- … and %zu more (PLAN MIGRATION)", n - most);
	if (lines.n > 0)
		command_notice_lines(c, "The following operations will be achieved:", &lines);
	buf_fini(&lines);
}

/* ---- whether it may be ---- */

/* A phase needs those before it; DATA may have been done by hand. */
static int
check_order(const struct command_run *c, const struct plan *p, const struct run_request *rq,
	    struct err *e)
{
	int id = c->at.m.id;

	if (rq->what != RUN_PHASE)
		return 0;
	if (rq->phase > PHASE_PREPARE && !plan_is_done(p, PHASE_PREPARE)) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migration %d has not been prepared", id);
		return err_hint(e, "RUN MIGRATION %d PREPARE; comes first.", id);
	}
	if (rq->phase == PHASE_FINALIZE && !plan_is_done(p, PHASE_DATA) &&
	    !guard_is_named(rq->force, "data")) {
		err_set(e, SQLSTATE_GUARD_FAILED, "1 check stands in the way");
		err_detail(e, "data: the data of migration %d has not been migrated", id);
		return err_hint(
		    e, "RUN MIGRATION %d DATA; does it; FORCE (data) says that you did.", id);
	}
	return 0;
}

/* The phase that a request begins with; one under way is to be ended first. */
static int
first_phase(const struct plan *p, enum migration_state now, struct run_request *rq, struct err *e)
{
	if (rq->what == RUN_PHASE)
		return 0;
	for (int phase = PHASE_PREPARE; phase <= PHASE_FINALIZE; phase++) {
		if (plan_is_done(p, (enum migration_phase)phase) &&
		    now != transition_running((enum migration_phase)phase))
			continue;
		rq->phase = (enum migration_phase)phase;
		return 0;
	}
	return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "no step is left to be run");
}

/* ---- having it done ---- */

/* NOTICEs: what stands in the way of a phase, and how that is mended. It may have a password in it,
 * which keeps it out of errors: they are journaled. */
static void
tell_mends(struct command_run *c)
{
	struct checks found;
	struct err ignored;

	if (command_reload(c, &ignored) != 0 || !checks_parse(&found, c->at.m.checks))
		return;
	for (size_t i = 0; i < found.n; i++) {
		const struct check *v = &found.v[i];

		if (v->severity == CHECK_ERROR && *v->fix != '\0')
			command_notice(c, "%s%s%s: %s", v->check, *v->object != '\0' ? " " : "",
				       v->object, v->fix);
	}
	checks_fini(&found);
}

/* Start it, and stay until it rests unless NOWAIT was said. */
static int
start(struct command_run *c, const struct run_request *rq, struct err *e)
{
	struct watching w = { .c = c };
	int rc;

	/* What is in the journal already is not told again. */
	if (journal_last(c->at.db, c->at.m.uuid, &w.seq, e) != 0)
		return -1;
	rc = executor_start(c->ms, &c->at, rq, e);
	if (rc == 0 && !c->rq->nowait) {
		rc = stay(&w, e);
		if (rc == 0 && c->at.m.state == STATE_ERROR)
			rc = row_error(&w, e);
	}
	if (rc != 0 && strcmp(e->sqlstate, SQLSTATE_GUARD_FAILED) == 0)
		tell_mends(c);
	if (rc != 0 || command_reload(c, e) != 0)
		return -1;
	if (!c->rq->nowait)
		command_tell_next(c, &c->at.m);
	command_row(c, &c->at.m);
	return 0;
}

static int
plan_and_start(struct command_run *c, struct run_request *rq, struct err *e)
{
	struct job *j = job_open(c->ms, &c->at.m, e);
	struct plan p = { 0 };
	bool is_frozen;
	int rc = j != NULL ? job_plan(j, &p, &is_frozen, e) : -1;

	if (rc == 0)
		rc = first_phase(&p, c->at.m.state, rq, e);
	if (rc == 0)
		rc = transition_check(c->at.m.state, transition_event(rq->phase), c->at.m.phase, e);
	if (rc == 0)
		rc = check_order(c, &p, rq, e);
	if (rc == 0)
		announce(c, &p, rq);
	plan_fini(&p);
	job_close(j);
	return rc == 0 ? start(c, rq, e) : -1;
}

static int
order(struct command_run *c, struct run_request *rq,
      int (*go)(struct command_run *c, struct run_request *rq, struct err *e), struct err *e)
{
	const char *deadline = c->rq->deadline;
	struct buf force = { .cap = 65536 };
	struct strlist guards;
	int rc;

	rq->user = c->rq->user;
	if (deadline != NULL &&
	    (!migration_parse_interval(deadline, &rq->deadline_us) || rq->deadline_us <= 0)) {
		err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%.64s\" is no duration", deadline);
		return err_hint(e, "A number and a unit of ms, s, min, h, d: '30s', '2 min'.");
	}
	if (command_read_list(c->rq->force, "a check", &guards, e) != 0)
		return -1;
	for (size_t i = 0; i < guards.n; i++)
		buf_printf(&force, "%s%s", i > 0 ? "," : "", guards.v[i]);
	if (guards.n > 0)
		rq->force = buf_text(&force);
	strlist_fini(&guards);
	rc = go(c, rq, e);
	buf_fini(&force);
	return rc;
}

static const struct {
	const char *word;
	enum run_what what;
	enum migration_phase phase;
} runs[] = {
	{ "PREPARE", RUN_PHASE, PHASE_PREPARE },   { "DATA", RUN_PHASE, PHASE_DATA },
	{ "FINALIZE", RUN_PHASE, PHASE_FINALIZE }, { "ALL", RUN_ALL, PHASE_PREPARE },
	{ "NEXT", RUN_NEXT, PHASE_PREPARE },       { "STEP", RUN_STEP, PHASE_PREPARE },
};

int
command_run_phase(struct command_run *c, struct err *e)
{
	struct run_request rq = { .what = RUN_ALL };
	int64_t step = 0;

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		if (c->rq->phase == NULL || strcmp(runs[i].word, c->rq->phase) != 0)
			continue;
		rq.what = runs[i].what;
		rq.phase = runs[i].phase;
	}
	if (rq.what == RUN_STEP && !text_to_int(slice_str(c->rq->argument), 1, INT32_MAX, &step)) {
		err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%.64s\" is no step",
			c->rq->argument);
		return err_hint(e, "SHOW MIGRATION %d STEPS; has their numbers.", c->at.m.id);
	}
	rq.step = (int)step;
	return order(c, &rq, plan_and_start, e);
}

static int
check_and_start(struct command_run *c, struct run_request *rq, struct err *e)
{
	static const struct plan none = { 0 };

	if (transition_check(c->at.m.state, transition_event(rq->phase), c->at.m.phase, e) != 0)
		return -1;
	if (c->at.m.kind == KIND_MOVE)
		announce(c, &none, rq);
	return start(c, rq, e);
}

int
command_reverse(struct command_run *c, struct err *e)
{
	struct run_request rq = { .what = RUN_REVERSE, .phase = PHASE_REVERSE };

	return order(c, &rq, check_and_start, e);
}

int
command_complete(struct command_run *c, struct err *e)
{
	struct run_request rq = { .what = RUN_COMPLETE, .phase = PHASE_COMPLETE };

	command_tell_redirects_end(c);
	return order(c, &rq, check_and_start, e);
}

/* ---- going on ---- */

/* RETRY and RESUME. */
static int
go_on(struct command_run *c, struct run_request *rq, struct err *e)
{
	enum migration_event ev = c->rq->verb == VERB_RESUME ? EVENT_RESUME : EVENT_RETRY;

	if (transition_check(c->at.m.state, ev, c->at.m.phase, e) != 0)
		return -1;
	/* STEP n is where it paused, and nothing more is left of that order */
	if (c->at.m.state == STATE_PAUSED && command_was_ordered(&c->at.m, "step"))
		rq->what = RUN_ALL;
	return start(c, rq, e);
}

int
command_retry(struct command_run *c, struct err *e)
{
	struct run_request rq = { .what = RUN_AGAIN };

	return order(c, &rq, go_on, e);
}

int
command_abort(struct command_run *c, struct err *e)
{
	const struct run_request rq = { .what = RUN_ABORT,
					.is_forced = c->rq->is_forced,
					.user = c->rq->user };

	if (transition_check(c->at.m.state, EVENT_ABORT, c->at.m.phase, e) != 0)
		return -1;
	if (start(c, &rq, e) != 0)
		return -1;
	/* It was decided before its executor heard of it. */
	if (c->rq->nowait || c->at.m.state == STATE_ABORTED)
		return 0;
	return transition_check(c->at.m.state, EVENT_ABORT, c->at.m.phase, e);
}

/* ---- stopping, confirming ---- */

int
command_pause(struct command_run *c, struct err *e)
{
	int64_t until = clock_us() + PAUSE_FOR_US;

	if (transition_check(c->at.m.state, EVENT_PAUSE, c->at.m.phase, e) != 0 ||
	    executor_request(c->ms, &c->at, "pause", e) != 0)
		return -1;
	do {
		clock_sleep(NAP_US);
		if (command_reload(c, e) != 0)
			return -1;
	} while (transition_is_running(c->at.m.state) && clock_us() < until &&
		 !command_is_cancelled(c));
	if (transition_is_running(c->at.m.state))
		command_notice(c, "it pauses when the step that runs has come to an end");
	command_row(c, &c->at.m);
	return 0;
}

int
command_ack(struct command_run *c, struct err *e)
{
	const char *guard = c->rq->argument;

	if (transition_is_over(c->at.m.state))
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migration %d is %s", c->at.m.id,
			       migration_state_name(c->at.m.state));
	if (store_ack(c->at.db, c->at.m.uuid, guard,
		      c->rq->argument2 != NULL ? c->rq->argument2 : "", e) != 0)
		return -1;
	return command_result(c, e);
}
