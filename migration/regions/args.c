/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/planner.h"

#include <jansson.h>
#include <stdlib.h>

/* The texts of struct regions_step, by their names in JSON. */
static const struct {
	const char *key;
	size_t at;
} texts[] = {
	{ "schema", offsetof(struct regions_step, schema) },
	{ "table", offsetof(struct regions_step, table) },
	{ "index", offsetof(struct regions_step, index) },
	{ "clause", offsetof(struct regions_step, clause) },
	{ "region", offsetof(struct regions_step, region) },
	{ "goal", offsetof(struct regions_step, goal) },
	{ "home", offsetof(struct regions_step, home) },
	{ "column", offsetof(struct regions_step, column) },
};

static char **
text_at(const struct regions_step *s, size_t i)
{
	return (char **)(uintptr_t)((const char *)s + texts[i].at);
}

void
regions_step_fini(struct regions_step *s)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(*text_at(s, i));
	strlist_fini(&s->regions);
	strlist_fini(&s->zones);
	city_map_fini(&s->cities);
}

static json_t *
list_json(const struct strlist *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(list, json_string(v->v[i]));
	return list;
}

char *
regions_step_json(const struct regions_step *s)
{
	json_t *o = json_object(), *cities;
	char *text;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (*text_at(s, i) != NULL)
			json_object_set_new(o, texts[i].key, json_string(*text_at(s, i)));
	}
	if (s->regions.n > 0)
		json_object_set_new(o, "regions", list_json(&s->regions));
	if (s->zones.n > 0)
		json_object_set_new(o, "zones", list_json(&s->zones));
	cities = json_array();
	for (size_t i = 0; i < s->cities.n; i++)
		json_array_append_new(
		    cities, json_pack("[s, s]", s->cities.v[i].value, s->cities.v[i].region));
	if (s->cities.n > 0)
		json_object_set(o, "cities", cities);
	json_decref(cities);
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	return text;
}

static void
read_list(const json_t *list, struct strlist *out)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (json_is_string(json_array_get(list, i)))
			strlist_add(out, json_string_value(json_array_get(list, i)));
	}
}

int
regions_step_parse(enum regions_step_kind kind, const char *json, struct regions_step *out,
		   struct err *e)
{
	json_t *o = json_loads(json != NULL ? json : "{}", 0, NULL);
	json_t *list, *item;
	size_t k;

	*out = (struct regions_step){ .kind = kind };
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(e, "XX000", "the arguments of step %s cannot be read",
			       regions_step_name(kind));
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *v = json_string_value(json_object_get(o, texts[i].key));

		if (v != NULL)
			*text_at(out, i) = xstrdup(v);
	}
	read_list(json_object_get(o, "regions"), &out->regions);
	read_list(json_object_get(o, "zones"), &out->zones);
	list = json_object_get(o, "cities");
	json_array_foreach(list, k, item)
	{
		const char *value = json_string_value(json_array_get(item, 0));
		const char *region = json_string_value(json_array_get(item, 1));

		if (value != NULL && region != NULL)
			city_map_add(&out->cities, value, region);
	}
	json_decref(o);
	return 0;
}
