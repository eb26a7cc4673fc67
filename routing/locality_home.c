/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/locality_int.h"

int
locality_region_of_city(const struct topology *t, const struct gazetteer *gazetteer,
			struct slice city)
{
	static const enum locality_source order[] = { SOURCE_STARTUP };
	struct claims claims = { 0 };
	struct locality_input in = { .claims = &claims,
				     .topology = t,
				     .gazetteer = gazetteer,
				     .order = order,
				     .norder = 1 };
	struct locality l;
	double best_km, second_km;

	claims_add(&claims, SOURCE_STARTUP, CLAIM_CITY, true, city);
	locality_decide(&in, &l, NULL, NULL);
	claims_fini(&claims);
	if (l.source != SOURCE_STARTUP)
		return -1;
	if (l.region >= 0)
		return l.region;
	if (!l.has_location || l.confidence < CONFIDENCE_CITY)
		return -1;
	return nearest_region(t, l.lat, l.lon, &best_km, &second_km);
}
