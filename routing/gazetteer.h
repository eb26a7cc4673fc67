/* SPDX-License-Identifier: PostgreSQL
 *
 * The gazetteer: the cities of the world by any of their names, from one data file that is built
 * from routing/cities.csv (GeoNames, CC BY 4.0). Knows what places a name may mean and how large
 * they are; which of them is meant is decided elsewhere (routing/locality_city.c).
 *
 * A struct gazetteer is immutable and refcounted: reload opens anew and swaps. All of a file is
 * checked when it is opened, so that lookups need not: a truncated, damaged or hostile one gives an
 * error there. Lookups are thread-safe and allocate nothing. Every function takes NULL for a
 * gazetteer without places.
 */
#ifndef ROUTING_GAZETTEER_H
#define ROUTING_GAZETTEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct gazetteer;

struct place {
	uint32_t id;      /* of GeoNames; 0: no place */
	const char *name; /* as written, UTF-8; lives as long as the gazetteer */
	char country[3];  /* ISO 3166 alpha-2 */
	char state[5];    /* ISO 3166-2 without the country's code ("CA"); "" unknown */
	double lat, lon;
	uint32_t population;
};

/* Open a file; NULL and *e where that fails. */
struct gazetteer *gazetteer_open(const char *path, struct err *e);
/* The same of n bytes in memory, which must stay as they are for as long as it is in use. */
struct gazetteer *gazetteer_read(const void *bytes, size_t n, struct err *e);
struct gazetteer *gazetteer_ref(struct gazetteer *g);
void gazetteer_unref(struct gazetteer *g);

/* The places that a folded name (places_fold) may mean, largest first: at most `max` go to `out`,
 * returns how many did. */
size_t gazetteer_find(const struct gazetteer *g, const char *folded, struct place *out, size_t max);
/* Whether any place goes by that folded name. */
bool gazetteer_knows(const struct gazetteer *g, const char *folded);
/* The i-th largest place there is, and the i-th largest of a country (a code in capitals); false
 * past the last. */
bool gazetteer_place(const struct gazetteer *g, size_t i, struct place *out);
bool gazetteer_in_country(const struct gazetteer *g, const char *country, size_t i,
			  struct place *out);
/* The i-th folded name in order, or NULL past the last. */
const char *gazetteer_name(const struct gazetteer *g, size_t i);

/* How many places and how many names for them. */
struct gazetteer_size {
	size_t places, names;
};
struct gazetteer_size gazetteer_size(const struct gazetteer *g);

/* Whether what is on disk under `path` (NULL: nothing is wanted) is another file than what is open.
 * A file that is gone does not count: there is nothing to open instead. */
bool gazetteer_changed(const struct gazetteer *g, const char *path);

#endif
