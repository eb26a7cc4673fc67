/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/journal.h"
#include "migration/lease.h"
#include "migration/store.h"
#include "migration/transitions.h"

#define STEP_COLUMNS                                                                         \
	"n, name, phase, class, place, label, args, state, attempt, before, undo, started, " \
	"ended, error"

void
step_row_fini(struct step_row *r)
{
	free(r->name);
	free(r->phase);
	free(r->class);
	free(r->place);
	free(r->label);
	free(r->args);
	free(r->before);
	free(r->undo);
	free(r->started);
	free(r->ended);
	free(r->error);
	*r = (struct step_row){ 0 };
}

void
step_rows_fini(struct step_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		step_row_fini(&rows->v[i]);
	free(rows->v);
	*rows = (struct step_rows){ 0 };
}

static void
row_from(struct step_row *s, const PGresult *r, int i)
{
	char **texts[] = { NULL, &s->name, &s->phase, &s->class, &s->place, &s->label };
	int state = step_state_of(PQgetvalue(r, i, 7));

	*s = (struct step_row){ .n = atoi(PQgetvalue(r, i, 0)),
				.args = db_text(r, i, 6),
				.state = state < 0 ? STEP_PENDING : (enum step_state)state,
				.attempt = atoi(PQgetvalue(r, i, 8)),
				.before = db_text(r, i, 9),
				.undo = db_text(r, i, 10),
				.started = xstrdup(PQgetvalue(r, i, 11)),
				.ended = xstrdup(PQgetvalue(r, i, 12)),
				.error = xstrdup(PQgetvalue(r, i, 13)) };
	for (int f = 1; f <= 5; f++)
		*texts[f] = xstrdup(PQgetvalue(r, i, f));
}

int
store_steps(PGconn *c, const char *uuid, struct step_rows *out, struct err *e)
{
	const char *params[] = { uuid };
	PGresult *r =
	    db_query(c, e, "SELECT " STEP_COLUMNS " FROM meridian.step WHERE uuid = $1 ORDER BY n",
		     1, params);

	*out = (struct step_rows){ 0 };
	if (r == NULL)
		return -1;
	out->n = (size_t)PQntuples(r);
	out->v = xcalloc(out->n + 1, sizeof(*out->v));
	for (size_t i = 0; i < out->n; i++)
		row_from(&out->v[i], r, (int)i);
	PQclear(r);
	return 0;
}

int
store_step(PGconn *c, const char *uuid, int n, struct step_row *out, struct err *e)
{
	char number[16];
	const char *params[] = { uuid, number };
	PGresult *r;
	int rc;

	snprintf(number, sizeof(number), "%d", n);
	r = db_query(c, e,
		     "SELECT " STEP_COLUMNS
		     " FROM meridian.step WHERE uuid = $1 AND n = CAST($2 AS int)",
		     2, params);
	if (r == NULL)
		return -1;
	rc = PQntuples(r) > 0;
	if (rc > 0)
		row_from(out, r, 0);
	PQclear(r);
	return rc;
}

/* ---- writing; params are numbered by the list ---- */

#define PARAMS_MAX 40

struct params {
	const char *v[PARAMS_MAX];
	char numbers[PARAMS_MAX][24];
	int n;
};

/* "$n" for a value. */
static const char *
param(struct params *p, const char *value)
{
	snprintf(p->numbers[p->n], sizeof(p->numbers[p->n]), "$%d", p->n + 1);
	p->v[p->n] = value;
	return p->numbers[p->n++];
}

static void
put_step(struct buf *b, struct params *p, const struct migration *m, const struct step_row *r,
	 enum step_clock clock)
{
	const char *texts[] = { r->name,
				r->phase,
				r->class,
				r->place,
				r->label,
				step_state_name(r->state),
				r->error != NULL ? r->error : "" };
	const char *jsons[] = { r->args, r->before, r->undo };
	static const char now[] = "clock_timestamp()", none[] = "CAST(NULL AS timestamptz)";

	buf_printf(
	    b,
	    "INSERT INTO meridian.step (uuid, mig, n, attempt, name, phase, class, place, "
	    "label, state, error, args, before, undo, started, ended) SELECT '%s', %d, %d, %d",
	    m->uuid, m->id, r->n, r->attempt);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		buf_printf(b, ", CAST(%s AS text)", param(p, texts[i]));
	for (size_t i = 0; i < sizeof(jsons) / sizeof(*jsons); i++)
		buf_printf(b, ", CAST(%s AS jsonb)", param(p, jsons[i]));
	buf_printf(b, ", %s, %s", clock == CLOCK_STARTS ? now : none,
		   clock == CLOCK_ENDS ? now : none);
}

static void
put_step_conflict(struct buf *b, enum step_clock clock)
{
	buf_printf(b,
		   " ON CONFLICT (uuid, n) DO UPDATE SET state = excluded.state, attempt = "
		   "excluded.attempt, before = excluded.before, undo = excluded.undo, error = "
		   "excluded.error%s%s",
		   clock == CLOCK_STARTS ? ", started = excluded.started, ended = NULL" : "",
		   clock == CLOCK_ENDS ? ", ended = excluded.ended" : "");
}

int
store_put_step(PGconn *c, const struct migration *m, const struct step_row *r,
	       enum step_clock clock, struct err *e)
{
	struct params p = { .n = 0 };
	struct buf b = { 0 };
	PGresult *done;

	put_step(&b, &p, m, r, clock);
	put_step_conflict(&b, clock);
	done = (r->has_secrets ? db_query_secretly : db_query)(c, e, buf_text(&b), p.n, p.v);
	PQclear(done);
	buf_fini(&b);
	return done != NULL ? 0 : -1;
}

static void
put_row_change(struct buf *b, struct params *p, const struct migration *m)
{
	buf_printf(
	    b,
	    ", m AS (UPDATE meridian.migration SET state = %s, phase = %s, step_n = %d, step = %s, "
	    "progress = %d",
	    param(p, migration_state_name(m->state)),
	    param(p, m->phase < 0 ? "" : migration_phase_name((enum migration_phase)m->phase)),
	    m->step_n, param(p, m->step), m->progress);
	buf_printf(
	    b, ", detail = %s, error = %s, run = CAST(%s AS jsonb), is_home = %s, rev = rev + 1",
	    param(p, m->detail), param(p, m->error), param(p, m->run),
	    m->is_home ? "true" : "false");
	buf_printf(b,
		   ", finished_at = %s WHERE uuid = '%s' AND EXISTS (SELECT 1 FROM l) RETURNING 1)",
		   transition_is_over(m->state) ? "clock_timestamp()" : "NULL", m->uuid);
}

static void
put_event(struct buf *b, struct params *p, const struct migration *m, const struct store_change *ch)
{
	buf_printf(
	    b,
	    ", j AS (INSERT INTO meridian.journal (uuid, seq, mig, at, actor, event, detail) "
	    "SELECT '%s', (SELECT coalesce(max(seq), 0) + 1 FROM meridian.journal WHERE uuid "
	    "= '%s'), %d, clock_timestamp(), CAST(%s AS text)",
	    m->uuid, m->uuid, m->id, param(p, ch->actor));
	buf_printf(
	    b, ", CAST(%s AS text), CAST(%s AS jsonb) FROM l ON CONFLICT DO NOTHING RETURNING 1)",
	    param(p, ch->event), param(p, ch->detail));
}

int
store_write(PGconn *c, const struct migration *m, const struct lease *l,
	    const struct store_change *ch, struct err *e)
{
	struct params p = { .n = 0 };
	struct buf b = { 0 };
	PGresult *r;
	bool is_ours, is_noted;

	buf_printf(&b,
		   "WITH l AS (SELECT 1 FROM meridian.lease WHERE uuid = '%s' AND token = %" PRId64
		   " AND owner = '%s' FOR KEY SHARE)",
		   l->uuid, l->token, l->owner);
	if (ch->step != NULL) {
		buf_str(&b, ", s AS (");
		put_step(&b, &p, m, ch->step, ch->clock);
		buf_str(&b, " FROM l");
		put_step_conflict(&b, ch->clock);
		buf_str(&b, " RETURNING 1)");
	}
	if (ch->row)
		put_row_change(&b, &p, m);
	if (ch->event != NULL)
		put_event(&b, &p, m, ch);
	buf_printf(&b, " SELECT (SELECT count(*) FROM l), %s",
		   ch->event != NULL ? "(SELECT count(*) FROM j)" : "1");
	r = (ch->step != NULL && ch->step->has_secrets ? db_query_secretly
						       : db_query)(c, e, buf_text(&b), p.n, p.v);
	buf_fini(&b);
	if (r == NULL)
		return -1;
	is_ours = PQgetvalue(r, 0, 0)[0] != '0';
	is_noted = PQgetvalue(r, 0, 1)[0] != '0';
	PQclear(r);
	if (!is_ours)
		return err_set(e, LEASE_LOST, "another executor has this migration now");
	return is_noted ? 0 : journal_add(c, m, ch->actor, ch->event, ch->detail, e);
}

/* ---- the plan ---- */

int
store_freeze_plan(PGconn *c, const struct migration *m, const struct step_rows *rows,
		  const char *hash, struct err *e)
{
	const char *params[] = { m->uuid, hash };
	struct err ignored;
	int rc = db_exec(c, e, "BEGIN"), n;

	for (size_t i = 0; rc == 0 && i < rows->n; i++)
		rc = store_put_step(c, m, &rows->v[i], CLOCK_KEEP, e);
	if (rc == 0) {
		n = db_change(
		    c, e,
		    "UPDATE meridian.migration SET plan_hash = $2, rev = rev + 1 WHERE uuid "
		    "= $1 AND plan_hash = ''",
		    2, params);
		if (n != 1)
			rc = n < 0 ? -1
				   : err_set(e, "55000",
					     "the plan of this migration was made already");
	}
	if (rc == 0)
		return db_exec(c, e, "COMMIT");
	db_exec(c, &ignored, "ROLLBACK");
	return -1;
}

int
store_thaw_plan(PGconn *c, const struct migration *m, struct err *e)
{
	struct err ignored;
	const char *uuid = m->uuid;

	if (db_exec(c, e, "BEGIN") == 0 &&
	    db_change(c, e, "DELETE FROM meridian.step WHERE uuid = $1", 1, &uuid) >= 0 &&
	    db_change(c, e,
		      "UPDATE meridian.migration SET plan_hash = '', rev = rev + 1 WHERE "
		      "uuid = $1",
		      1, &uuid) >= 0)
		return db_exec(c, e, "COMMIT");
	db_exec(c, &ignored, "ROLLBACK");
	return -1;
}
