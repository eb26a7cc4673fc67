/* SPDX-License-Identifier: PostgreSQL
 *
 * CREATE, CHECK and SET.
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

static void
tell_one(struct command_run *c, const struct check *v)
{
	struct err e = { .sqlstate = SQLSTATE_SUCCESS };

	snprintf(e.msg, sizeof(e.msg), "[%s] %s%s%s", check_severity_name(v->severity), v->check,
		 v->object[0] != '\0' ? "  " : "", v->object);
	snprintf(e.detail, sizeof(e.detail), "%s", v->detail);
	snprintf(e.hint, sizeof(e.hint), "%s", v->fix);
	c->sink->notice(c->sink->arg, "NOTICE", &e);
}

void
command_tell_checks(struct command_run *c, int id, const struct checks *found)
{
	size_t errors = checks_count(found, CHECK_ERROR),
	       warnings = checks_count(found, CHECK_WARN);
	size_t told = 0;

	command_notice(c, "checks: %zu error%s, %zu warning%s (SHOW MIGRATION %d CHECKS)", errors,
		       errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s", id);
	for (int severity = CHECK_ERROR; severity >= CHECK_WARN; severity--)
		for (size_t i = 0; i < found->n && told < TOLD_MAX; i++) {
			if ((int)found->v[i].severity != severity)
				continue;
			tell_one(c, &found->v[i]);
			told++;
		}
}

void
command_tell_mends(struct command_run *c)
{
	struct checks found;
	struct err ignored;

	if (command_reload(c, &ignored) != 0 || !checks_parse(&found, c->at.m.checks))
		return;
	for (size_t i = 0; i < found.n; i++) {
		const struct check *v = &found.v[i];

		if (v->severity == CHECK_ERROR && *v->fix != '\0')
			command_notice(c, "%s%s%s: %s", v->check, *v->object != '\0' ? " " : "",
				       v->object, v->fix);
	}
	checks_fini(&found);
}

static bool
have_passed(const struct checks *found)
{
	return checks_count(found, CHECK_ERROR) == 0;
}

/* Into the row, with the state that follows where the migration has not begun. */
static int
keep_checks(struct command_run *c, const struct checks *found, struct err *e)
{
	enum migration_event ev = have_passed(found) ? EVENT_CHECK_PASSED : EVENT_CHECK_FAILED;
	int to = transition(c->at.m.state, ev, c->at.m.phase);
	char *json = checks_json(found);
	int rc = store_set_checks(c->at.db, c->at.m.uuid, json, e);

	free(json);
	if (rc == 0 && to >= 0)
		rc = store_set_state(c->at.db, c->at.m.uuid, (enum migration_state)to, "", e);
	return rc;
}

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

/* 1: there is one of that name that is not over, and c->at is that one. */
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

/* Nothing is written before it could be asked whether it can be done at all. */
static int
preflight(struct command_run *c, const struct migration *m, struct checks *found, struct err *e)
{
	struct job *j = job_open(c->ms, m, e);
	int rc = j != NULL ? job_checks(j, PHASE_PREPARE, found, e) : -1;

	job_close(j);
	return rc;
}

static int
create_row(struct command_run *c, struct migration *m, struct err *e)
{
	if (migrations_create(c->ms, m, c->rq->user, e) != 0)
		return -1;
	if (m->id >= NUMBER_BLOCKS)
		command_notice(c,
			       "not every region could be asked which numbers are in use: %d is of"
			       " those that only its own region gives",
			       m->id);
	return migrations_find(c->ms, m->uuid, &c->at, e);
}

/* What was found is kept and told, then comes the row. */
static int
answer_checks(struct command_run *c, const struct checks *found, struct err *e)
{
	if (keep_checks(c, found, e) != 0 || command_reload(c, e) != 0)
		return -1;
	command_tell_checks(c, c->at.m.id, found);
	command_tell_next(c, &c->at.m);
	command_row(c, &c->at.m);
	return 0;
}

static int
create(struct command_run *c, const struct spec *s, json_t *options, struct err *e)
{
	struct checks found = { 0 };
	struct migration m;
	int rc;

	fill(&m, s, options);
	rc = preflight(c, &m, &found, e);
	if (rc == 0)
		rc = create_row(c, &m, e);
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
	enum migration_phase phase = phase_to_check(c);
	struct checks found = { 0 };
	struct job *j;
	int rc;

	if (transition_is_over(c->at.m.state))
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migration %d is %s", c->at.m.id,
			       migration_state_name(c->at.m.state));
	j = job_open(c->ms, &c->at.m, e);
	rc = j != NULL ? job_checks(j, phase, &found, e) : -1;
	job_close(j);
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

static int
set_options(struct command_run *c, const struct strlist *names, const struct strlist *values,
	    struct err *e)
{
	json_t *fresh = take_options(c->at.m.kind, names, values, e), *options;
	char *json;
	int rc = fresh != NULL ? 0 : -1;

	for (size_t i = 0; i < names->n && rc == 0; i++)
		rc = check_changeable(c, migration_option_find(c->at.m.kind, names->v[i], e), e);
	if (rc != 0) {
		json_decref(fresh);
		return -1;
	}
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
	json_decref(fresh);
	return rc;
}

int
command_set(struct command_run *c, struct err *e)
{
	struct strlist names, values;
	int rc;

	if (spec_parse_options(slice_str(c->rq->text), &names, &values, e) != 0)
		return -1;
	rc = set_options(c, &names, &values, e);
	strlist_fini(&names);
	strlist_fini(&values);
	return rc == 0 ? command_result(c, e) : -1;
}
