/* SPDX-License-Identifier: PostgreSQL
 *
 * What an operator does before a migration runs: CREATE, CHECK and SET; and PLAN, SHOW … SQL and
 * VERIFY, which show without doing it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/command_int.h"
#include "migration/grammar.h"
#include "migration/number.h"
#include "migration/options.h"
#include "migration/transitions.h"
#include "protocol/sqlstate.h"

#define TOLD_MAX 30 /* findings that are NOTICEs */

/* ---- checks ---- */

/* ---- CREATE ---- */

/* Each option checked, in the form in which it is kept. */
static json_t *
take_options(enum migration_kind kind, const struct strlist *names, const struct strlist *values,
	     struct err *e)
{
	json_t *options = json_object();

	for (size_t i = 0; i < names->n; i++) {
		const struct migration_option *o = migration_option_find(kind, names->v[i], e);
		char *value = o != NULL ? migration_option_check(o, values->v[i], e) : NULL;

		if (value == NULL) {
			json_decref(options);
			return NULL;
		}
		json_object_set_new(options, o->name, json_string(value));
		free(value);
	}
	return options;
}

static void
set_text(char **field, const char *text)
{
	free(*field);
	*field = xstrdup(text != NULL ? text : "");
}

static void
fill(struct migration *m, const struct spec *s, json_t *options)
{
	struct buf text = { .cap = 16 << 20 };
	char *json = json_dumps(options, JSON_COMPACT);

	migration_init(m);
	spec_put(s, &text);
	m->kind = s->kind;
	set_text(&m->name, s->name);
	set_text(&m->database, s->database);
	set_text(&m->src, s->from);
	set_text(&m->dst, s->to);
	set_text(&m->newdb, s->newdb);
	set_text(&m->spec, buf_text(&text));
	set_text(&m->options, json);
	m->is_home = true;
	free(json);
	buf_fini(&text);
}

/* 1: a migration of that name is not over, and c->at is that one. */
static int
exists(struct command_run *c, const struct spec *s, struct err *e)
{
	struct err ignored;

	if (s->name == NULL || migrations_find(c->ms, s->name, &c->at, &ignored) != 0)
		return 0;
	if (transition_is_over(c->at.m.state) || strcmp(c->at.m.name, s->name) != 0) {
		migration_at_fini(&c->at);
		return 0;
	}
	if (s->if_not_exists)
		return 1;
	err_set(e, "42710", "migration %s exists already", s->name);
	return err_hint(e, "SHOW MIGRATION %.64s; says how it stands.", s->name);
}

/* Keep what was found, with the state that follows where the migration has not begun. Answer with
 * NOTICEs (their number, then those that matter) and the row. */
static int
answer_checks(struct command_run *c, const struct checks *found, struct err *e)
{
	size_t errors = checks_count(found, CHECK_ERROR),
	       warnings = checks_count(found, CHECK_WARN), told = 0;
	enum migration_event ev = errors == 0 ? EVENT_CHECK_PASSED : EVENT_CHECK_FAILED;
	int to = transition(c->at.m.state, ev, c->at.m.phase);
	char *json = checks_json(found);
	int rc = store_set_checks(c->at.db, c->at.m.uuid, json, e);
	struct err said = { .sqlstate = SQLSTATE_SUCCESS };

	free(json);
	if (rc == 0 && to >= 0)
		rc = store_set_state(c->at.db, c->at.m.uuid, (enum migration_state)to, "", e);
	if (rc != 0 || command_reload(c, e) != 0)
		return -1;
	command_notice(c, "checks: %zu error%s, %zu warning%s (SHOW MIGRATION %d CHECKS)", errors,
		       errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s", c->at.m.id);
	for (int severity = CHECK_ERROR; severity >= CHECK_WARN; severity--)
		for (size_t i = 0; i < found->n && told < TOLD_MAX; i++) {
			const struct check *v = &found->v[i];

			if ((int)v->severity != severity)
				continue;
			snprintf(said.msg, sizeof(said.msg), "[%s] %s%s%s",
				 check_severity_name(v->severity), v->check,
				 v->object[0] != '\0' ? "  " : "", v->object);
			snprintf(said.detail, sizeof(said.detail), "%s", v->detail);
			snprintf(said.hint, sizeof(said.hint), "%s", v->fix);
			c->sink->notice(c->sink->arg, "NOTICE", &said);
			told++;
		}
	command_tell_next(c, &c->at.m);
	command_row(c, &c->at.m);
	return 0;
}

static int
run_checks(struct command_run *c, const struct migration *m, enum migration_phase phase,
	   struct checks *found, struct err *e)
{
	struct job *j = job_open(c->ms, m, e);
	int rc = j != NULL ? job_checks(j, phase, found, e) : -1;

	job_close(j);
	return rc;
}

/* Nothing is written before it could be asked whether it can be done at all. */
static int
create(struct command_run *c, const struct spec *s, json_t *options, struct err *e)
{
	struct checks found = { 0 };
	struct migration m;
	int rc;

	fill(&m, s, options);
	rc = run_checks(c, &m, PHASE_PREPARE, &found, e);
	if (rc == 0)
		rc = migrations_create(c->ms, &m, c->rq->user, e);
	if (rc == 0 && m.id >= NUMBER_BLOCKS)
		command_notice(c,
			       "not every region could be asked which numbers are in use: %d is of"
			       " those that only its own region gives",
			       m.id);
	if (rc == 0)
		rc = migrations_find(c->ms, m.uuid, &c->at, e);
	if (rc == 0)
		rc = command_journal(c, e);
	if (rc == 0)
		rc = answer_checks(c, &found, e);
	checks_fini(&found);
	migration_fini(&m);
	return rc;
}

int
command_create(struct command_run *c, struct err *e)
{
	struct spec s;
	json_t *options;
	int rc;

	if (spec_parse(slice_str(c->rq->text), &s, e) != 0)
		return -1;
	rc = exists(c, &s, e);
	if (rc == 1) {
		command_notice(c, "migration %s exists already, skipping", s.name);
		command_row(c, &c->at.m);
	} else if (rc == 0) {
		options = take_options(s.kind, &s.options, &s.values, e);
		rc = options != NULL ? create(c, &s, options, e) : -1;
		json_decref(options);
	}
	spec_fini(&s);
	return rc < 0 ? -1 : 0;
}

/* ---- CHECK ---- */

/* The phase that comes next, where none was said. */
static enum migration_phase
phase_to_check(const struct command_run *c)
{
	static const struct {
		const char *word;
		enum migration_phase phase;
	} words[] = { { "PREPARE", PHASE_PREPARE },
		      { "DATA", PHASE_DATA },
		      { "FINALIZE", PHASE_FINALIZE } };

	for (size_t i = 0; i < 3; i++)
		if (c->rq->phase != NULL && strcmp(c->rq->phase, words[i].word) == 0)
			return words[i].phase;
	if (c->at.m.state == STATE_PREPARED)
		return PHASE_DATA;
	if (c->at.m.state == STATE_DATA_MIGRATED)
		return PHASE_FINALIZE;
	return c->at.m.phase >= 0 ? (enum migration_phase)c->at.m.phase : PHASE_PREPARE;
}

int
command_check(struct command_run *c, struct err *e)
{
	struct checks found = { 0 };
	int rc;

	if (transition_is_over(c->at.m.state))
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migration %d is %s", c->at.m.id,
			       migration_state_name(c->at.m.state));
	rc = run_checks(c, &c->at.m, phase_to_check(c), &found, e);
	if (rc == 0)
		rc = answer_checks(c, &found, e);
	checks_fini(&found);
	return rc;
}

/* ---- SET ---- */

static int
check_changeable(const struct command_run *c, const struct migration_option *o, struct err *e)
{
	const struct migration *m = &c->at.m;

	if (transition_is_over(m->state))
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migration %d is %s", m->id,
			       migration_state_name(m->state));
	if (o->live || m->phase < (int)o->until)
		return 0;
	return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
		       "option \"%s\" can be set until phase %s begins; that one has begun",
		       o->name, migration_phase_name(o->until));
}

int
command_set(struct command_run *c, struct err *e)
{
	struct strlist names, values;
	json_t *fresh, *options;
	char *json;
	int rc;

	if (spec_parse_options(slice_str(c->rq->text), &names, &values, e) != 0)
		return -1;
	fresh = take_options(c->at.m.kind, &names, &values, e);
	rc = fresh != NULL ? 0 : -1;
	for (size_t i = 0; i < names.n && rc == 0; i++)
		rc = check_changeable(c, migration_option_find(c->at.m.kind, names.v[i], e), e);
	if (rc == 0) {
		options = json_loads(c->at.m.options, 0, NULL);
		if (!json_is_object(options)) {
			json_decref(options);
			options = json_object();
		}
		json_object_update(options, fresh);
		json = json_dumps(options, JSON_COMPACT | JSON_SORT_KEYS);
		rc = store_set_options(c->at.db, c->at.m.uuid, json, e);
		free(json);
		json_decref(options);
	}
	json_decref(fresh);
	strlist_fini(&names);
	strlist_fini(&values);
	return rc == 0 ? command_result(c, e) : -1;
}

/* ---- a step, in words ---- */

static const char *
text_or_null(struct buf *b)
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
		text_or_null(&t->lock),
		text_or_null(&t->estimate),
		text_or_null(&t->undo),
		text_or_null(&t->sql),
	};

	snprintf(n, sizeof(n), "%d", s->n);
	ROW(p->c, values);
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
	const char *values[] = {
		n, s->place, s->def->name, s->label, text_or_null(&t->sql), text_or_null(&t->undo)
	};

	snprintf(n, sizeof(n), "%d", s->n);
	ROW(p->c, values);
}

/* ---- going through it ---- */

typedef void row_fn(struct planning *p, const struct migration_step *s, struct step_text *t);

static int
show_steps(struct planning *p, row_fn *row, struct err *e)
{
	struct job *j = job_open(p->c->ms, &p->c->at.m, e);
	struct plan plan = { 0 };
	bool is_frozen;
	int rc = -1;

	if (j != NULL) {
		job_set_read_only(j);
		rc = job_plan(j, &plan, &is_frozen, e);
	}
	for (size_t i = 0; i < plan.n && rc == 0 && !command_is_cancelled(p->c); i++) {
		const struct migration_step *s = &plan.v[i];
		struct step_text t = { 0 };

		if (s->def->describe != NULL)
			rc = s->def->describe(j, s, &t, e);
		if (rc == 0)
			row(p, s, &t);
		buf_fini(&t.sql);
		buf_fini(&t.lock);
		buf_fini(&t.estimate);
		buf_fini(&t.undo);
	}
	plan_fini(&plan);
	job_close(j);
	return rc;
}

int
command_plan(struct command_run *c, struct err *e)
{
	struct planning p = { .c = c };
	const char *format = c->rq->argument != NULL ? c->rq->argument : "TEXT";
	char *text;
	int rc;

	if (strcmp(format, "JSON") != 0)
		return show_steps(&p, strcmp(format, "SQL") == 0 ? row_of_script : row_of_text, e);
	p.list = json_array();
	rc = show_steps(&p, row_of_json, e);
	text = json_dumps(p.list, JSON_INDENT(2));
	if (rc == 0)
		put_line(&p, text);
	free(text);
	json_decref(p.list);
	return rc;
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
		job_set_cancel(j, c->sink->is_cancelled, c->sink->arg);
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
