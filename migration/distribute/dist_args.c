/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_args.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/json.h"

#define NOT_VALID " NOT VALID"

static void
extend(json_t *out, const struct strlist *list)
{
	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(out, json_string(list->v[i]));
}

static json_t *
json_of_names(const struct strlist *list)
{
	json_t *out = json_array();

	extend(out, list);
	return out;
}

static json_t *
json_of_key(const struct dist_catalog *c, const struct dist_key *k)
{
	size_t n = strlen(k->definition), cut = strlen(NOT_VALID);

	if (n > cut && strcmp(k->definition + n - cut, NOT_VALID) == 0)
		n -= cut;
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s%, s:s?, s:b}", "name", k->name, "table",
			 c->tables[k->from].name, "refer", c->tables[k->to].name, "columns",
			 json_of_names(&k->columns), "refers", json_of_names(&k->refers),
			 "definition", k->definition, n, "comment", k->comment, "valid",
			 k->is_valid);
}

static bool
has_references(const struct dist_plan *p, const struct dist_catalog *c)
{
	for (size_t i = 0; i < c->nkeys; i++) {
		size_t to = c->keys[i].to;

		if (p->choice[c->keys[i].from].is_in && (c->tables[to].state == DIST_REFERENCE ||
							 p->choice[to].method == METHOD_REFERENCE))
			return true;
	}
	return false;
}

/* Whether taking tables back together takes back only what this migration did. */
static bool
is_alone(const struct dist_plan *p, const struct dist_catalog *c)
{
	for (size_t i = 0; i < c->nkeys; i++) {
		const struct dist_table *from = &c->tables[c->keys[i].from];
		const struct dist_table *to = &c->tables[c->keys[i].to];

		if (!p->choice[c->keys[i].from].is_in && !p->choice[c->keys[i].to].is_in)
			continue;
		if ((from->state != DIST_LOCAL && from->state != DIST_HALF) ||
		    (to->state != DIST_LOCAL && to->state != DIST_HALF))
			return false;
	}
	return true;
}

char *
dist_args_text(const struct dist_step *s, const struct dist_plan *p, const struct dist_catalog *c,
	       const struct dist_wish *w)
{
	const struct dist_table *t = s->table < c->ntables ? &c->tables[s->table] : NULL;
	json_t *keys = json_array(), *tables = json_array(), *trimmings = json_array(), *o;
	bool has_identity = t != NULL && t->identities.n > 0;
	int64_t bytes = t != NULL ? t->bytes : 0;
	char *out;

	for (size_t i = 0; i < s->nkeys; i++)
		json_array_append_new(keys, json_of_key(c, &c->keys[s->keys[i]]));
	for (size_t i = 0; i < s->ntables; i++) {
		const struct dist_table *one = &c->tables[s->tables[i]];
		bool is_reference = p->choice[s->tables[i]].method == METHOD_REFERENCE;

		bytes += one->bytes;
		has_identity |= one->identities.n > 0;
		json_array_append_new(
		    tables, json_pack("{s:s, s:b}", "table", one->name, "reference", is_reference));
		if (s->act == DIST_KEEP_KEYS)
			extend(trimmings, &one->trimmings);
	}
	if (s->act == DIST_TRIM) /* only where they are needed: they may be long */
		extend(trimmings, &t->trimmings);
	o = json_pack("{s:s?, s:s, s:s?, s:s?, s:f, s:b, s:b, s:b, s:b, s:I, s:o, s:o, s:o}",
		      "table", t != NULL ? t->name : NULL, "column", w->column, "beside",
		      s->colocated < c->ntables ? c->tables[s->colocated].name : NULL, "why",
		      t != NULL ? p->choice[s->table].why : NULL, "seconds", dist_seconds(c, bytes),
		      "partitioned", t != NULL && t->relkind == 'p', "identity", has_identity,
		      "alone", is_alone(p, c), "sequential", has_references(p, c), "bytes",
		      (json_int_t)bytes, "keys", keys, "trimmings", trimmings, "tables", tables);
	out = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(3));
	json_decref(o);
	return out;
}

static char *
string_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? xstrdup(s) : NULL;
}

static char *
string_or_empty(const json_t *o, const char *name)
{
	return xstrdup(json_member(o, name));
}

static void
names_of(struct strlist *to, const json_t *o, const char *name)
{
	const json_t *list = json_object_get(o, name);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		strlist_add(to, s != NULL ? s : "");
	}
}

static void
key_of(struct dist_key_args *k, const json_t *o)
{
	k->name = string_or_empty(o, "name");
	k->table = string_or_empty(o, "table");
	k->refer = string_or_empty(o, "refer");
	k->definition = string_or_empty(o, "definition");
	names_of(&k->columns, o, "columns");
	names_of(&k->refers, o, "refers");
	k->comment = string_of(o, "comment");
	k->is_valid = json_is_true(json_object_get(o, "valid"));
}

int
dist_args_parse(struct dist_args *out, const char *json, struct err *e)
{
	json_t *o = json != NULL ? json_loads(json, 0, NULL) : NULL;
	const json_t *keys = json_object_get(o, "keys"), *tables = json_object_get(o, "tables");

	memset(out, 0, sizeof(*out));
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(e, "XX000", "the step's arguments cannot be read");
	}
	out->table = string_of(o, "table");
	out->column = string_or_empty(o, "column");
	out->colocated = string_of(o, "beside");
	out->why = string_or_empty(o, "why");
	out->seconds = json_number_value(json_object_get(o, "seconds"));
	out->bytes = json_integer_value(json_object_get(o, "bytes"));
	out->is_partitioned = json_is_true(json_object_get(o, "partitioned"));
	out->is_irreversible = json_is_true(json_object_get(o, "identity"));
	out->is_alone = json_is_true(json_object_get(o, "alone"));
	out->is_sequential = json_is_true(json_object_get(o, "sequential"));
	names_of(&out->trimmings, o, "trimmings");
	out->nkeys = json_array_size(keys);
	out->keys = xcalloc(out->nkeys + 1, sizeof(*out->keys));
	for (size_t i = 0; i < out->nkeys; i++)
		key_of(&out->keys[i], json_array_get(keys, i));
	out->ntables = json_array_size(tables);
	out->tables = xcalloc(out->ntables + 1, sizeof(*out->tables));
	for (size_t i = 0; i < out->ntables; i++) {
		const json_t *t = json_array_get(tables, i);

		out->tables[i].table = string_or_empty(t, "table");
		out->tables[i].is_reference = json_is_true(json_object_get(t, "reference"));
	}
	json_decref(o);
	return 0;
}

void
dist_args_fini(struct dist_args *a)
{
	for (size_t i = 0; i < a->nkeys; i++) {
		free(a->keys[i].name);
		free(a->keys[i].table);
		free(a->keys[i].refer);
		free(a->keys[i].definition);
		free(a->keys[i].comment);
		strlist_fini(&a->keys[i].columns);
		strlist_fini(&a->keys[i].refers);
	}
	for (size_t i = 0; i < a->ntables; i++)
		free(a->tables[i].table);
	strlist_fini(&a->trimmings);
	free(a->keys);
	free(a->tables);
	free(a->table);
	free(a->column);
	free(a->colocated);
	free(a->why);
	memset(a, 0, sizeof(*a));
}
