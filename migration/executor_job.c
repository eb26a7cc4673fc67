/* SPDX-License-Identifier: PostgreSQL
 *
 * A job and its executor: what a step asks of the engine while it works (migration/kind.h). Events
 * and progress, orders to stop, the rows of the migration and the place where they are kept. A job
 * of a command has no executor: it writes nothing.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/json.h"

#define NAP_US      (50 * USEC_PER_MSEC)
#define WRITE_TRIES 5
#define BATCH       500

static const struct {
	const char *sqlstate, *text;
} stops[] = {
	[STOP_NO] = { "", "" },
	[STOP_PAUSE] = { "57014", "stopped by PAUSE MIGRATION" },
	[STOP_ABORT] = { "57014", "stopped by ABORT MIGRATION" },
	[STOP_SHUTDOWN] = { "57014", "this proxy is shutting down" },
	[STOP_LOST] = { LEASE_LOST, "another executor has this migration now" },
	[STOP_DEADLINE] = { SQLSTATE_CUTOVER_DEADLINE, "the DEADLINE of the command has passed" },
};

/* ---- JSON ---- */

char *
json_text(json_t *take_json)
{
	char *text = json_dumps(take_json, JSON_COMPACT);

	json_decref(take_json);
	return text != NULL ? text : xstrdup("{}");
}

/* ---- what is said on the way ---- */

void
job_event(struct job *j, const char *event, const char *detail_json)
{
	if (j->x != NULL)
		heartbeat_add_event(&j->x->heartbeat, event, detail_json);
}

void
job_notice(struct job *j, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;
	char *detail;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	detail = json_text(json_pack("{so}", "text", json_utf8(buf_text(&b))));
	job_event(j, JOURNAL_NOTICE, detail);
	free(detail);
	buf_fini(&b);
}

void
job_progress(struct job *j, int percent, const char *fmt, ...)
{
	struct heartbeat *t;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	j->m.progress = percent;
	free(j->m.detail);
	j->m.detail = xstrdup(text);
	if (j->x == NULL)
		return;
	t = &j->x->heartbeat;
	pthread_mutex_lock(&t->lock);
	t->percent = percent;
	free(t->detail);
	t->detail = xstrdup(text);
	pthread_mutex_unlock(&t->lock);
}

/* ---- whether to go on ---- */

static enum stop
ordered(struct executor *x)
{
	struct heartbeat *b = &x->heartbeat;
	enum stop s = STOP_NO;
	char *options = NULL;

	pthread_mutex_lock(&b->lock);
	if (b->is_lost)
		s = STOP_LOST;
	else if (request_is_abort(b->request))
		s = STOP_ABORT;
	if (strcmp(b->request, REQUEST_ABORT_FORCE) == 0)
		atomic_store(&x->force_abort, true);
	else if (strcmp(b->request, "pause") == 0)
		s = STOP_PAUSE;
	if (b->options_new) {
		options = b->options != NULL ? xstrdup(b->options) : NULL;
		b->options_new = false;
	}
	pthread_mutex_unlock(&b->lock);
	if (options != NULL)
		job_load_options(x->j, options);
	free(options);
	if (s == STOP_NO || s == STOP_PAUSE) {
		enum stop here = (enum stop)atomic_load(&x->order);

		s = here != STOP_NO ? here : s;
	}
	if (s == STOP_ABORT && x->what == RUN_ABORT)
		s = STOP_NO;
	if (s == STOP_NO && x->deadline_us > 0 && clock_us() > x->deadline_us)
		s = STOP_DEADLINE;
	return s;
}

int
job_check_stop(struct job *j, struct err *e)
{
	struct executor *x = j->x;
	enum stop s;

	if (x == NULL && j->is_cancelled != NULL && j->is_cancelled(j->cancel_arg))
		return err_set(e, "57014", "the command was cancelled");
	if (x == NULL)
		return 0;
	s = ordered(x);
	if (s == STOP_NO || (x->is_decided && s != STOP_LOST))
		return 0;
	x->stop = s;
	return err_set(e, stops[s].sqlstate, "%s", stops[s].text);
}

int
job_sleep(struct job *j, int64_t usec, struct err *e)
{
	int64_t until = clock_us() + usec;

	for (;;) {
		int64_t left = until - clock_us();

		if (job_check_stop(j, e) < 0)
			return -1;
		if (left <= 0)
			return 0;
		clock_sleep(left > NAP_US ? NAP_US : left);
	}
}

bool
guard_is_named(const char *force, const char *guard)
{
	struct slice rest = slice_str(force != NULL ? force : "");

	while (rest.n > 0)
		if (slice_is_nocase(slice_trim(slice_cut(&rest, ',')), guard))
			return true;
	return false;
}

bool
job_is_forced(const struct job *j, const char *guard)
{
	if (j->x != NULL && strcmp(guard, "abort") == 0 &&
	    (j->x->is_forced || atomic_load(&j->x->force_abort)))
		return true;
	return j->x != NULL && guard_is_named(j->x->force, guard);
}

/* ---- rows ---- */

int
job_write(struct job *j, const struct store_change *ch, struct err *e)
{
	struct store_change mine = *ch;

	mine.actor = j->x->actor;
	for (int i = 0;; i++) {
		PGconn *home = job_home(j, e);

		if (home != NULL)
			heartbeat_write_events(j->x, home);
		if (home != NULL && store_write(home, &j->m, &j->x->lease, &mine, e) == 0)
			return 0;
		/* A connection that broke: the row may be in or not, it is the same row. */
		if (i == WRITE_TRIES || strcmp(e->sqlstate, LEASE_LOST) == 0 ||
		    (home != NULL && PQstatus(home) == CONNECTION_OK))
			return -1;
		if (i > 0)
			clock_sleep(NAP_US * (1 << i));
	}
}

int
job_enter(struct job *j, enum migration_state s, struct err *e)
{
	char *detail;
	struct store_change ch = { .row = true, .event = JOURNAL_STATE };
	int rc;

	j->m.state = s;
	detail = json_text(json_pack("{ss,so*}", "state", migration_state_name(s), "error",
				     s == STATE_ERROR ? json_utf8(j->m.error) : NULL));
	ch.detail = detail;
	rc = job_write(j, &ch, e);
	free(detail);
	return rc;
}

int
job_set_state(struct job *j, enum migration_state s, struct err *e)
{
	char *detail;

	if (j->x == NULL || j->m.state == s)
		return 0;
	if (!j->in_group)
		return job_enter(j, s, e);
	j->m.state = s;
	detail = json_text(json_pack("{ss}", "state", migration_state_name(s)));
	job_event(j, JOURNAL_STATE, detail);
	free(detail);
	return 0;
}

int
job_note_undo(struct job *j, const char *json, struct err *e)
{
	if (j->now == NULL || j->x == NULL)
		return err_set(e, "XX000", "no step is running");
	free(j->now->undo);
	j->now->undo = xstrdup(json);
	/* In a transaction or between freeze and switch it goes with the row of the step. */
	if (j->in_transaction || j->in_group)
		return 0;
	return step_write(j, j->now, CLOCK_KEEP, NULL, NULL, e);
}

bool
job_was_acked(const struct job *j, const char *guard)
{
	json_t *acks;
	bool is_in;

	if (j->x != NULL) {
		struct heartbeat *b = &j->x->heartbeat;

		pthread_mutex_lock(&b->lock);
		acks = json_loads(b->acks != NULL ? b->acks : j->m.acks, 0, NULL);
		pthread_mutex_unlock(&b->lock);
	} else {
		acks = json_loads(j->m.acks, 0, NULL);
	}
	is_in = json_object_get(acks, guard) != NULL;
	json_decref(acks);
	return is_in;
}

int
job_wait_ack(struct job *j, const char *guard, const char *what, struct err *e)
{
	enum migration_state before = j->m.state;
	int rc = 0;

	if (j->x == NULL || job_was_acked(j, guard))
		return 0;
	job_progress(j, j->m.progress, "ACK MIGRATION %d %s: %s", j->m.id, guard, what);
	job_notice(j, "waits for ACK MIGRATION %d %s: %s", j->m.id, guard, what);
	if (job_enter(j, STATE_WAITING_ACK, e) < 0)
		return -1;
	while (rc == 0 && !job_was_acked(j, guard))
		rc = job_sleep(j, 2 * NAP_US, e);
	if (rc < 0)
		return -1;
	return job_enter(j, before, e);
}

struct copying {
	PGconn *to;
	const struct migration *m;
	struct err *e;
	int rc;
};

static void
copy_event(void *arg, const struct journal_row *row)
{
	struct copying *c = arg;
	char seq[24], id[16];
	const char *params[] = {
		c->m->uuid, seq, id, row->at, row->actor, row->event, row->detail
	};

	snprintf(seq, sizeof(seq), "%lld", (long long)row->seq);
	snprintf(id, sizeof(id), "%d", c->m->id);
	if (db_change(
		c->to, c->e,
		"INSERT INTO meridian.journal (uuid, seq, mig, at, actor, event, detail) VALUES "
		"(CAST($1 AS text), CAST($2 AS int8), CAST($3 AS int), CAST($4 AS timestamptz), "
		"CAST($5 AS text), CAST($6 AS text), CAST($7 AS jsonb)) ON CONFLICT DO NOTHING",
		7, params) < 0)
		c->rc = -1;
}

/* Where replication brings the journal it must not be written a second time. */
static int
copy_journal(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	struct copying c = { .to = to, .m = &j->m, .e = e };
	int64_t last = 0, before;
	bool is_published;

	if (db_is(
		from, &is_published, e,
		"SELECT EXISTS (SELECT 1 FROM pg_publication_tables WHERE schemaname = 'meridian' "
		"AND tablename = 'journal')",
		0, NULL) < 0)
		return -1;
	if (is_published)
		return 0;
	do {
		before = last;
		if (journal_read(from, j->m.uuid, last, BATCH, copy_event, &c, &last, e) < 0)
			return -1;
	} while (c.rc == 0 && last > before);
	return c.rc;
}

static int
copy_steps(struct job *j, PGconn *to, struct err *e)
{
	for (size_t i = 0; i < j->plan.n; i++) {
		const struct migration_step *s = &j->plan.v[i];
		struct step_row r = step_row_of(s);

		if (store_put_step(to, &j->m, &r, CLOCK_KEEP, e) < 0)
			return -1;
	}
	return 0;
}

static int
set_home(PGconn *c, const struct migration *m, bool is_home, struct err *e)
{
	const char *params[] = { m->uuid, is_home ? "true" : "false" };

	return db_change(c, e,
			 "UPDATE meridian.migration SET is_home = CAST($2 AS bool), rev = rev + 1 "
			 "WHERE uuid = $1",
			 2, params) < 0
		   ? -1
		   : 0;
}

int
job_set_home(struct job *j, const char *place, struct err *e)
{
	struct place *p = job_place(j, place);
	struct err why = { .msg = "" };
	struct migration m;
	PGconn *to, *from;

	if (p == NULL || j->x == NULL)
		return err_set(e, "XX000", "%s is no place", place);
	if (p == &j->places[j->home])
		return 0;
	from = job_home(j, &why); /* may be gone for good */
	to = job_db(j, place, e);
	if (to == NULL)
		return -1;
	/* What the commands of others have written is in the row of the old home. */
	if (from != NULL && store_load(from, j->m.uuid, &m, &why) > 0) {
		char **const mine[] = { &j->m.options, &j->m.acks, &j->m.checks, &j->m.name };
		char *const theirs[] = { m.options, m.acks, m.checks, m.name };

		for (size_t i = 0; i < sizeof(mine) / sizeof(*mine); i++) {
			free(*mine[i]);
			*mine[i] = xstrdup(theirs[i]);
		}
		j->m.rev = m.rev;
		migration_fini(&m);
	}
	j->m.rev += 1000; /* what others still write to the old one does not overtake it */
	if (store_mirror(to, &j->m, e) < 0 || copy_steps(j, to, e) < 0 ||
	    (from != NULL && copy_journal(j, from, to, e) < 0) || set_home(to, &j->m, true, e) < 0)
		return -1;
	pthread_mutex_lock(&j->x->heartbeat.lock);
	j->home = (size_t)(p - j->places);
	j->x->heartbeat.home_moved = true;
	pthread_mutex_unlock(&j->x->heartbeat.lock);
	j->m.is_home = true;
	control_dbs_note(j->ms, &p->node, p->dbname);
	return from != NULL ? set_home(from, &j->m, false, &why) : 0;
}
