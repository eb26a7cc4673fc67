/* SPDX-License-Identifier: PostgreSQL
 *
 * The tables behind routing/places.h, as routing/mkplaces.pl writes them. Included by places.c,
 * the generated places_tables.c and the unit test alone.
 */
#ifndef ROUTING_PLACES_INT_H
#define ROUTING_PLACES_INT_H

#include <stddef.h>
#include <stdint.h>

#include "routing/places.h"

struct places_fold_row {
	uint16_t code; /* code point */
	char to[6];    /* letters and digits; a space separates; "" deletes */
};

struct places_region_row {
	const char *provider, *name;
	double lat, lon;
};

struct places_country_row {
	const char *key; /* folded */
	char code[3];
};

struct places_division_row {
	const char *key; /* folded */
	char country[3], code[4];
};

extern const struct places_fold_row places_folds[]; /* by code */
extern const size_t places_nfolds;
extern const struct places_region_row places_regions[]; /* by provider, in order of preference */
extern const size_t places_nregions;
extern const struct places_country_row places_countries[]; /* by key */
extern const size_t places_ncountries;
extern const struct places_division_row places_divisions[]; /* by key */
extern const size_t places_ndivisions;

#endif
