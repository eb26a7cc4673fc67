/* SPDX-License-Identifier: PostgreSQL
 *
 * The observers (proxy/session/observers.h) that a session of a pool has: one for the server that
 * it is lent, in front of the observers that read its statements, and one for its prepared
 * statements, behind them.
 */
#include "config.h"

#include "base/hot.h"
#include "protocol/sqleffects.h"
#include "proxy/pool/pool_int.h"
#include "proxy/pool/pooled_int.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/statements.h"

/* ---- the server that it is lent ---- */

static HOT bool
pool_on_client(struct session *s, const char **p, size_t *n)
{
	return (s->pooled->state != POOLED_SKIPPING || pooled_skip(s, p, n)) &&
	       pooled_take(s, *p, *n);
}

static HOT bool
pool_passes(struct session *s, const struct answer *a)
{
	if ((a->events & EXCHANGE_PARAMETER) || s->pooled->report.n > 0)
		pooled_on_reports(s, a->before, slice_of(a->p, a->n));
	return true;
}

static HOT void
pool_on_server_sent(struct session *s, const struct answer *a)
{
	pooled_answered(s, a->events & EXCHANGE_READY);
}

static bool
pool_waits(const struct session *s)
{
	return s->pooled->state == POOLED_WAITING;
}

static const char *
pool_doing(const struct session *s)
{
	return s->pooled->state == POOLED_WAITING ? "waiting" : NULL;
}

static bool
pool_explain_wait(const struct session *s, struct err *e)
{
	pooled_explain_wait(s->pooled, e);
	return true;
}

static const struct node_live *
pool_place(const struct session *s)
{
	return s->pooled->pool != NULL ? s->pooled->pool->live : NULL;
}

const struct observer pool_observer = {
	.name = "pool",
	.on_client = pool_on_client,
	.on_terminate = pooled_terminate,
	.on_client_sent = pooled_settle,
	.passes = pool_passes,
	.on_server_sent = pool_on_server_sent,
	.on_server_drained = pooled_on_server_drained,
	.waits = pool_waits,
	.doing = pool_doing,
	.explain_wait = pool_explain_wait,
	.place = pool_place,
	.on_server_gone = pooled_part,
	.release = pooled_release,
};

/* ---- what it has prepared ---- */

static HOT void
statements_on_server_read(struct session *s, const struct answer *a)
{
	const struct exchange_tally *tally = &a->tally;

	statements_heard(s->pooled->statements);
	/* a transaction ends that may have changed the schema: a text that a session prepares after
	 * the client has been told so does not get a statement that was prepared before */
	if (UNLIKELY(s->pooled->effects & EFFECT_SCHEMA) && tally->transactions > 0)
		atomic_fetch_add(&s->pooled->pool->of_database->changes, 1);
	for (unsigned i = 0; i < tally->errors && i < EXCHANGE_TALLY_MAX; i++)
		statements_error(s->pooled->statements, tally->sqlstates[i]);
}

const struct observer statements_observer = {
	.name = "statements",
	.on_client = pooled_rewrite,
	.on_server_read = statements_on_server_read,
};
