/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "routing/locality_int.h"
#include "routing/route.h"

#define CLEARLY_LARGER 3 /* so many times the people: the other city is not meant */
#define CANDIDATES_MAX 32

/* A city's name taken apart. */
struct city_query {
	struct slice name;
	char folded[PLACE_NAME_MAX];
	/* what was said beside the name, "" nothing: a country, a state by its code, and the
	 * country of that state where that is clear */
	char country[3], state[4], state_country[3];
	bool both;      /* country and state were said apart: a place must lie in both */
	bool qualified; /* something was said beside the name */
};

/* Of which places one is meant. */
struct candidates {
	struct place v[CANDIDATES_MAX];
	size_t n;
};

int
nearest_region(const struct topology *t, double lat, double lon, double *best_km, double *second_km)
{
	struct region here = { 0 };
	int best = -1;

	*best_km = *second_km = HUGE_VAL;
	region_set_location(&here, lat, lon);
	for (int i = 0; i < t->nregions; i++) {
		const struct region *r = &t->regions[i];
		double km;

		if (!r->has_location)
			continue;
		km = route_biased_km(route_distance_km(here.unit, r->unit), r->bias);
		if (km < *best_km) {
			*second_km = *best_km;
			*best_km = km;
			best = i;
		} else if (km < *second_km) {
			*second_km = km;
		}
	}
	return best;
}

int
city_listed(const struct topology *t, const char *folded)
{
	if (folded[0] == '\0')
		return -1;
	for (int i = 0; i < t->nregions; i++)
		if (strlist_has(&t->regions[i].cities, folded))
			return i;
	return -1;
}

static void
set_state(struct city_query *q, struct slice code, const char *country)
{
	for (size_t i = 0; i < code.n; i++)
		q->state[i] = (char)toupper((unsigned char)code.p[i]);
	q->state[code.n] = '\0';
	text_copy(q->state_country, sizeof(q->state_country), slice_str(country));
}

/* A state or province: by its name, by its ISO 3166-2 code ("CA", "US-CA"), or by that as Google's
 * load balancers write it ("USCA"). */
static void
take_state(struct slice part, struct city_query *q)
{
	struct slice code = slice_skip(part, part.n < 2 ? part.n : 2);
	const char *country, *named = places_division(part, &country);

	if (code.n > 1 && code.p[0] == '-')
		code = slice_skip(code, 1);
	if (named != NULL)
		set_state(q, slice_str(named), country);
	else if (part.n <= 3 && text_is_alnum(part))
		set_state(q, part, "");
	else if (code.n <= 3 && text_is_alnum(code) && places_country(part) == NULL &&
		 (country = places_country(slice_of(part.p, 2))) != NULL)
		set_state(q, code, country);
}

static void
take_country(struct slice part, struct city_query *q)
{
	const char *code = places_country(part);

	if (code != NULL)
		text_copy(q->country, sizeof(q->country), slice_str(code));
}

/* Whether the gazetteer knows any place in that state of the country. */
static bool
state_is_known(const struct gazetteer *g, const char *country, const char *state)
{
	struct place p;

	for (size_t i = 0; gazetteer_in_country(g, country, i, &p); i++) {
		if (strcmp(p.state, state) == 0)
			return true;
	}
	return false;
}

/* A state that the gazetteer does not know ("Paris, FR-IDF") says no more than its country. */
static void
forget_unknown_state(const struct gazetteer *g, struct city_query *q)
{
	const char *country = q->state_country[0] != '\0' ? q->state_country
			      : q->both                   ? q->country
							  : "";

	if (q->state[0] == '\0' || country[0] == '\0' || state_is_known(g, country, q->state))
		return;
	if (!q->both)
		memcpy(q->country, country, sizeof(q->country));
	q->state[0] = q->state_country[0] = '\0';
	q->both = false;
}

/* "name", "name, country", "name, state", "name, state, country", "CC,name". A comma may also be
 * part of a name that a list or the gazetteer knows: "Washington, D.C.". */
static void
parse_query(const struct locality_input *in, struct slice text, struct city_query *q)
{
	struct slice rest = text, first = slice_trim(slice_cut(&rest, ',')), last = rest, middle;
	bool three;

	memset(q, 0, sizeof(*q));
	q->name = text;
	places_fold(text, q->folded);
	if (slice_trim(rest).n == 0 || city_listed(in->topology, q->folded) >= 0 ||
	    gazetteer_knows(in->gazetteer, q->folded))
		return;
	q->qualified = true;
	q->name = first;
	middle = slice_trim(slice_cut(&last, ','));
	three = last.p != NULL;
	last = three ? slice_trim(last) : middle;
	take_country(last, q);
	if (q->country[0] == '\0' && first.n == 2 && places_country(first) != NULL) {
		q->name = last;
		take_country(first, q);
	} else {
		take_state(middle, q);
		q->both = three && q->country[0] != '\0' && q->state[0] != '\0';
		forget_unknown_state(in->gazetteer, q);
	}
	places_fold(q->name, q->folded);
}

/* "name,lat,long" (or "lat,long"): *name becomes what stands before the two numbers. Returns
 * whether they are coordinates; 0,0 beside a name says that only the name is known. */
static bool
split_location(struct slice *name, double *lat, double *lon)
{
	struct slice all = *name, numbers, first;
	size_t commas = 0, at = all.n;
	double number;

	while (at > 0 && (all.p[at - 1] != ',' || ++commas < 2))
		at--;
	numbers = slice_skip(all, at);
	first = slice_cut(&numbers, ',');
	if (!text_to_double(slice_trim(first), &number) ||
	    !text_to_double(slice_trim(numbers), &number))
		return false;
	name->n = at > 0 ? at - 1 : 0;
	return claim_location(slice_skip(all, at), lat, lon);
}

/* Whether a place lies where the query says. A state and a country that are spelt alike are told
 * apart by what there is: "San Francisco, CA", "Vancouver, CA"; "Atlanta, Georgia", "Tbilisi,
 * Georgia". */
static bool
place_fits(const struct place *p, const struct city_query *q)
{
	bool in_country = q->country[0] != '\0' && strcmp(p->country, q->country) == 0;
	bool in_state = q->state[0] != '\0' && strcmp(p->state, q->state) == 0 &&
			(q->state_country[0] == '\0' || strcmp(p->country, q->state_country) == 0);

	if (q->both)
		return in_country && in_state;
	return in_country || in_state || (q->country[0] == '\0' && q->state[0] == '\0');
}

/* Add the places of that name which lie where the query says. */
static void
add_places(const struct gazetteer *g, const char *key, const struct city_query *q,
	   struct candidates *c)
{
	struct place found[CANDIDATES_MAX];
	size_t n = gazetteer_find(g, key, found, CANDIDATES_MAX);

	for (size_t i = 0; i < n && c->n < CANDIDATES_MAX; i++) {
		if (place_fits(&found[i], q))
			c->v[c->n++] = found[i];
	}
}

static int
compare_population(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->population < y->population) - (x->population > y->population);
}

/* Largest first, each once. */
static void
drop_doubles(struct candidates *c)
{
	size_t kept = 0;

	qsort(c->v, c->n, sizeof(c->v[0]), compare_population);
	for (size_t i = 0; i < c->n; i++) {
		bool again = false;

		for (size_t k = 0; k < kept; k++)
			again = again || c->v[k].id == c->v[i].id;
		if (!again)
			c->v[kept++] = c->v[i];
	}
	c->n = kept;
}

/* The name as it is, and what people and CDNs make of it: "St Petersburg" is a saint's city and one
 * of that spelling, "Quebec City" and "Frankfurt (Main)" are tried where the whole name is none. */
static void
look_up(const struct gazetteer *g, const struct city_query *q, struct candidates *c)
{
	char key[PLACE_NAME_MAX + 8];
	size_t n = strlen(q->folded);
	const char *paren = q->name.n > 0 ? memchr(q->name.p, '(', q->name.n) : NULL;

	c->n = 0;
	add_places(g, q->folded, q, c);
	if (strncmp(q->folded, "st ", 3) == 0) {
		snprintf(key, sizeof(key), "saint %s", q->folded + 3);
		add_places(g, key, q, c);
		drop_doubles(c);
	}
	if (c->n == 0 && n > 5 && strcmp(q->folded + n - 5, " city") == 0) {
		snprintf(key, sizeof(key), "%.*s", (int)(n - 5), q->folded);
		add_places(g, key, q, c);
	}
	if (c->n == 0 && paren != NULL) {
		places_fold(slice_of(q->name.p, (size_t)(paren - q->name.p)), key);
		add_places(g, key, q, c);
	}
}

static bool
same_nearest(const struct topology *t, const struct candidates *c)
{
	double km, second;
	int first = nearest_region(t, c->v[0].lat, c->v[0].lon, &km, &second);

	for (size_t i = 1; i < c->n; i++) {
		if (nearest_region(t, c->v[i].lat, c->v[i].lon, &km, &second) != first)
			return false;
	}
	return true;
}

/* The one that is meant: the only one, one clearly larger than the rest, any where all are nearest
 * to the same region; else the same among those of the country that the address lies in. */
static bool
choose(const struct claim_context *x, const struct candidates *all, struct place *out)
{
	struct candidates c = *all;
	char country[3];

	for (int turn = 0; turn < 2; turn++) {
		if (c.n == 0)
			return false;
		*out = c.v[0];
		if (c.n == 1 || c.v[0].population / CLEARLY_LARGER >= c.v[1].population ||
		    same_nearest(x->in->topology, &c))
			return true;
		country_of_address(x->in, country);
		c.n = 0;
		for (size_t i = 0; i < all->n; i++) {
			if (strcmp(all->v[i].country, country) == 0)
				c.v[c.n++] = all->v[i];
		}
	}
	return false;
}

static void
set_place(struct finding *f, const struct place *p)
{
	struct locality *l = &f->locality;

	f->place = p->id;
	l->has_location = true;
	l->lat = p->lat;
	l->lon = p->lon;
	text_copy(l->country, sizeof(l->country), slice_str(p->country));
}

static void
say_not_chosen(struct finding *f, const struct candidates *c, const char *where)
{
	const struct place *a, *b;

	if (c->n == 0) {
		snprintf(f->outcome, sizeof(f->outcome), "no such city%s%s",
			 where[0] != '\0' ? " in " : "", where);
		return;
	}
	a = &c->v[0];
	b = &c->v[1];
	snprintf(f->outcome, sizeof(f->outcome), "ambiguous: %.40s %s%s%s or %.40s %s%s%s", a->name,
		 a->state, a->state[0] != '\0' ? " " : "", a->country, b->name, b->state,
		 b->state[0] != '\0' ? " " : "", b->country);
}

/* Whether what was said beside the name says where it is. */
static bool
is_located(const struct city_query *q)
{
	return !q->qualified || q->country[0] != '\0' || q->state[0] != '\0';
}

/* Whether the name alone says which place is meant, to a list or to an override. Beside a name that
 * was said with a country or state, it does where the plain name means a place there. */
static bool
is_plain(const struct gazetteer *g, const struct city_query *q)
{
	struct place largest;

	if (!q->qualified)
		return true;
	return is_located(q) &&
	       (gazetteer_find(g, q->folded, &largest, 1) == 0 || place_fits(&largest, q));
}

/* The country, where what was said means one only. */
static void
set_country_said(struct finding *f, const struct city_query *q)
{
	bool state = q->state_country[0] != '\0' && !q->both;
	bool differ = state && q->country[0] != '\0' && strcmp(q->country, q->state_country) != 0;

	if (!differ)
		memcpy(f->locality.country, state ? q->state_country : q->country,
		       sizeof(q->country));
}

static void
find_named(const struct claim_context *x, struct slice text, struct finding *f)
{
	const struct topology *t = x->in->topology;
	const struct gazetteer *g = x->in->gazetteer;
	struct candidates c = { .n = 0 };
	bool plain, chosen = false;
	struct city_query q;
	struct place p;
	int listed;

	parse_query(x->in, text, &q);
	plain = is_plain(g, &q);
	places_fold(plain ? q.name : text, f->folded);
	text_copy(f->locality.city, sizeof(f->locality.city), q.name);
	set_country_said(f, &q);
	listed = plain ? city_listed(t, q.folded) : -1;
	if (!q.qualified)
		memcpy(q.country, x->country, sizeof(q.country));
	if (is_located(&q)) {
		look_up(g, &q, &c);
		chosen = choose(x, &c, &p);
	}
	if (chosen)
		set_place(f, &p);
	if (listed >= 0) {
		f->rank = FOUND_LISTED;
		f->locality.region = listed;
		f->locality.confidence = CONFIDENCE_CITY;
		snprintf(f->outcome, sizeof(f->outcome), "city of region %.63s",
			 t->regions[listed].name);
	} else if (chosen) {
		f->rank = FOUND_CITY;
		f->locality.confidence = CONFIDENCE_CITY;
		snprintf(f->outcome, sizeof(f->outcome), "%.80s %s%s%s", p.name, p.state,
			 p.state[0] != '\0' ? " " : "", p.country);
	} else {
		say_not_chosen(f, &c, q.country[0] != '\0' ? q.country : q.state);
	}
}

void
finding_of_city(const struct claim_context *x, struct slice text, struct finding *f)
{
	struct locality *l = &f->locality;
	double lat, lon;
	bool has_location = split_location(&text, &lat, &lon);

	if (text.n > 0)
		find_named(x, text, f);
	else if (!has_location)
		snprintf(f->outcome, sizeof(f->outcome), "not a place on earth");
	if (!has_location || f->rank == FOUND_LISTED)
		return;
	f->rank = FOUND_POINT;
	l->has_location = true;
	l->lat = lat;
	l->lon = lon;
	l->confidence = CONFIDENCE_EXACT;
	snprintf(f->outcome, sizeof(f->outcome), "at %.4f,%.4f", lat, lon);
}
