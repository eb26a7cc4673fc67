/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/planner.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "protocol/sqltoken.h"

#define REGIONS_WORD(constant, name, phase) name,
static const char *const names[] = { REGIONS_STEPS(REGIONS_WORD) };
#undef REGIONS_WORD

const char *
regions_step_name(enum regions_step_kind k)
{
	return names[k];
}

void
regions_plan_fini(struct regions_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		regions_step_fini(&p->v[i]);
	free(p->v);
	*p = (struct regions_plan){ 0 };
}

char *
regions_step_label(const struct regions_step *s)
{
	if (s->index != NULL)
		return xasprintf("%s.%s@%s", s->schema, s->table, s->index);
	if (s->table != NULL)
		return xasprintf("%s.%s", s->schema, s->table);
	return xstrdup(s->region != NULL ? s->region : s->goal != NULL ? s->goal : "");
}

/* ---- what is wanted ---- */

bool
regions_is_computed(const struct regions_wish *w, const struct spec_placing *p)
{
	return w->computed && p->locality == LOCALITY_BY_ROW_MAP;
}

char *
regions_home_wanted(const struct regions_wish *w, const struct spec_placing *p)
{
	switch (p->locality) {
	case LOCALITY_GLOBAL:
		return xstrdup("GLOBAL");
	case LOCALITY_BY_TABLE:
		return p->region != NULL ? xasprintf("REGIONAL BY TABLE IN \"%s\"", p->region)
					 : xstrdup("REGIONAL BY TABLE IN PRIMARY REGION");
	case LOCALITY_BY_ROW_AS:
		return xasprintf("REGIONAL BY ROW AS \"%s\"", p->column);
	case LOCALITY_BY_ROW:
	case LOCALITY_BY_ROW_MAP:
		break;
	}
	return xstrdup(regions_is_computed(w, p) ? "REGIONAL BY ROW AS " REGIONS_COMPUTED
						 : "REGIONAL BY ROW");
}

const struct regions_table *
regions_table_of(const struct regions_catalog *c, const struct spec_name *name)
{
	char *said = name->schema != NULL ? xasprintf("%s.%s", name->schema, name->table)
					  : xstrdup(name->table);
	const struct regions_table *t = regions_catalog_table(c, said);

	free(said);
	return t;
}

/* ---- steps ---- */

static struct regions_step *
add(struct regions_plan *p, enum regions_step_kind kind)
{
	p->v = xreallocarray(p->v, p->n + 1, sizeof(p->v[0]));
	p->v[p->n] = (struct regions_step){ .kind = kind };
	return &p->v[p->n++];
}

static struct regions_step *
add_of_table(struct regions_plan *p, enum regions_step_kind kind, const struct regions_table *t)
{
	struct regions_step *s = add(p, kind);

	s->schema = xstrdup(t->schema);
	s->table = xstrdup(t->name);
	return s;
}

static void
add_of_region(struct regions_plan *p, enum regions_step_kind kind, const char *region)
{
	add(p, kind)->region = xstrdup(region);
}

/* A name as it is written in a text, which may have quotes, and as it is. */
static bool
is_written(struct slice written, const char *name)
{
	size_t i = 0;

	for (; i < written.n && *name == written.p[i]; i++, name++)
		i += written.p[i] == '"' && i + 1 < written.n && written.p[i + 1] == '"';
	return i == written.n && *name == '\0';
}

/* The next token but dots and the like; n == 0: there is none. */
static struct slice
next_name(struct sqltoken_scan *s)
{
	struct sqltoken t;

	while (sqltoken_next(s, &t))
		if (t.kind != SQLTOKEN_MARK)
			return t.text;
	return slice_of(NULL, 0);
}

/* PARTITION p OF INDEX movr.public.users@users_city_idx, names quoted where they must be; the
 * table's own is an index as well, of whatever name. */
bool
regions_is_zone_of(const struct regions_zone *z, const struct regions_table *t,
		   const struct regions_partitioned *p)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(z->target));
	struct slice name, index;
	bool is_partition = slice_is_nocase(next_name(&s), "PARTITION");

	name = next_name(&s);
	if (!is_partition || !slice_is_nocase(next_name(&s), "OF"))
		return false;
	(void)next_name(&s); /* INDEX, TABLE */
	(void)next_name(&s); /* the database */
	if (!is_written(next_name(&s), t->schema) || !is_written(next_name(&s), t->name))
		return false;
	index = next_name(&s);
	if (p->index != NULL && !slice_is(index, p->index))
		return false;
	for (size_t i = 0; i < p->names.n; i++)
		if (slice_is(name, p->names.v[i]))
			return true;
	return false;
}

static void
plan_partitions(struct regions_plan *p, const struct regions_catalog *c)
{
	for (size_t i = 0; i < c->ntables; i++) {
		const struct regions_table *t = &c->tables[i];

		for (size_t k = 0; k < t->npartitioned; k++) {
			struct regions_step *s = add_of_table(p, REGIONS_PARTITIONS, t);

			s->clause = xstrdup(t->partitioned[k].text);
			if (t->partitioned[k].index != NULL)
				s->index = xstrdup(t->partitioned[k].index);
			for (size_t z = 0; z < c->nzones; z++) {
				if (regions_is_zone_of(&c->zones[z], t, &t->partitioned[k]))
					strlist_add(&s->zones, c->zones[z].target);
			}
		}
	}
}

/* A database that has another primary region already takes the new one only after it was added. */
static void
plan_database(struct regions_plan *p, const struct spec *spec, const struct regions_catalog *c)
{
	bool is_first = c->primary == NULL || strcmp(c->primary, spec->regions.v[0]) == 0;
	struct regions_step *s;

	if (c->primary == NULL)
		plan_partitions(p, c);
	if (is_first)
		add_of_region(p, REGIONS_PRIMARY, spec->regions.v[0]);
	s = add(p, REGIONS_NODES);
	strlist_copy(&s->regions, &spec->regions);
	for (size_t i = is_first ? 1 : 0; i < spec->regions.n; i++)
		add_of_region(p, REGIONS_ADD, spec->regions.v[i]);
	if (!is_first)
		add_of_region(p, REGIONS_PRIMARY_LATER, spec->regions.v[0]);
	if (spec->survive != SURVIVE_UNSAID)
		add(p, REGIONS_SURVIVAL)->goal =
		    xstrdup(spec->survive == SURVIVE_REGION ? "region" : "zone");
}

static void
add_of_cities(struct regions_plan *p, enum regions_step_kind kind, const struct regions_table *t,
	      const struct spec_placing *said, const struct city_map *map)
{
	struct regions_step *s = add_of_table(p, kind, t);

	s->column = xstrdup(said->column);
	for (size_t i = 0; i < map->n; i++) {
		if (map->v[i].region != NULL)
			city_map_add(&s->cities, map->v[i].value, map->v[i].region);
	}
}

/* Into REGIONAL BY ROW and out of it: the region is part of the primary key, or no more. */
bool
regions_changes_key(const struct spec_placing *p, const struct regions_table *t)
{
	struct table_home now;
	bool is_by_row;

	home_parse(t->locality, &now);
	is_by_row = now.kind == HOME_ROW;
	home_fini(&now);
	return is_by_row || p->locality == LOCALITY_BY_ROW || p->locality == LOCALITY_BY_ROW_AS ||
	       p->locality == LOCALITY_BY_ROW_MAP;
}

static bool
is_filled_in(const struct regions_wish *w, const struct spec_placing *p)
{
	return p->locality == LOCALITY_BY_ROW_MAP && !regions_is_computed(w, p);
}

void
regions_plan_make(struct regions_plan *out, const struct regions_wish *w,
		  const struct regions_catalog *c)
{
	const struct spec *spec = w->spec;
	bool asked = false;

	*out = (struct regions_plan){ 0 };
	plan_database(out, spec, c);
	for (size_t i = 0; i < spec->nplacings; i++) {
		const struct spec_placing *said = &spec->placings[i];
		const struct regions_table *t = regions_table_of(c, &said->name);
		char *home;

		if (t == NULL)
			continue;
		home = regions_home_wanted(w, said);
		if (regions_changes_key(said, t))
			add_of_table(out, REGIONS_FEEDS, t)->home = xstrdup(home);
		if (regions_is_computed(w, said)) {
			add_of_cities(out, REGIONS_COLUMN, t, said, &w->maps[i]);
			out->v[out->n - 1].region = xstrdup(spec->regions.v[0]);
		}
		add_of_table(out, REGIONS_LOCALITY, t)->home = home;
	}
	for (size_t i = 0; i < spec->nplacings; i++) {
		const struct regions_table *t = regions_table_of(c, &spec->placings[i].name);

		if (t != NULL && is_filled_in(w, &spec->placings[i]))
			(void)add_of_table(out, REGIONS_VISIBLE, t);
	}
	for (size_t i = 0; i < spec->nplacings; i++) {
		const struct regions_table *t = regions_table_of(c, &spec->placings[i].name);

		if (t == NULL || !is_filled_in(w, &spec->placings[i]))
			continue;
		if (!asked && w->require_ack)
			(void)add(out, REGIONS_DEPLOYED);
		asked = true;
		add_of_cities(out, REGIONS_BACKFILL, t, &spec->placings[i], &w->maps[i]);
	}
}
