/* SPDX-License-Identifier: PostgreSQL
 *
 * PLAN, SHOW … SQL and VERIFY: what would be done, told without doing it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/command_int.h"
#include "migration/grammar.h"
#include "protocol/sqlstate.h"

/* ---- a step, in words ---- */

static int
describe(struct job *j, const struct migration_step *s, struct step_text *out, struct err *e)
{
	*out = (struct step_text){ 0 };
	if (s->def->describe == NULL)
		return 0;
	return s->def->describe(j, s, out, e);
}

static void
text_fini(struct step_text *t)
{
	buf_fini(&t->sql);
	buf_fini(&t->lock);
	buf_fini(&t->estimate);
	buf_fini(&t->undo);
}

static const char *
or_null(struct buf *b)
{
	return b->n > 0 ? buf_text(b) : NULL;
}

/* ---- the forms ---- */

struct planning {
	struct command_run *c;
	json_t *list; /* FORMAT JSON */
};

static void
row_of_text(struct planning *p, const struct migration_step *s, struct step_text *t)
{
	char n[16];
	const char *values[] = {
		n,
		migration_phase_name(s->def->phase),
		s->place,
		s->def->name,
		s->label,
		step_class_name(s->def->class),
		or_null(&t->lock),
		or_null(&t->estimate),
		or_null(&t->undo),
		or_null(&t->sql),
	};

	snprintf(n, sizeof(n), "%d", s->n);
	p->c->sink->row(p->c->sink->arg, values, sizeof(values) / sizeof(values[0]));
}

static void
put_line(struct planning *p, const char *line)
{
	p->c->sink->row(p->c->sink->arg, &line, 1);
}

/* A script: comments say where, statements follow. */
static void
row_of_script(struct planning *p, const struct migration_step *s, struct step_text *t)
{
	char *head = xasprintf("-- %d %s%s%s (%s, %s, class %s)", s->n, s->def->name,
			       s->label[0] != '\0' ? " " : "", s->label, s->place,
			       migration_phase_name(s->def->phase), step_class_name(s->def->class));
	struct slice rest = buf_view(&t->sql);

	put_line(p, head);
	free(head);
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');
		char *text = xstrndup(line.n > 0 ? line.p : "", line.n);

		put_line(p, text);
		free(text);
	}
}

static void
put_member(json_t *o, const char *name, struct buf *b)
{
	json_object_set_new(o, name, b->n > 0 ? json_string(buf_text(b)) : json_null());
}

static void
row_of_json(struct planning *p, const struct migration_step *s, struct step_text *t)
{
	json_t *o = json_object();

	json_object_set_new(o, "n", json_integer(s->n));
	json_object_set_new(o, "phase", json_string(migration_phase_name(s->def->phase)));
	json_object_set_new(o, "place", json_string(s->place));
	json_object_set_new(o, "step", json_string(s->def->name));
	json_object_set_new(o, "object", json_string(s->label));
	json_object_set_new(o, "class", json_string(step_class_name(s->def->class)));
	put_member(o, "lock", &t->lock);
	put_member(o, "estimate", &t->estimate);
	put_member(o, "undo", &t->undo);
	put_member(o, "sql", &t->sql);
	json_array_append_new(p->list, o);
}

/* SHOW MIGRATION m SQL */
static void
row_of_sql(struct planning *p, const struct migration_step *s, struct step_text *t)
{
	char n[16];
	const char *values[] = { n,        s->place,         s->def->name,
				 s->label, or_null(&t->sql), or_null(&t->undo) };

	snprintf(n, sizeof(n), "%d", s->n);
	p->c->sink->row(p->c->sink->arg, values, sizeof(values) / sizeof(values[0]));
}

/* ---- going through it ---- */

typedef void row_fn(struct planning *p, const struct migration_step *s, struct step_text *t);

static int
each_step(struct planning *p, struct job *j, row_fn *row, struct err *e)
{
	struct plan plan = { 0 };
	bool is_frozen;
	int rc = job_plan(j, &plan, &is_frozen, e);

	for (size_t i = 0; i < plan.n && rc == 0 && !command_is_cancelled(p->c); i++) {
		struct step_text t;

		rc = describe(j, &plan.v[i], &t, e);
		if (rc == 0)
			row(p, &plan.v[i], &t);
		text_fini(&t);
	}
	plan_fini(&plan);
	return rc;
}

static int
show_steps(struct planning *p, row_fn *row, struct err *e)
{
	struct job *j = job_open(p->c->ms, &p->c->at.m, e);
	int rc = -1;

	if (j != NULL) {
		job_only_looks(j);
		rc = each_step(p, j, row, e);
	}
	job_close(j);
	return rc;
}

static int
plan_as_json(struct command_run *c, struct err *e)
{
	struct planning p = { .c = c, .list = json_array() };
	int rc = show_steps(&p, row_of_json, e);
	char *text = json_dumps(p.list, JSON_INDENT(2));

	if (rc == 0)
		put_line(&p, text);
	free(text);
	json_decref(p.list);
	return rc;
}

int
command_plan(struct command_run *c, struct err *e)
{
	struct planning p = { .c = c };
	const char *format = c->rq->argument != NULL ? c->rq->argument : "TEXT";

	if (strcmp(format, "JSON") == 0)
		return plan_as_json(c, e);
	return show_steps(&p, strcmp(format, "SQL") == 0 ? row_of_script : row_of_text, e);
}

int
command_show_sql(struct command_run *c, struct err *e)
{
	struct planning p = { .c = c };

	return show_steps(&p, row_of_sql, e);
}

/* ---- VERIFY ---- */

/* "a, b.c", each in the form in which it is written without need of quotes. */
static int
read_tables(const char *text, struct strlist *out, struct err *e)
{
	struct slice rest = slice_str(text);

	*out = (struct strlist){ 0 };
	while (rest.n > 0) {
		struct slice one = slice_trim(slice_cut(&rest, ','));
		struct spec_name name;
		struct buf b = { .cap = 1024 };

		if (spec_parse_name(one, &name, e) != 0) {
			strlist_fini(out);
			return -1;
		}
		spec_put_name(&name, &b);
		strlist_add(out, buf_text(&b));
		spec_name_fini(&name);
		buf_fini(&b);
	}
	return 0;
}

int
command_verify(struct command_run *c, struct err *e)
{
	const struct rows_sink out = { c->sink->row, c->sink->arg };
	struct strlist tables = { 0 };
	struct job *j;
	int rc = 0;

	if (c->rq->argument != NULL && read_tables(c->rq->argument, &tables, e) != 0)
		return -1;
	j = job_open(c->ms, &c->at.m, e);
	if (j != NULL)
		job_unless(j, c->sink->is_cancelled, c->sink->arg);
	if (j == NULL)
		rc = -1;
	else if (job_kind(j)->verify == NULL)
		rc = err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
			     "there is nothing to compare in a migration of kind %s",
			     migration_kind_name(c->at.m.kind));
	else if (tables.n == 0)
		rc = job_kind(j)->verify(j, NULL, &out, e);
	for (size_t i = 0; i < tables.n && rc == 0; i++)
		rc = job_kind(j)->verify(j, tables.v[i], &out, e);
	job_close(j);
	strlist_fini(&tables);
	return rc;
}
