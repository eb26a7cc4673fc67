/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_planner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/distribute/fkgraph.h"

struct maker {
	const struct dist_catalog *c;
	const struct dist_wish *w;
	struct dist_plan *p;
	bool *is_done;    /* per table */
	bool *is_dropped; /* per key */
	size_t anchor;    /* the table whose shards the next one's go with */
};

double
dist_seconds(const struct dist_catalog *c, int64_t bytes)
{
	return c->server.bytes_per_second > 0 ? (double)bytes / c->server.bytes_per_second : 0;
}

bool
dist_is_done(const struct dist_table *t, const char *column)
{
	return t->state == DIST_HASH && t->distributed_by != NULL &&
	       strcmp(t->distributed_by, column) == 0;
}

/* ---- which tables, and how ---- */

static const struct spec_table *
said(const struct maker *m, size_t table)
{
	for (size_t i = 0; i < m->w->ntables; i++) {
		const struct spec_table *s = &m->w->tables[i];

		if (dist_catalog_find(m->c, s->name.schema, s->name.table, NULL) == table)
			return s;
	}
	return NULL;
}

static bool
is_root(const struct maker *m, size_t table)
{
	return m->w->root != NULL &&
	       dist_catalog_find(m->c, m->w->root->schema, m->w->root->table, NULL) == table;
}

/* Tables without the column that those of the migration refer to: each node gets a copy. */
static bool
add_parents(struct maker *m)
{
	bool again = false;

	for (size_t i = 0; i < m->c->nkeys; i++) {
		const struct dist_key *k = &m->c->keys[i];
		struct dist_choice *from = &m->p->choice[k->from], *to = &m->p->choice[k->to];

		if (!from->is_in || to->is_in || m->w->ntables > 0 ||
		    m->c->tables[k->to].column_type != NULL)
			continue;
		to->is_in = again = true;
	}
	return again;
}

static void
choose(struct dist_choice *c, enum spec_method method, const char *why)
{
	c->method = method;
	(void)snprintf(c->why, sizeof(c->why), "%s", why);
}

static void
choose_by_load(struct maker *m, size_t i)
{
	const struct dist_table *t = &m->c->tables[i];
	struct dist_choice *c = &m->p->choice[i];
	double s = dist_seconds(m->c, t->bytes), budget = (double)m->w->lock_budget_us / 1e6;
	bool fits = s <= budget, is_quiet = t->writes < DIST_WRITES_MAX;

	c->method = fits && is_quiet ? METHOD_BLOCKING : METHOD_CONCURRENT;
	(void)snprintf(c->why, sizeof(c->why),
		       "about %.1f s of copying (lock_budget %.1f s), "
		       "%.1f changes a second%s",
		       s, budget, t->writes, fits && is_quiet ? "" : ": not to be blocked");
}

static bool
is_referred_to(const struct maker *m, size_t table)
{
	for (size_t i = 0; i < m->c->nkeys; i++)
		if (m->c->keys[i].to == table && m->c->keys[i].from != table &&
		    m->p->choice[m->c->keys[i].from].is_in)
			return true;
	return false;
}

static void
choose_method(struct maker *m, size_t i)
{
	const struct dist_table *t = &m->c->tables[i];
	struct dist_choice *c = &m->p->choice[i];
	const struct spec_table *s = said(m, i);

	if (s != NULL && s->method == METHOD_LOCAL)
		choose(c, METHOD_LOCAL, "it was said");
	else if (dist_is_done(t, m->w->column))
		choose(c, METHOD_CHOOSE, "it is distributed by this column already");
	else if (t->state == DIST_REFERENCE)
		choose(c, METHOD_CHOOSE, "it is a reference table already");
	else if (s != NULL && s->method != METHOD_CHOOSE)
		choose(c, s->method, "it was said");
	else if (t->column_type == NULL && is_referred_to(m, i))
		choose(c, METHOD_REFERENCE, "it has no such column, and others refer to it");
	else if (m->w->is_atomic)
		choose(c, METHOD_BLOCKING, "atomic: all in one transaction");
	else
		choose_by_load(m, i);
}

static void
choose_methods(struct maker *m)
{
	for (size_t i = 0; i < m->c->ntables; i++) {
		const struct dist_table *t = &m->c->tables[i];

		/* Without a list: what has the column and can be one table of a cluster. */
		m->p->choice[i].is_in = said(m, i) != NULL || is_root(m, i) ||
					(m->w->ntables == 0 && t->column_type != NULL &&
					 !t->is_temp && !t->is_partition && t->relkind != 'f');
	}
	while (add_parents(m))
		;
	for (size_t i = 0; i < m->c->ntables; i++)
		if (m->p->choice[i].is_in)
			choose_method(m, i);
}

/* ---- the order ---- */

static size_t
order_tables(struct maker *m)
{
	struct fkgraph g = { .nodes = m->c->ntables, .nedges = m->c->nkeys };
	size_t first = m->c->ntables;

	for (size_t i = 0; i < m->c->ntables; i++)
		if (is_root(m, i))
			first = i;
	g.edges = xcalloc(g.nedges + 1, sizeof(*g.edges));
	for (size_t i = 0; i < g.nedges; i++) {
		g.edges[i].from = m->c->keys[i].from;
		g.edges[i].to = m->c->keys[i].to;
		/* A table that stays as it is blocks no writes. */
		if (!m->p->choice[g.edges[i].to].is_in || !m->p->choice[g.edges[i].from].is_in)
			g.edges[i].to = g.edges[i].from;
	}
	fkgraph_order(&g, first, m->p->order);
	for (size_t i = 0; i < g.nedges; i++)
		m->p->is_cut[i] = g.edges[i].is_cut;
	free(g.edges);
	return first;
}

/* The table that the others are put beside: as said; else one that is done; else the first whose
 * primary key is the column; else the first. */
static size_t
choose_root(const struct maker *m)
{
	size_t none = m->c->ntables, best = none;
	int rank = 0;

	for (size_t n = 0; n < m->c->ntables; n++) {
		size_t i = m->p->order[n];
		const struct dist_table *t = &m->c->tables[i];
		const struct dist_choice *c = &m->p->choice[i];
		int r;

		if (!c->is_in || c->method == METHOD_LOCAL || c->method == METHOD_REFERENCE ||
		    t->column_type == NULL)
			continue;
		r = 1 + (t->is_primary_key ? 1 : 0) + (dist_is_done(t, m->w->column) ? 2 : 0);
		if (r > rank) {
			rank = r;
			best = i;
		}
	}
	return best;
}

/* ---- steps ---- */

static struct dist_step *
add_step(struct maker *m, enum dist_act act, size_t table)
{
	struct dist_plan *p = m->p;
	struct dist_step *s;

	p->steps = xreallocarray(p->steps, p->nsteps + 1, sizeof(*p->steps));
	s = &p->steps[p->nsteps++];
	*s = (struct dist_step){ .act = act, .table = table, .colocated = m->c->ntables };
	s->keys = xcalloc(m->c->nkeys + 1, sizeof(*s->keys));
	return s;
}

/* Takes the last step back when nothing is in it. */
static void
end_step(struct maker *m)
{
	struct dist_step *s = &m->p->steps[m->p->nsteps - 1];

	if (s->nkeys > 0)
		return;
	free(s->keys);
	m->p->nsteps--;
}

static bool
is_ours(const struct maker *m, size_t table)
{
	enum spec_method method = m->p->choice[table].method;

	return m->p->choice[table].is_in && method != METHOD_CHOOSE && method != METHOD_LOCAL;
}

/* A DELETE from a distributed parent does not look at children that are not: look for them. */
static void
look_for_orphans(struct maker *m, size_t table)
{
	struct dist_step *s = add_step(m, DIST_ORPHANS, table);

	for (size_t i = 0; i < m->c->nkeys; i++) {
		const struct dist_key *k = &m->c->keys[i];

		if (k->from == table && k->to != table && !m->is_dropped[i] && m->is_done[k->to])
			s->keys[s->nkeys++] = i;
	}
	end_step(m);
}

static bool
is_in_the_way(const struct maker *m, size_t table, size_t key)
{
	const struct dist_key *k = &m->c->keys[key];

	if (k->from == k->to || m->is_dropped[key] || (k->from != table && k->to != table))
		return false;
	if (m->p->is_cut[key] && k->from == table && !m->is_done[k->to])
		return true;
	/* A child that Citus holds half way already cannot refer to a distributed table. */
	if (k->to == table && m->c->tables[k->from].state == DIST_HALF && !m->is_done[k->from] &&
	    m->c->tables[table].state != DIST_REFERENCE &&
	    m->p->choice[table].method != METHOD_REFERENCE)
		return true;
	return m->p->choice[table].method == METHOD_CONCURRENT;
}

static void
drop_keys(struct maker *m, size_t table)
{
	struct dist_step *s = add_step(m, DIST_DROP_KEYS, table);

	for (size_t i = 0; i < m->c->nkeys; i++)
		if (is_in_the_way(m, table, i)) {
			s->keys[s->nkeys++] = i;
			m->is_dropped[i] = true;
		}
	end_step(m);
}

/* Never while one end is half way: Citus would take the other one along. */
static void
add_keys(struct maker *m, size_t table)
{
	size_t from = m->p->nsteps;
	struct dist_step *s = add_step(m, DIST_ADD_KEYS, table);
	size_t n;

	for (size_t i = 0; i < m->c->nkeys; i++) {
		const struct dist_key *k = &m->c->keys[i];

		if (m->is_dropped[i] && m->is_done[k->from] && m->is_done[k->to]) {
			s->keys[s->nkeys++] = i;
			m->is_dropped[i] = false;
		}
	}
	n = s->nkeys;
	end_step(m);
	for (size_t i = 0; i < n; i++) {
		size_t key = m->p->steps[from].keys[i];

		if (!m->c->keys[key].is_valid)
			continue;
		s = add_step(m, DIST_VALIDATE, m->c->keys[key].from);
		s->keys[s->nkeys++] = key;
	}
}

static void
one_table(struct maker *m, size_t table)
{
	enum spec_method method = m->p->choice[table].method;
	struct dist_step *s;

	look_for_orphans(m, table);
	drop_keys(m, table);
	s = add_step(m,
		     method == METHOD_REFERENCE    ? DIST_REFER
		     : method == METHOD_CONCURRENT ? DIST_CONCURRENT
						   : DIST_BLOCKING,
		     table);
	if (method != METHOD_REFERENCE) {
		s->colocated = m->anchor;
		/* The root where it is done, else the first: the shards of all go together. */
		if (m->anchor == m->c->ntables || table == m->p->root)
			m->anchor = table;
	}
	for (size_t i = 0; i < m->c->nkeys; i++)
		if (m->c->keys[i].from == table && !m->is_dropped[i] && m->c->keys[i].to != table &&
		    m->is_done[m->c->keys[i].to])
			s->keys[s->nkeys++] = i;
	m->is_done[table] = true;
	if (s->act == DIST_CONCURRENT && m->c->tables[table].trimmings.n > 0)
		(void)add_step(m, DIST_TRIM, table);
	add_keys(m, table);
}

/* All in one transaction: nothing is ever half way, only circles are opened. */
static void
all_tables(struct maker *m)
{
	struct dist_step *s = add_step(m, DIST_ALL, m->c->ntables);

	s->colocated = m->anchor;
	s->tables = xcalloc(m->c->ntables + 1, sizeof(*s->tables));
	for (size_t n = 0; n < m->c->ntables; n++)
		if (is_ours(m, m->p->order[n]))
			s->tables[s->ntables++] = m->p->order[n];
	for (size_t i = 0; i < m->c->nkeys; i++)
		if (m->p->is_cut[i])
			s->keys[s->nkeys++] = i;
}

static bool
is_referred_to_locally(const struct maker *m, size_t table)
{
	for (size_t i = 0; i < m->c->nkeys; i++)
		if (m->c->keys[i].to == table && m->c->keys[i].from != table &&
		    !m->is_done[m->c->keys[i].from])
			return true;
	return false;
}

static void
make_steps(struct maker *m)
{
	size_t *ours = xcalloc(m->c->ntables + 1, sizeof(*ours)), n_ours = 0;
	struct dist_step *s;

	for (size_t i = 0; i < m->c->ntables; i++)
		if (is_ours(m, i))
			ours[n_ours++] = i;
	if (n_ours == 0) {
		free(ours);
		return;
	}
	s = add_step(m, DIST_KEEP_KEYS, m->c->ntables);
	s->tables = ours;
	s->ntables = n_ours;
	for (size_t i = 0; i < m->c->nkeys; i++)
		if (is_ours(m, m->c->keys[i].from) || is_ours(m, m->c->keys[i].to))
			s->keys[s->nkeys++] = i;
	if (m->w->is_atomic) {
		all_tables(m);
		for (size_t i = 0; i < n_ours; i++)
			m->is_done[ours[i]] = true;
	} else {
		for (size_t n = 0; n < m->c->ntables; n++)
			if (is_ours(m, m->p->order[n]))
				one_table(m, m->p->order[n]);
	}
	/* The rows that are still on the coordinator; a concurrent copy leaves none. */
	for (size_t n = 0; n < m->c->ntables; n++) {
		size_t i = m->p->order[n];

		if (is_ours(m, i) && m->p->choice[i].method != METHOD_CONCURRENT &&
		    !is_referred_to_locally(m, i))
			(void)add_step(m, DIST_TRUNCATE, i);
	}
}

void
dist_plan_make(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	struct maker m = { .c = c, .w = w, .p = p };

	memset(p, 0, sizeof(*p));
	p->choice = xcalloc(c->ntables + 1, sizeof(*p->choice));
	p->order = xcalloc(c->ntables + 1, sizeof(*p->order));
	p->is_cut = xcalloc(c->nkeys + 1, sizeof(*p->is_cut));
	m.is_done = xcalloc(c->ntables + 1, sizeof(*m.is_done));
	m.is_dropped = xcalloc(c->nkeys + 1, sizeof(*m.is_dropped));
	choose_methods(&m);
	p->root = order_tables(&m);
	if (p->root == c->ntables)
		p->root = choose_root(&m);
	for (size_t i = 0; i < c->ntables; i++)
		m.is_done[i] =
		    dist_is_done(&c->tables[i], w->column) || c->tables[i].state == DIST_REFERENCE;
	m.anchor = c->ntables;
	if (p->root < c->ntables && m.is_done[p->root])
		m.anchor = p->root;
	make_steps(&m);
	dist_checks(p, c, w);
	free(m.is_done);
	free(m.is_dropped);
}

void
dist_plan_fini(struct dist_plan *p)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		free(p->steps[i].keys);
		free(p->steps[i].tables);
	}
	checks_fini(&p->findings);
	free(p->choice);
	free(p->order);
	free(p->is_cut);
	free(p->steps);
	memset(p, 0, sizeof(*p));
}
