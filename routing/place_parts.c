/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/place_parts.h"

#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "base/words.h"
#include "routing/locality_int.h"

#define DEGREES_MAX  48 /* bytes of a latitude or longitude */
#define LOCATION_MAX PLACE_NAME_MAX
#define CITY_MAX     118 /* bytes of a city that have room for its state and country */

static const char *const part_names[PLACE_PARTS + 1] = {
	[PLACE_CITY] = "city",
	[PLACE_COUNTRY] = "country",
	[PLACE_SUBDIVISION] = "subdivision",
	[PLACE_REGION] = "region",
	[PLACE_LOCATION] = "location",
	[PLACE_LATITUDE] = "latitude",
	[PLACE_LONGITUDE] = "longitude",
	[PLACE_PLACE] = "place",
	[PLACE_PAIRS] = "pairs",
};

/* What parts are also called, in pairs. */
static const struct {
	const char *word;
	enum place_part part;
} aliases[] = {
	{ "country_code", PLACE_COUNTRY }, { "region_code", PLACE_SUBDIVISION },
	{ "latlong", PLACE_LOCATION },     { "lat", PLACE_LATITUDE },
	{ "long", PLACE_LONGITUDE },       { "lon", PLACE_LONGITUDE },
	{ "lng", PLACE_LONGITUDE },
};

const char *
place_part_name(enum place_part part)
{
	return (unsigned)part < PLACE_PARTS ? part_names[part] : "?";
}

int
place_part_parse(struct slice word)
{
	int part = words_find(part_names, word);

	for (size_t i = 0; part < 0 && i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (slice_is_nocase(word, aliases[i].word))
			part = (int)aliases[i].part;
	}
	return part;
}

bool
place_part_is_unknown(struct slice value)
{
	char text[PLACE_NAME_MAX];

	return claim_clean(value, text) == 0;
}

/* What stands behind the last comma; *rest keeps what stands before it. */
static struct slice
cut_last(struct slice *rest)
{
	struct slice whole = *rest;
	size_t at = whole.n;

	while (at > 0 && whole.p[at - 1] != ',')
		at--;
	rest->n = at > 0 ? at - 1 : 0;
	return slice_trim(slice_skip(whole, at));
}

static bool
is_number(struct slice s)
{
	double v;

	return text_to_double(s, &v);
}

/* Commas that nothing stands behind, or before: one of several values was unknown. */
static struct slice
trim_commas(struct slice s)
{
	s = slice_trim(s);
	while (s.n > 0 && s.p[0] == ',')
		s = slice_trim(slice_skip(s, 1));
	while (s.n > 0 && s.p[s.n - 1] == ',')
		s = slice_trim(slice_of(s.p, s.n - 1));
	return s;
}

/* "city,lat,long", "lat,long", "country,city"; any of them may be empty or unknown. */
static void
put_place(struct place_parts *s, struct slice value)
{
	struct slice rest = value, lon, lat, first;
	const char *end;

	lon = cut_last(&rest);
	lat = cut_last(&rest);
	end = lon.p + lon.n;
	if (is_number(lon) && is_number(lat))
		place_parts_put(s, PLACE_LOCATION, slice_of(lat.p, (size_t)(end - lat.p)));
	else
		rest = value;
	rest = trim_commas(rest);
	first = rest;
	first = slice_trim(slice_cut(&first, ','));
	if (first.n == 2 && !place_part_is_unknown(first) && places_country(first) != NULL) {
		place_parts_put(s, PLACE_COUNTRY, first);
		rest = trim_commas(slice_skip(rest, first.n));
	}
	place_parts_put(s, PLACE_CITY, rest);
}

void
place_parts_put_pairs(struct place_parts *s, struct slice pairs, char separator, bool strict)
{
	struct slice rest = pairs;

	while (strict && rest.n > 0) {
		struct slice value = slice_trim(slice_cut(&rest, separator));
		bool empty = value.n == 0;
		struct slice key = slice_trim(slice_cut(&value, '='));

		if (!empty && (value.p == NULL || key.n == 0))
			return;
	}
	while (pairs.n > 0) {
		struct slice value = slice_cut(&pairs, separator);
		int part = place_part_parse(slice_trim(slice_cut(&value, '=')));

		if (value.p != NULL && part >= 0 && part != PLACE_PAIRS)
			place_parts_put(s, (enum place_part)part, value);
	}
}

/* A number, or two, that may be on this earth; other parts are not looked at. */
static bool
is_on_earth(enum place_part part, struct slice value)
{
	char text[PLACE_NAME_MAX];
	struct slice s = slice_of(text, claim_clean(value, text));
	double a, b;

	if (part == PLACE_LOCATION)
		return claim_location(s, &a, &b);
	if (part == PLACE_LATITUDE || part == PLACE_LONGITUDE)
		return s.n < DEGREES_MAX && text_to_double(s, &a) &&
		       fabs(a) <= (part == PLACE_LATITUDE ? 90 : 180);
	return true;
}

void
place_parts_put(struct place_parts *s, enum place_part part, struct slice value)
{
	value = slice_trim(value);
	if (part == PLACE_CITY)
		value = trim_commas(value);
	if (place_part_is_unknown(value) || !is_on_earth(part, value))
		return;
	if (part == PLACE_PLACE)
		put_place(s, value);
	else if (part == PLACE_PAIRS)
		place_parts_put_pairs(s, value, ',', false);
	else if (s->part[part].n == 0)
		s->part[part] = value;
}

/* "lat,long" where there is one; "" else. */
static void
location_of(const struct place_parts *s, char to[LOCATION_MAX])
{
	char text[PLACE_NAME_MAX], half[PLACE_NAME_MAX];
	double lat, lon;

	claim_clean(s->part[PLACE_LOCATION], text);
	if (text_copy(to, LOCATION_MAX, slice_str(text)) && to[0] != '\0')
		return;
	claim_clean(s->part[PLACE_LATITUDE], text);
	claim_clean(s->part[PLACE_LONGITUDE], half);
	snprintf(to, LOCATION_MAX, "%.*s,%.*s", DEGREES_MAX, text, DEGREES_MAX, half);
	if (!claim_location(slice_str(to), &lat, &lon))
		to[0] = '\0';
}

bool
place_parts_beyond_country(const struct place_parts *s)
{
	char location[LOCATION_MAX];

	location_of(s, location);
	return s->part[PLACE_CITY].n > 0 || s->part[PLACE_REGION].n > 0 || location[0] != '\0';
}

/* A subdivision without its country: ISO 3166-2 has up to three letters or digits there. */
static bool
take_state(struct slice code, char state[4])
{
	return code.n <= 3 && text_is_alnum(code) && text_copy(state, 4, code);
}

/* The country, said or in front of the subdivision, and the subdivision without it: "" unknown. */
static void
country_of(const struct place_parts *s, char country[3], char state[4])
{
	char text[PLACE_NAME_MAX];
	struct slice sub = slice_of(text, claim_clean(s->part[PLACE_COUNTRY], text));
	const char *code = places_country(sub);

	country[0] = state[0] = '\0';
	if (code != NULL)
		text_copy(country, 3, slice_str(code));
	sub = slice_of(text, claim_clean(s->part[PLACE_SUBDIVISION], text));
	if (take_state(sub, state) || sub.n < 4)
		return;
	code = places_country(slice_of(text, 2));
	sub = slice_skip(sub, text[2] == '-' ? 3 : 2);
	if (code != NULL && (country[0] == '\0' || strcmp(code, country) == 0) &&
	    take_state(sub, state))
		text_copy(country, 3, slice_str(code));
}

void
place_parts_claim(const struct place_parts *s, enum locality_source source, bool trusted,
		  struct claims *claims)
{
	struct slice city = s->part[PLACE_CITY], country = s->part[PLACE_COUNTRY];
	char code[3], state[4], location[LOCATION_MAX];
	struct buf named = { .cap = 4096 };

	country_of(s, code, state);
	if (country.n == 0)
		country = slice_str(code);
	/* "Portland, ME, US"; a long name would lose that again */
	if (city.n > 0 && city.n < CITY_MAX && code[0] != '\0' && state[0] != '\0' &&
	    memchr(city.p, ',', city.n) == NULL) {
		buf_printf(&named, "%.*s, %s, %s", (int)city.n, city.p, state, code);
		city = buf_view(&named);
	}
	if (city.n > 0)
		claims_add(claims, source, CLAIM_CITY, trusted, city);
	if (country.n > 0)
		claims_add(claims, source, CLAIM_COUNTRY, trusted, country);
	location_of(s, location);
	if (location[0] != '\0')
		claims_add(claims, source, CLAIM_LOCATION, trusted, slice_str(location));
	if (s->part[PLACE_REGION].n > 0)
		claims_add(claims, source, CLAIM_REGION, trusted, s->part[PLACE_REGION]);
	buf_fini(&named);
}
