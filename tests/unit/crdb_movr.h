/* SPDX-License-Identifier: PostgreSQL
 *
 * MovR on a CockroachDB cluster of one region, as its catalog says; and what is wished of it.
 * Include it before unit.h.
 */
#ifndef TESTS_UNIT_CRDB_MOVR_H
#define TESTS_UNIT_CRDB_MOVR_H

#include <stdlib.h>
#include <string.h>

#include "migration/regions/planner.h"

static inline void
movr_table(struct regions_catalog *c, const char *name)
{
	struct regions_table *t = regions_catalog_add_table(c, "public", name, NULL);

	t->owner = xstrdup("root");
	regions_table_add_column(t, "id", "uuid", false);
	regions_table_add_column(t, "city", "text", false);
}

static inline void
movr(struct regions_catalog *c)
{
	*c = (struct regions_catalog){ .version = xstrdup("CockroachDB CCL v21.1.0"),
				       .database = xstrdup("movr"),
				       .user = xstrdup("root"),
				       .owner = xstrdup("root"),
				       .is_admin = true };
	strlist_add(&c->cluster, "us-east1");
	movr_table(c, "users");
	movr_table(c, "vehicles");
	movr_table(c, "rides");
	movr_table(c, "promo_codes");
}

#define MOVR_WISH                                                                 \
	"mr OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1, europe-west1" \
	" SURVIVE REGION FAILURE LOCALITY (promo_codes GLOBAL,"                   \
	" users REGIONAL BY ROW BY (city) MAP router, vehicles REGIONAL BY ROW)"

/* A wish as it was typed, with the cities of the first table that has a map. */
struct movr_wish {
	struct spec spec;
	struct city_map maps[8];
	struct regions_wish w;
};

static inline bool
wish(struct movr_wish *x, const char *text)
{
	struct err e = { 0 };

	memset(x, 0, sizeof(*x));
	if (spec_parse(slice_str(text), &x->spec, &e) < 0)
		return false;
	x->w = (struct regions_wish){
		.spec = &x->spec, .maps = x->maps, .feeds = "error", .require_ack = true
	};
	for (size_t i = 0; i < x->spec.nplacings; i++) {
		if (x->spec.placings[i].locality != LOCALITY_BY_ROW_MAP)
			continue;
		city_map_add(&x->maps[i], "new york", "us-east1");
		city_map_add(&x->maps[i], "seattle", "us-west1");
		city_map_add(&x->maps[i], "paris", "europe-west1");
		city_map_add(&x->maps[i], "rome", "europe-west1");
		city_map_add(&x->maps[i], "atlantis", NULL);
	}
	return true;
}

static inline void
wish_fini(struct movr_wish *x)
{
	for (size_t i = 0; i < 8; i++)
		city_map_fini(&x->maps[i]);
	spec_fini(&x->spec);
}

#endif
