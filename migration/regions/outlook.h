/* SPDX-License-Identifier: PostgreSQL
 *
 * What is and what is wanted, for CHECK, PLAN and SHOW of kind regions.
 */
#ifndef MIGRATION_REGIONS_OUTLOOK_H
#define MIGRATION_REGIONS_OUTLOOK_H

#include "migration/kind.h"
#include "migration/regions/planner.h"

struct regions_outlook {
	struct regions_catalog cat;
	struct regions_wish wish;
	struct city_map *maps;
};

/* Fini it in any case. */
int regions_look(struct job *j, struct regions_outlook *o, struct err *e);
/* Jobs and changefeeds too; and whether there is a licence. */
int regions_look_closer(struct job *j, struct regions_outlook *o, bool with_licence, struct err *e);
void regions_outlook_fini(struct regions_outlook *o);

int regions_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e);

#endif
