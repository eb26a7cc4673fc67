/* SPDX-License-Identifier: PostgreSQL
 *
 * What one sender says of a caller's place, in parts: a city here, a country there, a latitude and
 * a longitude that only mean something together. Gathers the parts, leaves out those that stand for
 * "unknown", and makes claims of them. Knows neither where the parts came from (headers, TLVs) nor
 * whether the sender may be believed: the caller says both.
 *
 * Nothing is copied: parts are slices into what was read, and live no longer.
 */
#ifndef ROUTING_SAID_H
#define ROUTING_SAID_H

#include <stdbool.h>

#include "base/slice.h"
#include "routing/locality.h"

enum said_part {
	SAID_CITY,        /* "Paris"; "Washington, D.C."; "Paris, FR" */
	SAID_COUNTRY,     /* ISO 3166 alpha-2 or a name */
	SAID_SUBDIVISION, /* of the country: "CA", "USCA", "US-CA" */
	SAID_REGION,      /* one of ours or a cloud's: "us-east1", "cdg" */
	SAID_LOCATION,    /* "48.85,2.35" */
	SAID_LATITUDE,    /* half of a location */
	SAID_LONGITUDE,   /* the other half */
	SAID_PLACE,       /* several in one: "FR,Paris", "paris,48.85,2.35", "48.85,2.35" */
	SAID_PAIRS,       /* "country_code=US,city=SANFRANCISCO,lat=37.8,long=-122.4" */
	SAID_PART_COUNT
};

/* All zero is nothing said. PLACE and PAIRS are never set: they are taken apart. */
struct said {
	struct slice part[SAID_PART_COUNT];
};

const char *said_part_name(enum said_part part); /* "city", "country", "subdivision" … */
/* A part by its name, or by a name that it goes by in pairs ("lat", "country_code"); -1: none. */
int said_part_parse(struct slice word);

/* Whether a value stands for "nothing known": empty, "?", "unknown", "ZZ" … */
bool said_nothing(struct slice value);
/* Take a part; the first that says something stays. */
void said_put(struct said *s, enum said_part part, struct slice value);
/* Take "key=value" pairs between separators; keys that are no parts are skipped. With `strict`
 * something that is no pair makes all of it mean nothing: an opaque text. */
void said_put_pairs(struct said *s, struct slice pairs, char separator, bool strict);
/* Whether it says more of the place than the country. */
bool said_place(const struct said *s);
/* Make claims of it, at most four. */
void said_claim(const struct said *s, enum locality_source source, bool trusted,
		struct claims *claims);

#endif
