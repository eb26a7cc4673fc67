/* SPDX-License-Identifier: PostgreSQL
 *
 * What the caller of POST /sql has seen (proxy/reads): its header Meridian-Token, and
 * meridian.token in its connection string. A request goes where its route leads; where that may be
 * a standby, one that is known to have replayed what was seen goes first, or a primary does, and a
 * standby is asked for it before the statements are sent. Behind them the node is asked what has
 * been seen with them, in the same send, for the header of the answer.
 */
#include "config.h"

#include <inttypes.h>

#include "base/clock.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/config/config.h"
#include "proxy/http/http_int.h"
#include "proxy/http/sql_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/process/world.h"
#include "proxy/reads/reads.h"
#include "proxy/session/login_state.h"
#include "proxy/sqlstate/session_probe.h"
#include "routing/topology.h"

/* A standby that has not replayed enough waits for so long before it says so, and is asked again:
 * one query that waits longer would keep it from replaying (decision 47). */
#define CHECK_EVERY "0.002"

/* Earlier servers do not say in their login whether they are standbys. */
#define SAYS_ROLE 140000

static enum token_verdict
judge(const struct node *n, const struct wal_token *floor)
{
	if (n == NULL || n->system_id == 0)
		return TOKEN_UNKNOWN;
	return token_judge(floor, n->system_id, n->timeline, &n->ends);
}

static bool
takes_writes(const struct node *n)
{
	return n->role == ROLE_PRIMARY || n->role == ROLE_MULTI;
}

/* ---- where it goes ---- */

/* By the last word of its probe. */
static bool
is_known_to_show(const struct node *n, const struct wal_token *floor)
{
	return takes_writes(n) || (judge(n, floor) == TOKEN_STANDS && n->lsn >= floor->lsn);
}

void
sql_order_candidates(struct session *s)
{
	const struct topology *t = s->login->world->topology;
	struct login *l = s->login;
	uint16_t others[ROUTE_NODES_MAX];
	unsigned n = 0, nothers = 0;
	struct wal_token floor;
	struct err e;

	/* one that is none was refused before this */
	if (reads_login_floor(s, &floor, &e) != 0 || floor.lsn == 0)
		return;
	for (unsigned i = 0; i < l->ncandidates; i++) {
		if (is_known_to_show(&t->nodes[l->candidates[i]], &floor))
			l->candidates[n++] = l->candidates[i];
		else
			others[nothers++] = l->candidates[i];
	}
	memcpy(l->candidates + n, others, nothers * sizeof(others[0]));
}

/* ---- what it shows there ---- */

static const struct node *
node_of(const struct session *s)
{
	return topology_node_by_live(worker_world(s->worker)->topology, s->server->live);
}

static bool
is_primary(const struct session *s)
{
	const struct node *n = node_of(s);

	return s->server->is_primary ||
	       (n != NULL && n->server_version < SAYS_ROLE && takes_writes(n));
}

int
sql_take_floor(struct session *s, struct err *e)
{
	const struct conf_database *db = s->login->database;
	struct sql *q = s->http->sql;
	enum token_verdict verdict;

	q->says_token = q->says_token || db->reads != READS_HOME;
	q->wait_us = db->consistency_wait;
	if (reads_login_floor(s, &q->floor, e) != 0)
		return -1;
	if (q->floor.lsn == 0)
		return 0;
	verdict = judge(node_of(s), &q->floor);
	if (verdict == TOKEN_LOST && db->lost_wal == LOST_WAL_FAIL)
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
			       "what the request is to show was lost in a fail-over");
	if (verdict != TOKEN_STANDS && !is_primary(s)) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
			"it is not known whether the standby has what the request is to show");
		err_detail(e, "That is of timeline %" PRIu32 ".", q->floor.timeline);
		return -1;
	}
	/* what was lost is not what has been seen from now on */
	if (verdict != TOKEN_STANDS)
		q->floor = (struct wal_token){ 0 };
	return 0;
}

bool
sql_must_check(const struct session *s)
{
	struct sql *q = s->http->sql;

	if (q->floor.lsn == 0 || is_primary(s))
		return false;
	q->wait_until_us = clock_us() + q->wait_us;
	return true;
}

void
sql_put_check(const struct sql *q, struct buf *b)
{
	struct buf sql = { .cap = 1024 };

	buf_printf(&sql,
		   "SELECT 1 FROM " WAL_POSITION_FROM
		   " WHERE l OPERATOR(pg_catalog.>=) '%X/%X'::pg_catalog.pg_lsn OR "
		   "pg_catalog.pg_sleep(" CHECK_EVERY ") IS NULL",
		   (unsigned)(q->floor.lsn >> 32), (unsigned)q->floor.lsn);
	message_put_query(b, buf_view(&sql));
	buf_fini(&sql);
}

/* ---- what has been seen ---- */

void
sql_put_question(struct session *s, struct buf *b)
{
	struct buf sql = { .cap = 4096 };

	buf_str(&sql, "SELECT ");
	(void)reads_show(s, SLICE_LITERAL("token"), true, &sql);
	message_put_query(b, buf_view(&sql));
	buf_fini(&sql);
}

void
sql_take_said(struct session *s, struct slice row)
{
	struct sql *q = s->http->sql;
	struct slice value;

	row = slice_skip(row, 2);
	if (!session_probe_next_column(&row, &value) || !token_parse(value, &q->seen))
		q->seen = (struct wal_token){ 0 };
	else if (q->floor.lsn != 0)
		token_raise(&q->seen, &q->floor);
}

void
sql_put_token(const struct sql *q, struct buf *headers)
{
	struct buf token = { .cap = TOKEN_TEXT_MAX };

	if (q->seen.lsn == 0)
		return;
	token_put(&token, &q->seen);
	buf_printf(headers, HTTP_TOKEN_HEADER ": %s\r\n", buf_text(&token));
	buf_fini(&token);
}
