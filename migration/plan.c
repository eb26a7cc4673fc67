/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/plan.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/json.h"

static const char *const severities[] = { "INFO", "WARN", "ERROR" };

int
plan_add(struct plan *p, const struct step_def *def, const char *place, const char *label,
	 const char *args_json)
{
	struct migration_step *s;

	p->v = xreallocarray(p->v, p->n + 1, sizeof(*p->v));
	s = &p->v[p->n++];
	*s = (struct migration_step){ .n = (int)p->n,
				      .def = def,
				      .place = xstrdup(place),
				      .label = xstrdup(label != NULL ? label : ""),
				      .args = args_json != NULL ? xstrdup(args_json) : NULL };
	return s->n;
}

void
plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct migration_step *s = &p->v[i];

		free(s->place);
		free(s->label);
		free(s->args);
		free(s->before);
		free(s->undo);
		free(s->error);
	}
	free(p->v);
	*p = (struct plan){ 0 };
}

bool
plan_is_done(const struct plan *p, enum migration_phase phase)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].def->phase == phase && !step_is_done(&p->v[i]))
			return false;
	return true;
}

/* FNV-1a, with the end of each string in it. */
static uint64_t
mixed(uint64_t h, const char *s)
{
	for (const char *p = s != NULL ? s : "\1";; p++) {
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
		if (*p == '\0')
			return h;
	}
}

void
plan_hash(const struct plan *p, char out[17])
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < p->n; i++) {
		const struct migration_step *s = &p->v[i];

		h = mixed(h, s->def->name);
		h = mixed(h, s->place);
		h = mixed(h, s->label);
	}
	snprintf(out, 17, "%016" PRIx64, h);
}

void
checks_add(struct checks *c, enum check_severity severity, const char *check, const char *object,
	   const char *detail, const char *fix)
{
	c->v = xreallocarray(c->v, c->n + 1, sizeof(*c->v));
	c->v[c->n++] = (struct check){ .severity = severity,
				       .check = xstrdup(check),
				       .object = xstrdup(object != NULL ? object : ""),
				       .detail = xstrdup(detail != NULL ? detail : ""),
				       .fix = xstrdup(fix != NULL ? fix : "") };
}

void
checks_fini(struct checks *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].check);
		free(c->v[i].object);
		free(c->v[i].detail);
		free(c->v[i].fix);
	}
	free(c->v);
	*c = (struct checks){ 0 };
}

size_t
checks_count(const struct checks *c, enum check_severity severity)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += c->v[i].severity == severity;
	return n;
}

const char *
check_severity_name(enum check_severity s)
{
	return severities[s];
}

char *
checks_json(const struct checks *c)
{
	json_t *list = json_array();
	char *text;

	for (size_t i = 0; i < c->n; i++) {
		const struct check *v = &c->v[i];
		json_t *row = json_object();

		json_object_set_new(row, "severity", json_string(severities[v->severity]));
		json_object_set_new(row, "check", json_utf8(v->check));
		json_object_set_new(row, "object", json_utf8(v->object));
		json_object_set_new(row, "detail", json_utf8(v->detail));
		json_object_set_new(row, "fix", json_utf8(v->fix));
		json_array_append_new(list, row);
	}
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text != NULL ? text : xstrdup("[]");
}

bool
checks_parse(struct checks *out, const char *json)
{
	json_t *list = json_loads(json, 0, NULL);
	size_t n = json_array_size(list);

	*out = (struct checks){ 0 };
	if (!json_is_array(list)) {
		json_decref(list);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(list, i);
		enum check_severity severity = CHECK_INFO;

		for (enum check_severity s = CHECK_INFO; s <= CHECK_ERROR; s++)
			if (strcmp(json_member(row, "severity"), severities[s]) == 0)
				severity = s;
		checks_add(out, severity, json_member(row, "check"), json_member(row, "object"),
			   json_member(row, "detail"), json_member(row, "fix"));
	}
	json_decref(list);
	return true;
}
