/* SPDX-License-Identifier: PostgreSQL
 *
 * Kind distribute: one place, the coordinator; its plan is dist_planner.h's.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_args.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_planner.h"
#include "migration/distribute/dist_steps.h"
#include "migration/grammar.h"
#include "migration/kind.h"

/* Everything that is asked before anything runs. */
struct survey {
	struct dist_catalog catalog;
	struct dist_wish wish;
	struct dist_plan plan;
};

static int
survey_init(struct survey *v, struct job *j, struct err *e)
{
	const struct spec *s = job_spec(j);

	memset(v, 0, sizeof(*v));
	v->wish = (struct dist_wish){
		.column = s->column,
		.root = s->root.table != NULL ? &s->root : NULL,
		.tables = s->tables,
		.ntables = s->ntables,
		.lock_budget_us = job_option_usec(j, "lock_budget"),
		.is_atomic = job_option_is(j, "atomic", "on"),
		.orphans_stop = job_option_is(j, "orphans", "error"),
	};
	if (dist_load(j, v->wish.column, &v->catalog, e) != 0)
		return -1;
	dist_plan_make(&v->plan, &v->catalog, &v->wish);
	if (dist_load_nulls(j, v->wish.column, &v->plan, &v->catalog, e) == 0) {
		dist_plan_fini(&v->plan);
		dist_plan_make(&v->plan, &v->catalog, &v->wish);
		return 0;
	}
	dist_plan_fini(&v->plan);
	dist_catalog_fini(&v->catalog);
	return -1;
}

static void
survey_fini(struct survey *v)
{
	dist_plan_fini(&v->plan);
	dist_catalog_fini(&v->catalog);
}

/* The node that takes writes: of a Citus cluster, the coordinator. */
static int
resolve(struct job *j, struct err *e)
{
	const struct site *site = job_site(j);
	struct strlist regions = { 0 };
	struct site_node v[SITE_NODES_MAX], *found = NULL;

	site->ops->regions(site->arg, &regions);
	for (size_t i = 0; i < regions.n && found == NULL; i++) {
		int n = site->ops->nodes(site->arg, regions.v[i], v, NULL);

		for (int k = 0; k < n && found == NULL; k++)
			if (v[k].is_primary && strcmp(v[k].kind, "cockroachdb") != 0)
				found = &v[k];
	}
	strlist_fini(&regions);
	if (found == NULL)
		return err_set(e, "08006", "no node takes writes for database %s", job_database(j));
	return job_add_place(j, DIST_PLACE, found, job_database(j), e);
}

static int
check(struct job *j, enum migration_phase before, struct checks *out, struct err *e)
{
	struct survey v;

	if (before != PHASE_PREPARE)
		return 0;
	if (survey_init(&v, j, e) != 0)
		return -1;
	*out = v.plan.findings;
	v.plan.findings = (struct checks){ 0 };
	survey_fini(&v);
	return 0;
}

/* "public.orders", or the key of a step about one. */
static char *
label_of(const struct dist_step *s, const struct dist_catalog *c)
{
	if (s->act == DIST_VALIDATE)
		return xasprintf("%s %s", c->tables[s->table].name, c->keys[s->keys[0]].name);
	if (s->table < c->ntables)
		return xstrdup(c->tables[s->table].name);
	return s->act == DIST_ALL ? xasprintf("%zu tables", s->ntables)
				  : xasprintf("%zu keys", s->nkeys);
}

static int
plan(struct job *j, struct plan *out, struct err *e)
{
	struct survey v;
	int rc = 0;

	if (survey_init(&v, j, e) != 0)
		return -1;
	for (size_t i = 0; i < v.plan.nsteps && rc >= 0; i++) {
		const struct dist_step *s = &v.plan.steps[i];
		char *label = label_of(s, &v.catalog);
		char *args = dist_args_text(s, &v.plan, &v.catalog, &v.wish);

		rc = plan_add(out, dist_defs[s->act], DIST_PLACE, label, args);
		free(label);
		free(args);
	}
	survey_fini(&v);
	return rc < 0 ? -1 : 0;
}

static void
show_table(const struct survey *v, size_t i, const struct rows_sink *out)
{
	static const char *const states[] = {
		[DIST_LOCAL] = "local",
		[DIST_HALF] = "half way",
		[DIST_REFERENCE] = "reference",
		[DIST_HASH] = "distributed",
		[DIST_OTHER] = "distributed otherwise",
	};
	const struct dist_table *t = &v->catalog.tables[i];
	const struct dist_choice *c = &v->plan.choice[i];
	char rows[24], bytes[24];
	const char *row[] = {
		t->name, spec_method_words(c->method), states[t->state], rows, bytes, NULL, c->why
	};

	(void)snprintf(rows, sizeof(rows), "%" PRId64, t->rows);
	(void)snprintf(bytes, sizeof(bytes), "%" PRId64, t->bytes);
	out->row(out->arg, row, sizeof(row) / sizeof(row[0]));
}

static int
show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e)
{
	struct survey v;
	int rc = 0;

	if (topic != SHOW_TABLES && topic != SHOW_IMPACT)
		return err_set(e, "0A000",
			       "a migration of kind distribute has nothing of this kind");
	if (survey_init(&v, j, e) != 0)
		return -1;
	if (topic == SHOW_IMPACT)
		rc = dist_impact(j, &v.catalog, &v.plan, &v.wish, out, e);
	for (size_t n = 0; topic == SHOW_TABLES && n < v.catalog.ntables; n++)
		if (v.plan.choice[v.plan.order[n]].is_in)
			show_table(&v, v.plan.order[n], out);
	survey_fini(&v);
	return rc;
}

const struct kind kind_distribute = {
	.id = KIND_DISTRIBUTE,
	.defs = dist_defs,
	.resolve = resolve,
	.check = check,
	.plan = plan,
	.show = show,
	.may_abort = dist_may_abort,
	.verify = dist_verify,
};
