/* SPDX-License-Identifier: PostgreSQL
 *
 * What the texts of a session say of where they may run: by what is known of them, by what the
 * catalog of its database says of their names, and by the session's settings.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include "base/err.h"
#include "base/text.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/units.h"
#include "proxy/reads/verdicts.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/vars.h"
#include "routing/classify_catalog.h"

/* A session looks so often for what others have learnt of names. */
#define LOOK_FOR_NAMES_US (100 * USEC_PER_MSEC)

const struct catalog *
reads_catalog(const struct session *s)
{
	const struct pooled *pd = s->pooled;
	const struct catalog *c = pd->reads->catalog;
	bool is_known = c != NULL && pd->pool != NULL && pd->home == NULL &&
			catalog_is_fresh(c, pd->pool, loop_now_us(s->worker->loop));

	return is_known ? c : NULL;
}

/* A text has names of which nothing is known: whether another session has asked meanwhile. Where
 * not, this one asks behind its next transaction at home. */
static bool
take_catalog(struct session *s)
{
	struct reads *r = s->pooled->reads;
	const struct pool *home = s->pooled->pool;
	int64_t now_us = loop_now_us(s->worker->loop);

	if (home == NULL || s->pooled->home != NULL || now_us < r->look_us)
		return false;
	r->look_us = now_us + LOOK_FOR_NAMES_US;
	catalog_unref(r->catalog);
	r->catalog = catalog_get(home, now_us);
	r->wants_names = r->catalog == NULL && r->now[SET_READS] != READS_HOME;
	return r->catalog != NULL;
}

bool
reads_begins_read_only(const struct session *s)
{
	static const char name[] = "default_transaction_read_only";
	const struct pooled *pd = s->pooled;
	struct slice value;
	bool is_on;
	/* PostgreSQL 14 reports it, also where its role has it; of an older one what the client has
	 * set is known */
	bool is_known = (pd->told != NULL && vars_get(pd->told, name, &value)) ||
			vars_get(pd->vars, name, &value);

	return is_known && text_to_bool(value, &is_on) && is_on;
}

enum classify_reason
reads_judge_text(void *arg, struct slice sql)
{
	struct session *s = arg;
	struct verdicts *v = s->worker->verdicts;
	const struct catalog *c = reads_catalog(s);
	enum classify_reason reason = verdicts_get(v, sql, c);

	if (c == NULL && classify_is_of_names(reason) && take_catalog(s))
		reason = verdicts_get(v, sql, s->pooled->reads->catalog);
	if (reason == CLASSIFY_BEGIN && reads_begins_read_only(s))
		reason = CLASSIFY_READ_ONLY;
	return reason;
}

bool
reads_judge_prepared(void *arg, struct slice name, struct slice *sql)
{
	struct session *s = arg;

	return statements_text(s->pooled->statements, name, sql);
}

bool
reads_knows(const struct worker *w, struct slice fingerprint, unsigned *reason)
{
	return w->verdicts != NULL && verdicts_know(w->verdicts, fingerprint, reason);
}

/* ---- tokens in comments ---- */

void
reads_take_tokens(struct session *s, struct slice unit)
{
	struct slice sql, value;
	struct wal_token token;
	struct err e;

	while (units_next_text(&unit, &sql)) {
		if (!token_in_comment(sql, &value))
			continue;
		if (reads_parse_token(s, value, &token, &e) != 0) {
			reads_fail_unit(s->pooled->reads, &e);
			return;
		}
		reads_see(s->pooled->reads, s, &token);
	}
}

/* ---- learning names ---- */

void
reads_ask_for_names(struct session *s)
{
	struct reads *r = s->pooled->reads;
	const struct pool *home = s->pooled->pool;

	if (!pooled_can_learn(s))
		return;
	r->wants_names = false;
	r->changes = pool_database_changes(home->of_database);
	if (catalog_begin(home, loop_now_us(s->worker->loop)))
		pooled_learn_names(s, slice_str(classify_catalog_sql));
}

void
reads_on_names(struct session *s, struct slice messages)
{
	struct reads *r = s->pooled->reads;
	int64_t now_us = loop_now_us(s->worker->loop);

	r->look_us = 0;
	if (messages.n == 0)
		catalog_fail(s->pooled->pool, now_us);
	else
		catalog_learn(s->pooled->pool, r->changes, messages, now_us);
}
