/* SPDX-License-Identifier: PostgreSQL
 *
 * What one sender says of a caller's place, in parts: a city here, a country there, a latitude and
 * a longitude that only mean something together. Gathers the parts, leaves out those that stand for
 * "unknown", and makes claims of them. Knows neither where the parts came from (headers, TLVs) nor
 * whether the sender may be believed: the caller says both.
 *
 * Nothing is copied: parts are slices into what was read, and live no longer.
 */
#ifndef ROUTING_PLACE_PARTS_H
#define ROUTING_PLACE_PARTS_H

#include <stdbool.h>

#include "base/slice.h"
#include "routing/locality.h"

enum place_part {
	PLACE_CITY,        /* "Paris"; "Washington, D.C."; "Paris, FR" */
	PLACE_COUNTRY,     /* ISO 3166 alpha-2 or a name */
	PLACE_SUBDIVISION, /* of the country: "CA", "USCA", "US-CA" */
	PLACE_REGION,      /* one of ours or a cloud's: "us-east1", "cdg" */
	PLACE_LOCATION,    /* "48.85,2.35" */
	PLACE_LATITUDE,    /* half of a location */
	PLACE_LONGITUDE,   /* the other half */
	PLACE_PLACE,       /* several in one: "FR,Paris", "paris,48.85,2.35", "48.85,2.35" */
	PLACE_PAIRS,       /* "country_code=US,city=SANFRANCISCO,lat=37.8,long=-122.4" */
	PLACE_PARTS
};

/* All zero is nothing said. PLACE and PAIRS are never set: they are taken apart. */
struct place_parts {
	struct slice part[PLACE_PARTS];
};

const char *place_part_name(enum place_part part); /* "city", "country", "subdivision" … */
/* A part by its name, or by a name that it goes by in pairs ("lat", "country_code"); -1: none. */
int place_part_parse(struct slice word);

/* Whether a value stands for "nothing known": empty, "?", "unknown", "ZZ" … */
bool place_part_is_unknown(struct slice value);
/* Take a part; the first that says something stays. */
void place_parts_put(struct place_parts *s, enum place_part part, struct slice value);
/* Take "key=value" pairs between separators; keys that are no parts are skipped. With `strict`
 * something that is no pair makes all of it mean nothing: an opaque text. */
void place_parts_put_pairs(struct place_parts *s, struct slice pairs, char separator, bool strict);
/* Whether it says more of the place than the country. */
bool place_parts_beyond_country(const struct place_parts *s);
/* Make claims of it, at most four. */
void place_parts_claim(const struct place_parts *s, enum locality_source source, bool trusted,
		       struct claims *claims);

#endif
