/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"

#define LOOK_US    (5 * USEC_PER_MSEC)
#define RESUME_US  (2 * USEC_PER_SEC)
#define FREEZE_MAX (60 * USEC_PER_SEC)
#define FRESH      "5 seconds"           /* a proxy whose heartbeat is older does not count */
#define EXTRA_US   (200 * USEC_PER_MSEC) /* at least, and at most, for an answer to arrive */
#define EXTRA_MAX  (2 * USEC_PER_SEC)
#define OTHERS_US  (5 * USEC_PER_SEC) /* so old may the number of proxies be in the pause */
#define SEIZE_US   (4 * USEC_PER_SEC) /* a ROLLBACK that is not answered takes half a second */
#define SETTLE_US  (3 * USEC_PER_SEC)

/* One order to the proxies of the fleet, as the row in meridian.freeze has it. */
struct fleet_order {
	struct job *j;
	const struct gate_move *m;
	const char *what;
	int64_t epoch;
	int64_t wait_us; /* freeze: how long transactions may take to come to their end */
};

/* The database that every proxy watches: the migration's home. */
static PGconn *
fleet_db(struct job *j, struct err *e)
{
	return j->x != NULL ? job_home(j, e) : job_db(j, job_first_place(j), e);
}

int
fleet_others(struct job *j, struct err *e)
{
	const char *params[] = { j->site->ops->proxy_id(j->site->arg) };
	PGconn *c = fleet_db(j, e);
	int64_t n;

	if (c == NULL ||
	    db_int(c, &n, e,
		   "SELECT count(*) FROM meridian.proxy WHERE id <> $1 AND heartbeat > "
		   "clock_timestamp() - interval '" FRESH "'",
		   1, params) < 0)
		return -1;
	j->others = (int)n;
	j->others_us = clock_us();
	return (int)n;
}

/* How many others there are. In the pause a number that was counted just before will do: the way to
 * the home may be long. */
static int
others_lately(struct job *j, struct err *e)
{
	return j->others_us > 0 && clock_us() - j->others_us < OTHERS_US ? j->others
									 : fleet_others(j, e);
}

/* The row that every proxy's watcher sees, and the notification that wakes it. What was answered to
 * the order before is forgotten. */
static int
give_order(const struct fleet_order *a, struct err *e)
{
	char mig[16], attempt[24], epoch[24], ms[24], wait[24];
	int64_t expires = a->m->expires_us > 0 ? a->m->expires_us : FREEZE_MAX;
	const char *params[] = { a->j->m.uuid,
				 mig,
				 attempt,
				 a->what,
				 a->m->database,
				 a->m->from != NULL ? a->m->from : "",
				 a->m->to != NULL ? a->m->to : "",
				 a->m->newdb != NULL ? a->m->newdb : "",
				 epoch,
				 ms,
				 wait };
	PGconn *c = fleet_db(a->j, e);
	int n;

	if (c == NULL)
		return -1;
	snprintf(mig, sizeof(mig), "%d", a->j->m.id);
	snprintf(attempt, sizeof(attempt), "%" PRIu64, a->m->attempt);
	snprintf(epoch, sizeof(epoch), "%" PRId64, a->epoch);
	snprintf(ms, sizeof(ms), "%" PRId64 " ms", expires / USEC_PER_MSEC);
	snprintf(wait, sizeof(wait), "%" PRId64 " ms", a->wait_us / USEC_PER_MSEC);
	n = db_change(
	    c, e,
	    "WITH d AS (DELETE FROM meridian.freeze_ack WHERE uuid = $1), f AS (INSERT INTO "
	    "meridian.freeze (uuid, mig, attempt, what, db, src, dst, newdb, epoch, at, expires, "
	    "until) SELECT CAST($1 AS text), CAST($2 AS int), CAST($3 AS int8), CAST($4 AS text), "
	    "CAST($5 AS text), CAST($6 AS text), CAST($7 AS text), CAST($8 AS text), CAST($9 AS "
	    "int8), now.at, now.at + CAST($10 AS interval), now.at + CAST($11 AS interval) FROM "
	    "(SELECT clock_timestamp() AS at) now ON CONFLICT (uuid) DO UPDATE SET attempt = "
	    "excluded.attempt, what = excluded.what, db = excluded.db, src = excluded.src, dst = "
	    "excluded.dst, newdb = excluded.newdb, epoch = excluded.epoch, at = excluded.at, "
	    "expires = excluded.expires, until = excluded.until RETURNING 1) SELECT "
	    "pg_notify('meridian', 'freeze') FROM f",
	    11, params);
	return n < 0 ? -1 : 0;
}

/* How many live proxies have not answered; sums what the others said. */
static int
count_missing(const struct fleet_order *a, struct gate_counts *sum, int64_t *out, struct err *e)
{
	char attempt[24];
	const char *params[] = { a->j->m.uuid, attempt, a->what,
				 a->j->site->ops->proxy_id(a->j->site->arg) };
	PGconn *c = fleet_db(a->j, e);
	unsigned *const fields[] = { &sum->sessions, &sum->open, &sum->kept, &sum->closed,
				     &sum->aborted };
	PGresult *r;

	if (c == NULL)
		return -1;
	snprintf(attempt, sizeof(attempt), "%" PRIu64, a->m->attempt);
	r = db_query(
	    c, e,
	    "SELECT count(*) - count(a.proxy), coalesce(sum(a.sessions), 0), "
	    "coalesce(sum(a.open), 0), coalesce(sum(a.kept), 0), coalesce(sum(a.closed), 0), "
	    "coalesce(sum(a.aborted), 0) FROM meridian.proxy p LEFT JOIN meridian.freeze_ack "
	    "a ON a.proxy = p.id AND a.uuid = $1 AND a.attempt = CAST($2 AS int8) AND a.what "
	    "= $3 WHERE p.id <> $4 AND p.heartbeat > clock_timestamp() - interval '" FRESH "'",
	    4, params);
	if (r == NULL)
		return -1;
	*out = atol(PQgetvalue(r, 0, 0));
	for (int f = 0; f < 5; f++)
		*fields[f] = (unsigned)atol(PQgetvalue(r, 0, f + 1));
	PQclear(r);
	return 0;
}

/* Until all have answered, or the deadline; *left: so many have not. */
static int
await_answers(const struct fleet_order *a, int64_t deadline_us, struct gate_counts *sum,
	      int64_t *left, struct err *e)
{
	for (;;) {
		if (count_missing(a, sum, left, e) < 0)
			return -1;
		if (*left == 0 || clock_us() >= deadline_us)
			return 0;
		clock_sleep(LOOK_US);
	}
}

static void
add_counts(struct gate_counts *to, const struct gate_counts *more)
{
	to->sessions += more->sessions;
	to->open += more->open;
	to->kept += more->kept;
	to->closed += more->closed;
	to->aborted += more->aborted;
}

int
fleet_prewarm(struct job *j, const struct gate_move *m, int64_t deadline_us, struct err *e)
{
	struct fleet_order a = { .j = j, .m = m, .what = "prewarm" };
	struct gate_counts ignored;
	int others = fleet_others(j, e);
	int64_t left;

	if (others < 0 || (others > 0 && give_order(&a, e) < 0))
		return -1;
	if (j->site->ops->gate->prewarm(j->site->arg, m, deadline_us, e) < 0)
		return -1;
	return others > 0 ? await_answers(&a, deadline_us, &ignored, &left, e) : 0;
}

int
fleet_rehearse(struct job *j, const struct gate_move *m, int64_t deadline_us,
	       struct gate_counts *others, struct err *e)
{
	struct fleet_order a = { .j = j, .m = m, .what = "rehearse" };
	int64_t left = 0;
	int n = fleet_others(j, e);

	if (n <= 0)
		return n;
	if (give_order(&a, e) < 0 ||
	    await_answers(&a, deadline_us + EXTRA_MAX, others, &left, e) < 0)
		return -1;
	if (left > 0)
		job_notice(j, "%d proxies have not said what will become of their sessions",
			   (int)left);
	return 0;
}

/* So many have not done it in time: FORCE (proxies) goes on without them. */
static int
some_are_silent(struct job *j, int64_t left, const char *notice, const char *error,
		const char *detail, struct err *e)
{
	if (job_is_forced(j, "proxies")) {
		job_notice(j, "%d proxies have not %s", (int)left, notice);
		return 0;
	}
	err_set(e, SQLSTATE_CUTOVER_DEADLINE, "%d proxies have not %s", (int)left, error);
	err_detail(e, "%s", detail);
	return err_hint(e, "SHOW EXECUTORS; FORCE (proxies) goes on without them.");
}

/* How long answers may come behind the deadline. The others answer at the deadline where a
 * transaction is still open, from as far away as the fleet reaches, on machines as busy as they
 * are: an operator who gives transactions more time has more time for answers too. */
static int64_t
extra_of(int64_t wait_us)
{
	int64_t extra = wait_us / 2;

	return extra < EXTRA_US ? EXTRA_US : extra > EXTRA_MAX ? EXTRA_MAX : extra;
}

int
fleet_freeze(struct job *j, const struct gate_move *m, int64_t deadline_us, struct gate_counts *out,
	     struct err *e)
{
	struct fleet_order a = {
		.j = j, .m = m, .what = "freeze", .wait_us = deadline_us - clock_us()
	};
	struct gate_counts others_sum = { 0 };
	int others = others_lately(j, e);
	int64_t left = 0;

	if (others < 0 || (others > 0 && give_order(&a, e) < 0))
		return -1;
	if (j->site->ops->gate->freeze(j->site->arg, m, deadline_us, out, e) < 0)
		return -1;
	if (others > 0 &&
	    await_answers(&a, deadline_us + extra_of(a.wait_us), &others_sum, &left, e) < 0)
		return -1;
	add_counts(out, &others_sum);
	if (left == 0)
		return 0;
	return some_are_silent(j, left, "frozen in time; the fence stops them", "frozen in time",
			       "Their clients would meet the fence.", e);
}

int
fleet_switch(struct job *j, const struct gate_move *m, int64_t epoch, int64_t deadline_us,
	     struct gate_counts *out, struct err *e)
{
	struct fleet_order a = { .j = j, .m = m, .what = "switch", .epoch = epoch };
	struct gate_counts others_sum = { 0 };
	const struct site *s = j->site;
	struct err why = { .msg = "" };
	int64_t left = 0;
	int others, rc;

	/* The own proxy first: the others, which may be far, follow while it is at work. */
	s->ops->serve(s->arg, m->database, m->to, m->newdb != NULL ? m->newdb : "", epoch);
	rc = s->ops->gate->switch_over(s->arg, m, out, e);
	others = others_lately(j, &why);
	if (others > 0 && give_order(&a, &why) == 0 &&
	    await_answers(&a, deadline_us, &others_sum, &left, &why) == 0)
		add_counts(out, &others_sum);
	if (*why.msg != '\0' || left > 0)
		job_notice(j, "not every proxy has said that it switched%s%s",
			   *why.msg != '\0' ? ": " : "", why.msg);
	return rc;
}

void
fleet_resume(struct job *j, const struct gate_move *m)
{
	struct fleet_order a = { .j = j, .m = m, .what = "resume" };
	struct gate_counts ignored;
	struct err e;
	int64_t left;
	int others;

	j->site->ops->gate->resume(j->site->arg, m);
	/* A proxy that froze may not be counted any more, or not yet: it finds the row. */
	others = fleet_others(j, &e);
	if (give_order(&a, &e) == 0 && others > 0)
		await_answers(&a, clock_us() + RESUME_US, &ignored, &left, &e);
}

/* ---- stragglers ---- */

/* Append what the others have written to our own. */
static int
read_others(struct job *j, const struct gate_move *m, struct fleet_stragglers *s, struct err *e)
{
	char attempt[24];
	const char *params[] = { j->m.uuid, attempt };
	PGconn *c = fleet_db(j, e);
	PGresult *r;

	snprintf(attempt, sizeof(attempt), "%" PRIu64, m->attempt);
	r = c == NULL ? NULL
		      : db_query(c, e,
				 "SELECT proxy, session, pid, in_flight, in_commit, in_block FROM "
				 "meridian.straggler WHERE uuid = $1 AND attempt = CAST($2 AS "
				 "int8) LIMIT 65536",
				 2, params);
	if (r == NULL)
		return -1;
	s->proxies = xcalloc((size_t)PQntuples(r) + 1, sizeof(*s->proxies));
	for (int i = 0; i < PQntuples(r) && s->n < FLEET_STRAGGLERS_MAX; i++) {
		s->proxies[i] = xstrdup(PQgetvalue(r, i, 0));
		s->v[s->n++] = (struct gate_straggler){
			.session = strtoull(PQgetvalue(r, i, 1), NULL, 10),
			.pid = (uint32_t)strtoul(PQgetvalue(r, i, 2), NULL, 10),
			.in_flight = PQgetvalue(r, i, 3)[0] == 't',
			.in_commit = PQgetvalue(r, i, 4)[0] == 't',
			.in_block = PQgetvalue(r, i, 5)[0] == 't',
			.outcome = GATE_UNKNOWN,
		};
	}
	PQclear(r);
	return 0;
}

/* Away with the rows of a try before, or of an executor that died. */
static int
forget_rows(struct job *j, struct err *e)
{
	const char *params[] = { j->m.uuid };
	PGconn *c = fleet_db(j, e);

	if (c == NULL)
		return -1;
	return db_change(c, e, "DELETE FROM meridian.straggler WHERE uuid = $1", 1, params);
}

int
fleet_stragglers(struct job *j, const struct gate_move *m, struct fleet_stragglers *out,
		 struct err *e)
{
	struct fleet_order a = { .j = j, .m = m, .what = "stragglers" };
	int64_t deadline = clock_us() + SEIZE_US, left = 0;
	const struct site *s = j->site;
	struct gate_counts ignored;
	int others = others_lately(j, e);

	*out = (struct fleet_stragglers){ 0 };
	if (others < 0 || (others > 0 && (forget_rows(j, e) < 0 || give_order(&a, e) < 0)))
		return -1;
	out->v = xcalloc(FLEET_STRAGGLERS_MAX, sizeof(*out->v));
	out->own = s->ops->gate->stragglers(s->arg, m, out->v, FLEET_STRAGGLERS_MAX);
	out->n = out->own;
	if (others == 0)
		return 0;
	if (await_answers(&a, deadline, &ignored, &left, e) < 0 ||
	    (left > 0 &&
	     some_are_silent(j, left, "said which transactions are open; the fence ends them",
			     "said in time which transactions are open",
			     "Their clients would not hear what became of them.", e) < 0))
		return -1;
	return read_others(j, m, out, e);
}

static int
write_outcomes(struct job *j, const struct fleet_stragglers *s, struct err *e)
{
	PGconn *c = fleet_db(j, e);
	struct buf sql = { .cap = 0 };
	int rc = -1;

	if (c == NULL)
		return -1;
	buf_str(&sql, "UPDATE meridian.straggler s SET outcome = v.outcome FROM (VALUES ");
	for (size_t i = s->own; i < s->n; i++) {
		char *proxy = db_literal(c, s->proxies[i - s->own]);

		buf_printf(&sql, "%s(%s, '%" PRIu64 "', %d)", i > s->own ? ", " : "", proxy,
			   s->v[i].session, (int)s->v[i].outcome);
		free(proxy);
	}
	buf_printf(&sql,
		   ") v(proxy, session, outcome) WHERE s.uuid = '%s' AND s.proxy = v.proxy AND "
		   "s.session = v.session",
		   j->m.uuid);
	if (!sql.failed)
		rc = db_exec(c, e, buf_text(&sql));
	buf_fini(&sql);
	return rc;
}

void
fleet_settle(struct job *j, const struct gate_move *m, const struct fleet_stragglers *s)
{
	struct fleet_order a = { .j = j, .m = m, .what = "settle" };
	bool is_asked = false, has_others = s->n > s->own;
	const struct site *site = j->site;
	struct gate_counts ignored;
	struct err why = { .msg = "" };
	int64_t left = 0;

	if (has_others)
		is_asked = write_outcomes(j, s, &why) == 0 && give_order(&a, &why) == 0;
	if (s->own > 0)
		site->ops->gate->settle(site->arg, m, s->v, s->own);
	if (is_asked)
		(void)await_answers(&a, clock_us() + SETTLE_US, &ignored, &left, &why);
	if (left > 0 || *why.msg != '\0')
		job_notice(j, "not every proxy has heard what became of its transactions%s%s",
			   *why.msg != '\0' ? ": " : "", why.msg);
}

void
fleet_stragglers_fini(struct fleet_stragglers *s)
{
	for (size_t i = s->own; s->proxies != NULL && i < s->n; i++)
		free(s->proxies[i - s->own]);
	free(s->proxies);
	free(s->v);
	*s = (struct fleet_stragglers){ 0 };
}
