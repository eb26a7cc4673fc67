/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files behind routing/locality.h share: locality.c weighs the sources, locality_claim.c
 * makes of one claim what it says by itself, locality_city.c finds the place that a city's name
 * means, claims.c keeps and cleans what was claimed.
 */
#ifndef ROUTING_LOCALITY_INT_H
#define ROUTING_LOCALITY_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "routing/gazetteer.h"
#include "routing/geo.h"
#include "routing/locality.h"

/* Clean a claimed value: blanks trimmed, percent-encoding taken off once where every % is
 * followed by two hexadecimal digits, Latin-1 made UTF-8 where it is not UTF-8, control characters
 * dropped, cut to PLACE_NAME_MAX - 1 bytes. The result is empty where the value is one of the many
 * that stand for "unknown" ("?", "ZZ" …). Returns its length. */
size_t claim_clean(struct slice raw, char to[PLACE_NAME_MAX]);
/* "lat,long" in degrees; false where it is none, out of range, or 0,0 (which means unknown). */
bool claim_location(struct slice s, double *lat, double *lon);

/* How much a finding is worth against the others of its source; lower is better. */
enum finding_rank {
	FOUND_REGION,  /* a region named outright, or by its networks */
	FOUND_LISTED,  /* a city in a region's list */
	FOUND_POINT,   /* coordinates, or a region of a cloud */
	FOUND_CITY,    /* a city of the gazetteer or of a geoip database */
	FOUND_COUNTRY, /* a country only */
	FOUND_NOTHING,
};

/* What one claim says by itself. City and country are filled in where they are known, even where
 * they lead nowhere: overrides match them. */
struct finding {
	enum finding_rank rank;
	struct locality locality;
	char folded[PLACE_NAME_MAX]; /* the city's name as lists spell it; "" where there is none */
	uint32_t place;              /* the gazetteer's id of it; 0: not in there */
	char outcome[160];
};

/* What a claim is read against. */
struct claim_context {
	const struct locality_input *in;
	char country[3]; /* another claim of the same source, "" where there is none */
};

void finding_of_claim(const struct claim_context *x, const struct claim *c, struct finding *f);

/* Find the city in cleaned text ("paris", "Paris, US", "FR,Paris", "paris,48.85,2.35"). */
void finding_of_city(const struct claim_context *x, struct slice text, struct finding *f);
/* The region whose list has the folded name, or -1. */
int city_listed(const struct topology *t, const char *folded);

/* The region nearest to a point (index), or -1 where none has a location. *best_km and *second_km
 * get the biased distances of the first two, infinite where there is none. */
int nearest_region(const struct topology *t, double lat, double lon, double *best_km,
		   double *second_km);
/* The country that geoip gives for the caller's address; "" where it gives none. */
void country_of_address(const struct locality_input *in, char country[3]);
/* Whether a claim counts; where it does not, *why says so. */
bool claim_counts(const struct locality_input *in, const struct claim *c, const char **why);

#endif
