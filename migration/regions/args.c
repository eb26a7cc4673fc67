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

static json_t *
cities_json(const struct city_map *map)
{
	json_t *list = json_array();

	for (size_t i = 0; i < map->n; i++)
		json_array_append_new(list, json_pack("[s, s]", map->v[i].value, map->v[i].region));
	return list;
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
	json_t *o = json_object();
	char *text;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (*text_at(s, i) != NULL)
			json_object_set_new(o, texts[i].key, json_string(*text_at(s, i)));
	}
	if (s->regions.n > 0)
		json_object_set_new(o, "regions", list_json(&s->regions));
	if (s->zones.n > 0)
		json_object_set_new(o, "zones", list_json(&s->zones));
	if (s->cities.n > 0)
		json_object_set_new(o, "cities", cities_json(&s->cities));
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

static void
read_lists(const json_t *o, struct regions_step *out)
{
	json_t *list = json_object_get(o, "cities"), *item;
	size_t i;

	read_list(json_object_get(o, "regions"), &out->regions);
	read_list(json_object_get(o, "zones"), &out->zones);
	json_array_foreach(list, i, item)
	{
		const char *value = json_string_value(json_array_get(item, 0));
		const char *region = json_string_value(json_array_get(item, 1));

		if (value != NULL && region != NULL)
			city_map_add(&out->cities, value, region);
	}
}

int
regions_step_parse(enum regions_step_kind kind, const char *json, struct regions_step *out,
		   struct err *e)
{
	json_t *o = json_loads(json != NULL ? json : "{}", 0, NULL);

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
	read_lists(o, out);
	json_decref(o);
	return 0;
}
