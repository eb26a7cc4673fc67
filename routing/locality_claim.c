/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "routing/locality_int.h"

/* By how much the best region must beat the second for a country to decide. */
#define CLEAR_RATIO 1.10
#define CLEAR_KM    50
#define LARGE_CITY  100000
#define CENTROID_KM 500 /* how far off the centre of an unknown country may be */

static void
say(struct finding *f, const char *what)
{
	(void)text_copy(f->outcome, sizeof(f->outcome), slice_str(what));
}

static void
set_region(struct finding *f, enum finding_rank rank, int region, enum confidence confidence)
{
	f->rank = rank;
	f->locality.region = region;
	f->locality.confidence = confidence;
}

static void
set_point(struct finding *f, double lat, double lon)
{
	f->rank = FOUND_POINT;
	f->locality.has_location = true;
	f->locality.lat = lat;
	f->locality.lon = lon;
	f->locality.confidence = CONFIDENCE_EXACT;
}

/* The largest city of a country that is known, and whether all large ones are nearest to one
 * region. Small ones are not asked: an outlying island would decide for all of a country. */
static bool
survey_country(const struct locality_input *in, const char *country, struct place *largest,
	       bool *agree)
{
	const struct topology *t = in->topology;
	struct place p;
	double km, second;
	int region;

	*agree = true;
	if (!gazetteer_in_country(in->gazetteer, country, 0, largest))
		return false;
	region = nearest_region(t, largest->lat, largest->lon, &km, &second);
	for (size_t i = 1; *agree && gazetteer_in_country(in->gazetteer, country, i, &p) &&
			   p.population >= LARGE_CITY;
	     i++)
		*agree = nearest_region(t, p.lat, p.lon, &km, &second) == region;
	return true;
}

/* A country decides where a region's list has it, or where all of it is clearly nearest to one
 * region. `f` brings the centre along if it has one; the largest city stands in for it. */
static void
finding_of_country(const struct locality_input *in, const char *country, unsigned accuracy_km,
		   struct finding *f)
{
	const struct topology *t = in->topology;
	struct locality *l = &f->locality;
	int listed = -1;
	double best, second, slack = accuracy_km > CENTROID_KM ? accuracy_km : CENTROID_KM;
	struct place largest;
	bool agree, surveyed = survey_country(in, country, &largest, &agree);

	if (!l->has_location && surveyed) {
		l->has_location = true;
		l->lat = largest.lat;
		l->lon = largest.lon;
	}
	memcpy(l->country, country, sizeof(l->country));
	for (int i = 0; country[0] != '\0' && listed < 0 && i < t->nregions; i++)
		listed = strlist_has(&t->regions[i].countries, country) ? i : -1;
	if (listed >= 0) {
		set_region(f, FOUND_COUNTRY, listed, CONFIDENCE_COUNTRY);
		snprintf(f->outcome, sizeof(f->outcome), "country of region %.63s",
			 t->regions[listed].name);
		return;
	}
	if (l->has_location) {
		nearest_region(t, l->lat, l->lon, &best, &second);
		/* without known cities only the margin speaks: no point of a circle of that
		 * radius may be nearer to the second region */
		agree = agree && (surveyed ? second >= best * CLEAR_RATIO + CLEAR_KM
					   : second - best >= 2 * slack);
	}
	if (l->has_location && agree) {
		f->rank = FOUND_COUNTRY;
		l->confidence = CONFIDENCE_COUNTRY;
	} else {
		l->has_location = false;
	}
	snprintf(f->outcome, sizeof(f->outcome), "country %s%s", country[0] ? country : "unknown",
		 f->rank == FOUND_COUNTRY ? " as a whole" : " is not decisive");
}

static void
read_city(const struct claim_context *x, struct slice text, struct finding *f)
{
	finding_of_city(x, text, f);
	if (f->rank == FOUND_NOTHING && f->locality.country[0] != '\0')
		finding_of_country(x->in, places_country(slice_str(f->locality.country)), 0, f);
}

static void
read_country(const struct claim_context *x, struct slice text, struct finding *f)
{
	const char *code = places_country(text);

	if (code == NULL)
		say(f, "no such country");
	else
		finding_of_country(x->in, code, 0, f);
}

static bool
read_own_region(const struct claim_context *x, struct slice text, struct finding *f)
{
	int region = topology_region_by_name(x->in->topology, text);

	if (region < 0)
		return false;
	set_region(f, FOUND_REGION, region, CONFIDENCE_EXACT);
	snprintf(f->outcome, sizeof(f->outcome), "region %.63s",
		 x->in->topology->regions[region].name);
	return true;
}

static bool
read_cloud_region(struct slice text, struct finding *f)
{
	double lat, lon;

	if (!places_region(text, &lat, &lon))
		return false;
	set_point(f, lat, lon);
	snprintf(f->outcome, sizeof(f->outcome), "cloud region at %.4f,%.4f", lat, lon);
	return true;
}

static void
read_region(const struct claim_context *x, struct slice text, struct finding *f)
{
	if (!read_own_region(x, text, f) && !read_cloud_region(text, f))
		say(f, "no such region");
}

static void
read_location(const struct claim_context *x, struct slice text, struct finding *f)
{
	double lat, lon;

	(void)x;
	if (!claim_location(text, &lat, &lon)) {
		say(f, "not a latitude and longitude");
		return;
	}
	set_point(f, lat, lon);
	snprintf(f->outcome, sizeof(f->outcome), "at %.4f,%.4f", lat, lon);
}

/* A label of a server name: one of our regions, a city of a list, a region of a cloud, a city. */
static void
read_name(const struct claim_context *x, struct slice text, struct finding *f)
{
	char folded[PLACE_NAME_MAX];
	size_t n = places_fold(text, folded);
	bool listed = city_listed(x->in->topology, folded) >= 0;

	if (read_own_region(x, text, f) || (!listed && read_cloud_region(text, f)))
		return;
	finding_of_city(x, slice_of(folded, n), f);
	if (f->rank == FOUND_NOTHING && !slice_starts(slice_str(f->outcome), "ambiguous"))
		say(f, "neither a region nor a city");
}

/* The region whose networks hold the address, longest prefix first. */
static void
read_network(const struct topology *t, const struct addr *a, struct finding *f)
{
	const struct cidr *best = NULL;
	char text[ADDR_TEXT_MAX];
	int region = -1;

	for (int i = 0; i < t->nregions; i++) {
		const struct cidrlist *l = &t->regions[i].networks;

		for (size_t k = 0; k < l->n; k++) {
			if (cidr_has(&l->v[k], a) && (best == NULL || l->v[k].bits > best->bits)) {
				best = &l->v[k];
				region = i;
			}
		}
	}
	if (best == NULL)
		return;
	set_region(f, FOUND_REGION, region, CONFIDENCE_EXACT);
	snprintf(f->outcome, sizeof(f->outcome), "network %s of region %.63s",
		 cidr_print(best, text), t->regions[region].name);
}

/* The region whose networks have the private endpoint. */
static void
read_endpoint(const struct claim_context *x, struct slice text, struct finding *f)
{
	const struct topology *t = x->in->topology;

	for (int i = 0; i < t->nregions; i++) {
		const struct strlist *l = &t->regions[i].endpoints;

		for (size_t k = 0; k < l->n; k++) {
			if (!slice_is_nocase(text, l->v[k]))
				continue;
			set_region(f, FOUND_REGION, i, CONFIDENCE_EXACT);
			snprintf(f->outcome, sizeof(f->outcome), "endpoint of region %.63s",
				 t->regions[i].name);
			return;
		}
	}
	say(f, "endpoint of no region");
}

static void
take_answer(const struct claim_context *x, const struct geo_answer *a, struct finding *f)
{
	const struct topology *t = x->in->topology;
	struct locality *l = &f->locality;
	int listed;

	l->has_location = a->has_location;
	l->lat = a->lat;
	l->lon = a->lon;
	if (a->country_only) {
		finding_of_country(x->in, a->country, a->accuracy_km, f);
	} else if (!a->has_location) {
		struct claim_context named = *x;

		/* A city that a database names without coordinates. */
		memcpy(named.country, a->country, sizeof(named.country));
		finding_of_city(&named, slice_str(a->city), f);
		if (f->rank == FOUND_NOTHING)
			finding_of_country(x->in, a->country, 0, f);
	} else {
		places_fold(slice_str(a->city), f->folded);
		text_copy(l->city, sizeof(l->city), slice_str(a->city));
		listed = city_listed(t, f->folded);
		set_region(f, listed >= 0 ? FOUND_LISTED : FOUND_CITY, listed, CONFIDENCE_CITY);
		snprintf(f->outcome, sizeof(f->outcome), "%.50s %s%s%.63s", a->city, a->country,
			 listed >= 0 ? ", city of region " : "",
			 listed >= 0 ? t->regions[listed].name : "");
	}
	memcpy(l->country, a->country, sizeof(l->country));
}

static bool
parse_address(struct slice text, struct addr *a)
{
	return addr_parse(text, a) || addr_parse_port(text, a);
}

static void
read_address(const struct claim_context *x, struct slice text, struct finding *f)
{
	struct geo_answer answer;
	struct addr a;

	if (!parse_address(text, &a)) {
		say(f, "not an address");
		return;
	}
	if (geo_lookup(x->in->geo, &a, &answer))
		take_answer(x, &answer, f);
	else
		say(f, x->in->geo != NULL ? "address is in no database" : "no database");
	/* the operator's networks say where; city and country stay what the database says */
	read_network(x->in->topology, &a, f);
}

void
country_of_address(const struct locality_input *in, char country[3])
{
	char text[PLACE_NAME_MAX];
	struct geo_answer answer;
	const char *why;
	struct addr a;

	country[0] = '\0';
	for (unsigned i = 0; i < in->claims->n && country[0] == '\0'; i++) {
		struct claim c = claims_get(in->claims, i);

		if (c.kind == CLAIM_ADDRESS && claim_counts(in, &c, &why) &&
		    parse_address(slice_of(text, claim_clean(c.value, text)), &a) &&
		    geo_lookup(in->geo, &a, &answer))
			memcpy(country, answer.country, sizeof(answer.country));
	}
}

typedef void (*read_claim_fn)(const struct claim_context *x, struct slice text, struct finding *f);

void
finding_of_claim(const struct claim_context *x, const struct claim *c, struct finding *f)
{
	static const read_claim_fn readers[CLAIM_KIND_COUNT] = {
		[CLAIM_CITY] = read_city,         [CLAIM_COUNTRY] = read_country,
		[CLAIM_REGION] = read_region,     [CLAIM_LOCATION] = read_location,
		[CLAIM_ADDRESS] = read_address,   [CLAIM_NAME] = read_name,
		[CLAIM_ENDPOINT] = read_endpoint,
	};
	char text[PLACE_NAME_MAX];
	const char *why;
	size_t n;

	memset(f, 0, sizeof(*f));
	f->rank = FOUND_NOTHING;
	f->locality.source = c->source;
	f->locality.region = -1;
	n = claim_clean(c->value, text);
	if (!claim_counts(x->in, c, &why))
		say(f, why);
	else if (n == 0)
		say(f, "says nothing");
	else
		readers[c->kind](x, slice_of(text, n), f);
}
