/* SPDX-License-Identifier: PostgreSQL
 *
 * Staying with a migration: RUN … WAIT and FOLLOW read the journal where it is, so that it does not
 * matter which proxy of the fleet does the work.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "migration/command_int.h"
#include "migration/db.h"
#include "migration/journal.h"
#include "migration/transitions.h"
#include "protocol/sqlstate.h"

#define NAP_US        (50 * USEC_PER_MSEC)
#define PATIENCE_US   (30 * USEC_PER_SEC) /* with a database that cannot be asked */
#define LOOK_AT_US    USEC_PER_SEC        /* whether somebody is at work */
#define BATCH         200
#define PROGRESS_EACH USEC_PER_SEC

struct watching {
	struct command_run *c;
	bool follows; /* FOLLOW: every event is a line */
	int64_t seq;
	int64_t told_us;    /* when progress was told last */
	struct err failure; /* of the last step that failed */
	int64_t looked_us;  /* when it was asked last whether somebody is at work */
};

/* ---- events ---- */

static void
copy_member(char *to, size_t size, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(to, size, "%s", s != NULL ? s : "");
}

static void
note_failure(struct watching *w, const struct journal_row *row)
{
	json_t *o = row->detail != NULL ? json_loads(row->detail, 0, NULL) : NULL;

	copy_member(w->failure.detail, sizeof(w->failure.detail), o, "detail");
	copy_member(w->failure.hint, sizeof(w->failure.hint), o, "hint");
	json_decref(o);
}

/* Events that who waits is told of, and what stands before their text. */
static const struct {
	const char *event, *before;
} told[] = {
	{ JOURNAL_STEP_DONE, "step " },
	{ JOURNAL_UNDO, "undone: step " },
	{ JOURNAL_NOTICE, "" },
	{ JOURNAL_PROGRESS, "" },
};

static void
tell_text(struct watching *w, const struct journal_row *row, const char *before)
{
	struct buf text = { .cap = 65536 };

	command_event_text(row, &text);
	if (text.n > strlen(row->event))
		command_notice(w->c, "%s%s", before, buf_text(&text) + strlen(row->event) + 1);
	buf_fini(&text);
}

static void
tell_event(struct watching *w, const struct journal_row *row)
{
	if (strcmp(row->event, JOURNAL_STEP_FAIL) == 0)
		note_failure(w, row);
	if (strcmp(row->event, JOURNAL_PROGRESS) == 0) {
		if (clock_us() - w->told_us < PROGRESS_EACH)
			return;
		w->told_us = clock_us();
	}
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (strcmp(row->event, told[i].event) == 0)
			tell_text(w, row, told[i].before);
}

static void
line_of_event(struct watching *w, const struct journal_row *row)
{
	struct buf text = { .cap = 1 << 20 };

	buf_printf(&text, "%s ", row->at);
	command_event_text(row, &text);
	w->c->sink->line(w->c->sink->arg, buf_text(&text));
	buf_fini(&text);
}

static void
each_event(void *to, const struct journal_row *row)
{
	struct watching *w = to;

	if (w->follows)
		line_of_event(w, row);
	else
		tell_event(w, row);
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

/* Nobody's heart has beaten for a while, and the row is still the one that was read: an executor
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
detached(const struct command_run *c, struct err *e)
{
	int id = c->at.m.id;

	return err_set(e, SQLSTATE_QUERY_CANCELED,
		       "detached from migration %d; it continues: FOLLOW MIGRATION %d; stop it "
		       "with PAUSE MIGRATION %d or ABORT MIGRATION %d",
		       id, id, id, id);
}

static int
nobody_works(const struct command_run *c, struct err *e)
{
	err_set(e, SQLSTATE_ADMIN_SHUTDOWN,
		"nobody works on migration %d any more, its state is %s", c->at.m.id,
		migration_state_name(c->at.m.state));
	return err_hint(e, "RETRY MIGRATION %d; goes on.", c->at.m.id);
}

static int
stay(struct watching *w, struct err *e)
{
	const struct timespec nap = { .tv_nsec = NAP_US * 1000 };

	w->looked_us = clock_us();
	for (;;) {
		bool rests;

		if (command_is_cancelled(w->c))
			return detached(w->c, e);
		/* what was said before it came to rest is read after it has */
		rests = is_at_rest(w);
		if (look(w, e) != 0)
			return -1;
		if (rests && is_at_rest(w))
			return 0;
		if ((transition_is_running(w->c->at.m.state) || awaits_abort(&w->c->at.m)) &&
		    is_abandoned(w))
			return nobody_works(w->c, e);
		nanosleep(&nap, NULL);
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

int
command_wait(struct command_run *c, int64_t seq, struct err *e)
{
	struct watching w = { .c = c, .seq = seq };

	if (stay(&w, e) != 0)
		return -1;
	return c->at.m.state == STATE_ERROR ? row_error(&w, e) : 0;
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
