/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW REDIRECTS, and what FINALIZE and COMPLETE say of those who still enter by the region that
 * was left.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/command_int.h"
#include "migration/db.h"
#include "migration/migrations_int.h"
#include "migration/redirect.h"
#include "migration/transitions.h"

/* Whoever has a session is seen every ten seconds. */
#define FRESH "40 seconds"

static const char *
or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

/* What clients are sent to, the caller's; NULL: nobody has said it. */
static char *
entry_of(struct command_run *c, const struct redirect *r)
{
	const struct site *site = migrations_site(c->ms);

	return site->ops->redirects != NULL ? site->ops->redirects->entry(site->arg, r->to) : NULL;
}

/* ---- SHOW REDIRECTS ---- */

static void
callers_of(struct command_run *c, PGconn *db, const struct redirect *m)
{
	static const char sql[] =
	    "SELECT addr, usr, application, sum(CASE WHEN last_seen > clock_timestamp() - interval "
	    "'" FRESH "' THEN sessions ELSE 0 END), sum(logins), sum(refused), max(last_seen), "
	    "CAST($2 AS int) FROM meridian.redirect WHERE uuid = $1 GROUP BY 1, 2, 3 ORDER BY 7 "
	    "DESC, 1, 2, 3 LIMIT 10000";
	char id[16], *entry = entry_of(c, m);
	const char *params[] = { m->uuid, id };
	struct err ignored;
	PGresult *r;

	snprintf(id, sizeof(id), "%d", m->migration);
	r = db_query(db, &ignored, sql, 2, params);
	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		const char *values[] = { id,
					 m->database,
					 m->from,
					 m->to,
					 or_null(PQgetvalue(r, i, 0)),
					 or_null(PQgetvalue(r, i, 1)),
					 or_null(PQgetvalue(r, i, 2)),
					 PQgetvalue(r, i, 3),
					 PQgetvalue(r, i, 4),
					 PQgetvalue(r, i, 5),
					 PQgetvalue(r, i, 6),
					 or_null(m->until),
					 entry };

		c->sink->row(c->sink->arg, values, sizeof(values) / sizeof(values[0]));
	}
	PQclear(r);
	free(entry);
}

static void
redirects_of(struct command_run *c, const struct finding *f)
{
	struct err ignored;
	struct redirects all = { 0 };
	PGconn *db = finding_open(c->ms, f, &ignored);

	if (db != NULL && redirects_read(db, &all, &ignored) == 0 && all.n > 0)
		redirects_ask(c->ms, db, db);
	if (all.n > 0)
		for (size_t i = 0; i < all.n && !command_is_cancelled(c); i++) {
			(void)redirect_flush(c->ms, db, &all.v[i], true, &ignored);
			callers_of(c, db, &all.v[i]);
		}
	redirects_fini(&all);
	PQfinish(db);
}

int
command_redirects(struct command_run *c, struct err *e)
{
	const struct site *site = migrations_site(c->ms);
	struct strlist regions = { 0 };
	struct findings found = { 0 };

	site->ops->regions(site->arg, &regions);
	for (size_t i = 0; i < regions.n; i++)
		(void)migrations_look(c->ms, regions.v[i], LOOK_AGE_US, &found, e);
	for (size_t i = 0; i < found.n && !command_is_cancelled(c); i++)
		redirects_of(c, &found.v[i]);
	findings_fini(&found);
	strlist_fini(&regions);
	return 0;
}

/* ---- FINALIZE, COMPLETE ---- */

/* Right behind the switch it is the side that was left that everybody watches. */
static void
ask_fleet(struct command_run *c, const struct redirect *r)
{
	const struct site *site = migrations_site(c->ms);
	struct site_node v[SITE_NODES_MAX];
	PGconn *left = NULL;
	struct err ignored;

	if (site->ops->nodes(site->arg, r->from, v, &ignored) > 0 && v[0].is_usable)
		left = migrations_open(c->ms, &v[0], r->database, &ignored);
	redirects_ask(c->ms, c->at.db, left != NULL ? left : c->at.db);
	PQfinish(left);
}

/* That migration's, and how many hosts were seen; NULL: it has none, or cannot be asked. */
static const struct redirect *
own(struct command_run *c, struct redirects *all, int64_t *hosts)
{
	struct err ignored;

	if (c->at.db == NULL || redirects_read(c->at.db, all, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < all->n; i++) {
		const struct redirect *r = &all->v[i];

		if (strcmp(r->uuid, c->at.m.uuid) != 0)
			continue;
		ask_fleet(c, r);
		(void)redirect_flush(c->ms, c->at.db, r, true, &ignored);
		return redirect_hosts(c->at.db, r, hosts, &ignored) == 0 ? r : NULL;
	}
	return NULL;
}

static void
put_hosts(struct buf *out, int64_t n, const char *enter, const char *enters)
{
	if (n == 0)
		buf_printf(out, "No client host was seen that %s", enters);
	else
		buf_printf(out, "%" PRId64 " client host%s still %s", n, n == 1 ? "" : "s",
			   n == 1 ? enters : enter);
}

void
command_put_redirects(struct command_run *c, const struct migration *m, struct buf *out)
{
	struct redirects all = { 0 };
	int64_t hosts = 0;
	const struct redirect *r = own(c, &all, &hosts);
	char *entry = r != NULL ? entry_of(c, r) : NULL;

	buf_str(out, "- ");
	if (r != NULL)
		put_hosts(out, hosts, "enter", "enters");
	else
		buf_str(out, "Who still enters");
	buf_printf(out, " through %s (SHOW REDIRECTS)", m->src);
	if (r != NULL)
		buf_printf(out, "; it forwards until %s", r->until);
	if (r != NULL && entry == NULL)
		buf_printf(out,
			   "\n- Say what clients are to connect to then: entry in [region %s]; as "
			   "long as nobody does, it goes on forwarding",
			   r->to);
	free(entry);
	redirects_fini(&all);
}

void
command_tell_redirects_end(struct command_run *c)
{
	struct redirects all = { 0 };
	struct buf said = { .cap = 4096 };
	int64_t hosts = 0;
	const struct redirect *r = c->at.m.state == STATE_REDIRECTING ? own(c, &all, &hosts) : NULL;
	char *entry = r != NULL ? entry_of(c, r) : NULL;

	if (r != NULL && hosts > 0) {
		put_hosts(&said, hosts, "enter", "enters");
		if (entry != NULL)
			command_notice(c,
				       "%s through %s (SHOW REDIRECTS): from COMPLETE on they are "
				       "refused (57P03) and told to connect to %s",
				       buf_text(&said), r->from, entry);
		else
			command_notice(c,
				       "%s through %s (SHOW REDIRECTS): they are forwarded on, "
				       "because [region %s] has no entry to tell them",
				       buf_text(&said), r->from, r->to);
	}
	free(entry);
	buf_fini(&said);
	redirects_fini(&all);
}
