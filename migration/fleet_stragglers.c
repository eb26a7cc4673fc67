/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/fleet_int.h"
#include "migration/job_int.h"

#define SEIZE_US  (4 * USEC_PER_SEC) /* a ROLLBACK that is not answered takes half a second */
#define SETTLE_US (3 * USEC_PER_SEC)

static bool
is_true(const PGresult *r, int row, int column)
{
	return PQgetvalue(r, row, column)[0] == 't';
}

/* Behind ours: what the others have written. */
static int
read_others(struct job *j, const struct gate_move *m, struct fleet_stragglers *s, struct err *e)
{
	char attempt[24];
	const char *params[] = { j->m.uuid, attempt };
	PGconn *c = fleet_square(j, e);
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
			.in_flight = is_true(r, i, 3),
			.in_commit = is_true(r, i, 4),
			.in_block = is_true(r, i, 5),
			.outcome = GATE_UNKNOWN,
		};
	}
	PQclear(r);
	return 0;
}

/* Rows of a try before, or of one that died. */
static int
forget_rows(struct job *j, struct err *e)
{
	const char *params[] = { j->m.uuid };
	PGconn *c = fleet_square(j, e);
	PGresult *r =
	    c == NULL ? NULL
		      : db_query(c, e, "DELETE FROM meridian.straggler WHERE uuid = $1", 1, params);

	PQclear(r);
	return r != NULL ? 0 : -1;
}

static int
not_all(struct job *j, int64_t left, struct err *e)
{
	if (job_is_forced(j, "proxies")) {
		job_notice(j,
			   "%d proxies have not said which transactions are open; the fence "
			   "ends them",
			   (int)left);
		return 0;
	}
	err_set(e, SQLSTATE_CUTOVER_DEADLINE,
		"%d proxies have not said in time which transactions are open", (int)left);
	err_detail(e, "Their clients would not hear what became of them.");
	return err_hint(e, "SHOW EXECUTORS; FORCE (proxies) goes on without them.");
}

int
fleet_stragglers(struct job *j, const struct gate_move *m, struct fleet_stragglers *out,
		 struct err *e)
{
	struct asking a = { .j = j, .m = m, .what = "stragglers" };
	int64_t deadline = clock_us() + SEIZE_US, left = 0;
	const struct site *s = j->site;
	struct gate_counts ignored;
	int others = fleet_others_lately(j, e);

	*out = (struct fleet_stragglers){ 0 };
	if (others < 0 || (others > 0 && (forget_rows(j, e) < 0 || fleet_call(&a, e) < 0)))
		return -1;
	out->v = xcalloc(FLEET_STRAGGLERS_MAX, sizeof(*out->v));
	out->own = s->ops->gate->stragglers(s->arg, m, out->v, FLEET_STRAGGLERS_MAX);
	out->n = out->own;
	if (others == 0)
		return 0;
	if (fleet_await(&a, deadline, &ignored, &left, e) < 0 ||
	    (left > 0 && not_all(j, left, e) < 0))
		return -1;
	return read_others(j, m, out, e);
}

static int
write_outcomes(struct job *j, const struct fleet_stragglers *s, struct err *e)
{
	PGconn *c = fleet_square(j, e);
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
	struct asking a = { .j = j, .m = m, .what = "settle" };
	bool is_asked = false, has_others = s->n > s->own;
	const struct site *site = j->site;
	struct gate_counts ignored;
	struct err why = { .msg = "" };
	int64_t left = 0;

	if (has_others)
		is_asked = write_outcomes(j, s, &why) == 0 && fleet_call(&a, &why) == 0;
	if (s->own > 0)
		site->ops->gate->settle(site->arg, m, s->v, s->own);
	if (is_asked)
		(void)fleet_await(&a, clock_us() + SETTLE_US, &ignored, &left, &why);
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
