/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_impact.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"

/* A statement of pg_stat_statements. */
struct statement {
	char *text; /* in lower case */
	double calls, total_ms;
};

struct traffic {
	struct statement *v;
	size_t n;
	bool is_known;
};

struct impact {
	const struct dist_catalog *c;
	const struct dist_plan *p;
	const struct rows_sink *out;
	struct traffic traffic;
	bool *is_spread;  /* per table: its rows are on the workers now */
	bool *is_dropped; /* per key */
	size_t step;
	bool is_begun; /* what is left has other numbers than the plan that runs */
};

static void
put(const struct impact *m, const char *impact, const char *object, const char *calls,
    const char *mean, const char *detail)
{
	char step[24];
	const char *row[] = { m->is_begun ? NULL : step, impact, object, calls, mean, detail };

	(void)snprintf(step, sizeof(step), "%zu", m->step);
	m->out->row(m->out->arg, row, sizeof(row) / sizeof(row[0]));
}

/* ---- traffic ---- */

static void
read_statements(struct traffic *t, const PGresult *r)
{
	t->n = (size_t)PQntuples(r);
	t->v = xcalloc(t->n + 1, sizeof(*t->v));
	for (size_t i = 0; i < t->n; i++) {
		t->v[i].text = xstrdup(PQgetvalue(r, (int)i, 0));
		t->v[i].calls = strtod(PQgetvalue(r, (int)i, 1), NULL);
		t->v[i].total_ms = strtod(PQgetvalue(r, (int)i, 2), NULL);
	}
	t->is_known = true;
}

/* The statements that take the most time; their texts are cut. Not there, or not for us: unknown.
 */
static void
load_traffic(PGconn *db, struct traffic *t)
{
	bool is_there = false;
	struct err why;
	PGresult *r;

	if (db_is(db, &is_there, &why, "SELECT to_regclass('pg_stat_statements') IS NOT NULL", 0,
		  NULL) != 0 ||
	    !is_there)
		return;
	r = db_queryf(db, &why,
		      "SELECT lower(left(query, 4000)), calls, %s FROM pg_stat_statements"
		      " WHERE dbid = (SELECT oid FROM pg_database WHERE datname ="
		      " current_database()) AND query !~* 'meridian|create_distributed_table'"
		      " ORDER BY 3 DESC LIMIT 1000",
		      PQserverVersion(db) >= 130000 ? "total_exec_time" : "total_time");
	if (r == NULL)
		return;
	read_statements(t, r);
	PQclear(r);
}

static void
traffic_fini(struct traffic *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].text);
	free(t->v);
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Whether a statement names the table, as a word; a guess, good enough to count. */
static bool
names_table(const char *text, const char *table)
{
	size_t n = strlen(table);
	char *low = xstrdup(table);
	bool found = false;

	for (char *p = low; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	for (const char *p = strstr(text, low); p != NULL && !found; p = strstr(p + 1, low))
		found = (p == text || !is_word(p[-1])) && !is_word(p[n]);
	free(low);
	return found;
}

static void
count_pair(const struct impact *m, const char *a, const char *b, double *calls, double *ms)
{
	*calls = *ms = 0;
	for (size_t i = 0; i < m->traffic.n; i++) {
		const struct statement *s = &m->traffic.v[i];

		if (!names_table(s->text, a) || !names_table(s->text, b))
			continue;
		*calls += s->calls;
		*ms += s->total_ms;
	}
}

/* ---- rows ---- */

static void
put_pair(const struct impact *m, size_t a, size_t b)
{
	const struct dist_table *spread = &m->c->tables[a], *local = &m->c->tables[b];
	char *object = xasprintf("%s, %s", spread->name, local->name);
	char calls_text[32], mean[32];
	double calls, ms;

	count_pair(m, spread->table, local->table, &calls, &ms);
	(void)snprintf(calls_text, sizeof(calls_text), "%.0f", calls);
	(void)snprintf(mean, sizeof(mean), "%.3f", calls > 0 ? ms / calls : 0);
	put(m, "join of distributed and local", object, m->traffic.is_known ? calls_text : NULL,
	    m->traffic.is_known && calls > 0 ? mean : NULL,
	    m->traffic.is_known
		? "statements that name both, since pg_stat_statements was reset; their rows "
		  "are gathered on the coordinator"
		: "their rows are gathered on the coordinator");
	free(object);
}

/* Tables that belong together: a key ties them, whether it is there now or not. */
static void
put_pairs(const struct impact *m)
{
	for (size_t i = 0; i < m->c->nkeys; i++) {
		const struct dist_key *k = &m->c->keys[i];
		bool is_again = false;

		for (size_t n = 0; n < i; n++)
			is_again |= m->c->keys[n].from == k->from && m->c->keys[n].to == k->to;
		if (is_again || m->is_spread[k->from] == m->is_spread[k->to])
			continue;
		if (m->is_spread[k->to] && m->p->choice[k->to].method == METHOD_REFERENCE)
			continue;
		put_pair(m, m->is_spread[k->from] ? k->from : k->to,
			 m->is_spread[k->from] ? k->to : k->from);
	}
}

static void
put_keys(const struct impact *m)
{
	for (size_t i = 0; i < m->c->nkeys; i++) {
		const struct dist_key *k = &m->c->keys[i];
		const char *from = m->c->tables[k->from].name, *to = m->c->tables[k->to].name;
		char *object = xasprintf("%s on %s", k->name, from);
		char *detail = NULL;

		if (m->is_dropped[i]) {
			detail = xasprintf("rows of %s may come without a row in %s", from, to);
			put(m, "foreign key not enforced", object, NULL, NULL, detail);
		} else if (!m->is_spread[k->from] && m->is_spread[k->to] && k->from != k->to) {
			detail =
			    xasprintf("a DELETE from %s is not refused when rows of %s refer to it",
				      to, from);
			put(m, "foreign key enforced on one side", object, NULL, NULL, detail);
		}
		free(detail);
		free(object);
	}
}

static void
apply(struct impact *m, const struct dist_step *s)
{
	if (s->act == DIST_BLOCKING || s->act == DIST_CONCURRENT || s->act == DIST_REFER)
		m->is_spread[s->table] = true;
	for (size_t i = 0; s->act == DIST_ALL && i < s->ntables; i++)
		m->is_spread[s->tables[i]] = true;
	for (size_t i = 0; i < s->nkeys; i++) {
		if (s->act == DIST_DROP_KEYS)
			m->is_dropped[s->keys[i]] = true;
		else if (s->act == DIST_ADD_KEYS)
			m->is_dropped[s->keys[i]] = false;
	}
}

static bool
changes(enum dist_act a)
{
	return a != DIST_KEEP_KEYS && a != DIST_ORPHANS && a != DIST_TRIM && a != DIST_VALIDATE &&
	       a != DIST_TRUNCATE;
}

static void
put_blocked(const struct impact *m, const struct dist_step *s)
{
	if (s->act != DIST_BLOCKING && s->act != DIST_REFER)
		return;
	put(m, "writes wait during this step", m->c->tables[s->table].name, NULL, NULL,
	    m->p->choice[s->table].why);
}

static bool
is_begun(enum migration_state s)
{
	return s != STATE_CREATED && s != STATE_PREFLIGHT_ERROR && s != STATE_PREFLIGHT_SUCCESS;
}

int
dist_impact(struct job *j, const struct dist_catalog *c, const struct dist_plan *p,
	    const struct dist_wish *w, const struct rows_sink *out, struct err *e)
{
	struct impact m = { .c = c, .p = p, .out = out, .is_begun = is_begun(job_state(j)) };
	PGconn *db = job_db(j, DIST_PLACE, e);

	if (db == NULL)
		return -1;
	load_traffic(db, &m.traffic);
	m.is_spread = xcalloc(c->ntables + 1, sizeof(*m.is_spread));
	m.is_dropped = xcalloc(c->nkeys + 1, sizeof(*m.is_dropped));
	for (size_t i = 0; i < c->ntables; i++)
		m.is_spread[i] =
		    dist_is_done(&c->tables[i], w->column) || c->tables[i].state == DIST_REFERENCE;
	for (size_t i = 0; i < p->nsteps; i++) {
		m.step = i + 1;
		apply(&m, &p->steps[i]);
		put_blocked(&m, &p->steps[i]);
		if (!changes(p->steps[i].act))
			continue;
		put_keys(&m);
		put_pairs(&m);
	}
	if (!m.traffic.is_known)
		put(&m, "traffic is not known", "pg_stat_statements", NULL, NULL,
		    "the extension is not there or not ours to read: statements that join such "
		    "pairs cannot be counted");
	free(m.is_spread);
	free(m.is_dropped);
	traffic_fini(&m.traffic);
	return 0;
}
