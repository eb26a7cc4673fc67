/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "migration/answer_int.h"
#include "migration/db.h"
#include "migration/fleet.h"

/* Told before it is acknowledged: what an executor has not read by then it does not wait for. */
static int
write_them(const struct asked *q, const struct gate_straggler *v, size_t n, struct err *e)
{
	PGconn *c = q->d->c;
	struct buf sql = { .cap = 0 };
	char *proxy = db_literal(c, q->ms->site.ops->proxy_id(q->ms->site.arg));
	char *uuid = db_literal(c, q->uuid);
	int rc;

	buf_str(&sql, "INSERT INTO meridian.straggler (uuid, attempt, proxy, session, pid, "
		      "in_flight, in_commit, in_block) VALUES ");
	for (size_t i = 0; i < n; i++)
		buf_printf(&sql, "%s(%s, %" PRId64 ", %s, '%" PRIu64 "', %" PRIu32 ", %s, %s, %s)",
			   i > 0 ? ", " : "", uuid, q->attempt, proxy, v[i].session, v[i].pid,
			   v[i].in_flight ? "true" : "false", v[i].in_commit ? "true" : "false",
			   v[i].in_block ? "true" : "false");
	buf_str(&sql, " ON CONFLICT (uuid, proxy, session) DO UPDATE SET attempt = "
		      "excluded.attempt, pid = excluded.pid, in_flight = excluded.in_flight, "
		      "in_commit = excluded.in_commit, in_block = excluded.in_block, outcome = "
		      "NULL");
	rc = db_exec(c, e, buf_text(&sql));
	buf_fini(&sql);
	free(proxy);
	free(uuid);
	return rc;
}

int
answer_stragglers(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
		  struct err *e)
{
	struct gate_straggler *v = xcalloc(FLEET_STRAGGLERS_MAX, sizeof(*v));
	const struct site *s = &q->ms->site;
	size_t n = s->ops->gate->stragglers(s->arg, m, v, FLEET_STRAGGLERS_MAX);
	int rc = n > 0 ? write_them(q, v, n, e) : 0;

	out->open = (unsigned)n;
	free(v);
	return rc;
}

int
answer_settle(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
	      struct err *e)
{
	const struct site *s = &q->ms->site;
	char attempt[24];
	const char *params[] = { q->uuid, s->ops->proxy_id(s->arg), attempt };
	struct gate_straggler *v;
	PGresult *r;
	size_t n;

	snprintf(attempt, sizeof(attempt), "%" PRId64, q->attempt);
	r = db_query(q->d->c, e,
		     "SELECT session, outcome FROM meridian.straggler WHERE uuid = $1 AND proxy = "
		     "$2 AND attempt = CAST($3 AS int8) AND outcome IS NOT NULL",
		     3, params);
	if (r == NULL)
		return -1;
	n = (size_t)PQntuples(r);
	v = xcalloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		int what = atoi(PQgetvalue(r, (int)i, 1));

		v[i].session = strtoull(PQgetvalue(r, (int)i, 0), NULL, 10);
		v[i].outcome = what == GATE_ABORTED     ? GATE_ABORTED
			       : what == GATE_COMMITTED ? GATE_COMMITTED
							: GATE_UNKNOWN;
	}
	PQclear(r);
	if (n > 0)
		s->ops->gate->settle(s->arg, m, v, n);
	out->aborted = (unsigned)n;
	free(v);
	return 0;
}
