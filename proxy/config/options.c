/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/options.h"

#include "base/hot.h"
#include "proxy/config/options_int.h"

static const struct section *const sections[SECTION_KIND_COUNT] = {
	[SECTION_MERIDIAN] = &section_meridian,
	[SECTION_LISTENER] = &section_listener,
	[SECTION_REGION] = &section_region,
	[SECTION_DATABASE] = &section_database,
};

HOT const struct section *
section_of(enum section_kind kind)
{
	return sections[kind];
}

int
section_find(struct slice word)
{
	for (int i = 0; i < SECTION_KIND_COUNT; i++) {
		if (slice_is(word, sections[i]->word))
			return i;
	}
	return -1;
}

static const struct option *
find_row(const struct section *s, struct slice name)
{
	for (size_t i = 0; i < s->nrows; i++) {
		if (slice_is(name, s->rows[i].name))
			return &s->rows[i];
	}
	return NULL;
}

const struct option *
option_find(enum section_kind *kind, struct slice name)
{
	const struct option *o = find_row(sections[*kind], name);

	if (o == NULL && *kind == SECTION_MERIDIAN) {
		o = find_row(sections[SECTION_LISTENER], name);
		if (o != NULL)
			*kind = SECTION_LISTENER;
	}
	return o;
}

const char *
option_apply_name(enum option_apply apply)
{
	static const char *const names[] = { "at once", "new sessions", "restart" };

	return names[apply];
}
