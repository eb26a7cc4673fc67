/* SPDX-License-Identifier: PostgreSQL
 *
 * What the steps do to clients of the database meanwhile: after each step that changes a table,
 * the foreign keys that are not enforced, the pairs of tables of which one is distributed and one
 * is not, and the statements that join them (migration/traffic.h).
 */
#include "config.h"

#include "migration/distribute/dist_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/distribute/dist_load.h"
#include "migration/traffic.h"

/* What is known of statements. */
enum figure { FIGURE_CALLS, FIGURE_PER_SECOND, FIGURE_MEAN, FIGURE_P99, FIGURE_SOURCE, NFIGURES };

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

/* `figures`: of the statements that meet it, as put_pair() writes them; NULL: none do. */
static void
put(const struct impact *m, const char *impact, const char *object, const char *const *figures,
    const char *detail)
{
	static const char *const none[NFIGURES] = { NULL };
	char step[24];
	const char *const *f = figures != NULL ? figures : none;
	const char *row[] = { m->is_begun ? NULL : step,
			      impact,
			      object,
			      f[FIGURE_CALLS],
			      f[FIGURE_PER_SECOND],
			      f[FIGURE_MEAN],
			      f[FIGURE_P99],
			      f[FIGURE_SOURCE],
			      detail };

	(void)snprintf(step, sizeof(step), "%zu", m->step);
	m->out->row(m->out->arg, row, sizeof(row) / sizeof(row[0]));
}

/* ---- rows ---- */

static const char *
number_text(char to[32], const char *form, double value)
{
	if (value < 0)
		return NULL;
	(void)snprintf(to, 32, strcmp(form, "int") == 0 ? "%.0f" : "%.3f", value);
	return to;
}

static void
put_pair(const struct impact *m, size_t a, size_t b)
{
	const struct dist_table *spread = &m->c->tables[a], *local = &m->c->tables[b];
	char *object = xasprintf("%s, %s", spread->name, local->name);
	char calls[32], rate[32], mean[32], p99[32], source[TRAFFIC_TEXT_MAX];
	const char *figures[NFIGURES] = { NULL };
	bool is_known = m->traffic.source != TRAFFIC_UNKNOWN;
	struct traffic_count n;

	traffic_count(&m->traffic, spread->table, local->table, &n);
	if (is_known) {
		figures[FIGURE_CALLS] = number_text(calls, "int", n.calls);
		figures[FIGURE_PER_SECOND] =
		    number_text(rate, "", traffic_per_second(&m->traffic, n.calls));
		figures[FIGURE_MEAN] = number_text(mean, "", n.mean_ms);
		figures[FIGURE_P99] = number_text(p99, "", n.p99_ms);
		figures[FIGURE_SOURCE] = traffic_source_text(&m->traffic, source);
	}
	put(m, "join of distributed and local", object, figures,
	    is_known ? "statements that name both; their rows are gathered on the coordinator"
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
			put(m, "foreign key not enforced", object, NULL, detail);
		} else if (!m->is_spread[k->from] && m->is_spread[k->to] && k->from != k->to) {
			detail =
			    xasprintf("a DELETE from %s is not refused when rows of %s refer to it",
				      to, from);
			put(m, "foreign key enforced on one side", object, NULL, detail);
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

int
dist_impact(struct job *j, const struct dist_catalog *c, const struct dist_plan *p,
	    const struct dist_wish *w, const struct rows_sink *out, struct err *e)
{
	enum migration_state now = job_state(j);
	struct impact m = { .c = c,
			    .p = p,
			    .out = out,
			    .is_begun = now != STATE_CREATED && now != STATE_PREFLIGHT_ERROR &&
					now != STATE_PREFLIGHT_SUCCESS };
	PGconn *db = job_db(j, DIST_PLACE, e);

	if (db == NULL)
		return -1;
	traffic_load(job_site(j), job_database(j), db, &m.traffic);
	m.is_spread = xcalloc(c->ntables + 1, sizeof(*m.is_spread));
	m.is_dropped = xcalloc(c->nkeys + 1, sizeof(*m.is_dropped));
	for (size_t i = 0; i < c->ntables; i++)
		m.is_spread[i] =
		    dist_is_done(&c->tables[i], w->column) || c->tables[i].state == DIST_REFERENCE;
	for (size_t i = 0; i < p->nsteps; i++) {
		const struct dist_step *s = &p->steps[i];

		m.step = i + 1;
		apply(&m, s);
		if (s->act == DIST_BLOCKING || s->act == DIST_REFER)
			put(&m, "writes wait during this step", c->tables[s->table].name, NULL,
			    p->choice[s->table].why);
		if (s->act == DIST_KEEP_KEYS || s->act == DIST_ORPHANS || s->act == DIST_TRIM ||
		    s->act == DIST_VALIDATE || s->act == DIST_TRUNCATE)
			continue; /* no table has changed its place, no key was dropped or added */
		put_keys(&m);
		put_pairs(&m);
	}
	if (m.traffic.source == TRAFFIC_UNKNOWN)
		put(&m, "traffic is not known", "statement_sample, pg_stat_statements", NULL,
		    "the option is not set (or no session of the database was looked at yet), and "
		    "the extension is not there or not ours to read: statements that join such "
		    "pairs cannot be counted");
	free(m.is_spread);
	free(m.is_dropped);
	traffic_fini(&m.traffic);
	return 0;
}
