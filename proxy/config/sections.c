/* SPDX-License-Identifier: PostgreSQL
 *
 * The sections of a configuration: an array of structures for each kind, and beside it their order
 * by name, so that one is found among thousands.
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/hot.h"
#include "proxy/config/config.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"

_Static_assert(CONFIG_SECTION_KINDS == SECTION_KIND_COUNT, "each kind has its order of names");

struct array {
	void *v;
	size_t n;
};

static HOT struct array
section_array(const struct config *c, enum section_kind kind)
{
	switch (kind) {
	case SECTION_LISTENER:
		return (struct array){ c->listeners, c->nlisteners };
	case SECTION_REGION:
		return (struct array){ c->regions, c->nregions };
	case SECTION_DATABASE:
		return (struct array){ c->databases, c->ndatabases };
	case SECTION_MERIDIAN:
	case SECTION_KIND_COUNT:
		break;
	}
	return (struct array){ NULL, 0 };
}

static void
set_section_array(struct config *c, enum section_kind kind, struct array a)
{
	if (kind == SECTION_LISTENER) {
		c->listeners = a.v;
		c->nlisteners = a.n;
	} else if (kind == SECTION_REGION) {
		c->regions = a.v;
		c->nregions = a.n;
	} else if (kind == SECTION_DATABASE) {
		c->databases = a.v;
		c->ndatabases = a.n;
	}
}

void *
config_section(struct config *c, enum section_kind kind, size_t index)
{
	if (kind == SECTION_MERIDIAN)
		return &c->main;
	return (char *)section_array(c, kind).v + index * section_of(kind)->size;
}

size_t
config_count(const struct config *c, enum section_kind kind)
{
	return kind == SECTION_MERIDIAN ? 1 : section_array(c, kind).n;
}

/* The name is the first field of every section that has one. */
_Static_assert(offsetof(struct conf_listener, name) == 0, "name comes first");
_Static_assert(offsetof(struct conf_region, name) == 0, "name comes first");
_Static_assert(offsetof(struct conf_database, name) == 0, "name comes first");

const char *
config_section_name(const struct config *c, enum section_kind kind, size_t index)
{
	if (kind == SECTION_MERIDIAN)
		return "";
	return *(char *const *)(const void *)((const char *)section_array(c, kind).v +
					      index * section_of(kind)->size);
}

/* The position of the name in the order of names, or where it would be inserted. */
static HOT size_t
place_of(const struct config *c, enum section_kind kind, struct slice name, bool *found)
{
	const uint32_t *order = c->by_name[kind];
	size_t low = 0, high = config_count(c, kind);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *other = config_section_name(c, kind, order[middle]);
		size_t n = strlen(other);
		int way = memcmp(name.p, other, name.n < n ? name.n : n);

		if (way == 0 && name.n == n) {
			*found = true;
			return middle;
		}
		if (way > 0 || (way == 0 && name.n > n))
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

HOT int
config_find_section(const struct config *c, enum section_kind kind, struct slice name)
{
	bool found;
	size_t place;

	if (name.n == 0 || kind == SECTION_MERIDIAN)
		return kind == SECTION_MERIDIAN && name.n == 0 ? 0 : -1;
	place = place_of(c, kind, name, &found);
	return found ? (int)c->by_name[kind][place] : -1;
}

void
config_set_defaults(struct config *c, enum section_kind kind, size_t index)
{
	const struct section *s = section_of(kind);
	void *conf = config_section(c, kind, index);
	struct err e;

	for (size_t i = 0; i < s->nrows; i++) {
		int rc = value_set(&s->rows[i], conf, slice_str(s->rows[i].fallback), &e);

		BUG_ON(rc < 0);
	}
}

size_t
config_add_section(struct config *c, enum section_kind kind, char *take_name)
{
	struct array a = section_array(c, kind);
	size_t size = section_of(kind)->size, place;
	uint32_t *order;
	bool found;
	char *conf;

	place = place_of(c, kind, slice_str(take_name), &found);
	order = xreallocarray(c->by_name[kind], a.n + 1, sizeof(*order));
	memmove(order + place + 1, order + place, (a.n - place) * sizeof(*order));
	order[place] = (uint32_t)a.n;
	c->by_name[kind] = order;
	a.v = xreallocarray(a.v, a.n + 1, size);
	conf = (char *)a.v + a.n * size;
	memset(conf, 0, size);
	*(char **)(void *)conf = take_name;
	a.n++;
	set_section_array(c, kind, a);
	config_set_defaults(c, kind, a.n - 1);
	/* the default address belongs to the main listener */
	if (kind == SECTION_LISTENER && a.n > 1)
		strlist_fini(&c->listeners[a.n - 1].listen);
	return a.n - 1;
}

static void *
dup_array(const void *v, size_t n, size_t size)
{
	void *copy = n > 0 ? xreallocarray(NULL, n, size) : NULL;

	if (n > 0)
		memcpy(copy, v, n * size);
	return copy;
}

void
config_own_sections(struct config *c)
{
	for (int k = SECTION_LISTENER; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;
		struct array a = section_array(c, kind);

		a.v = dup_array(a.v, a.n, section_of(kind)->size);
		set_section_array(c, kind, a);
		c->by_name[k] = dup_array(c->by_name[k], a.n, sizeof(*c->by_name[k]));
		for (size_t i = 0; i < a.n; i++) {
			char **name = config_section(c, kind, i);

			*name = xstrdup(*name);
		}
	}
}

void
config_free_sections(struct config *c)
{
	for (int k = SECTION_LISTENER; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;

		for (size_t i = 0; i < config_count(c, kind); i++)
			free(*(char **)config_section(c, kind, i));
		free(section_array(c, kind).v);
		free(c->by_name[k]);
	}
}
