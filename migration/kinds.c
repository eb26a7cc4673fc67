/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/kinds.h"

/* clang-format off */
static const struct kind *const kinds[MIGRATION_NKINDS] = {
	[KIND_MOVE] = &kind_move,
	[KIND_DISTRIBUTE] = &kind_distribute,
	[KIND_FILES] = &kind_files,
	[KIND_REGIONS_OF] = &kind_regions,
};
/* clang-format on */

const struct kind *
kind_find(enum migration_kind id)
{
	return kinds[id];
}
