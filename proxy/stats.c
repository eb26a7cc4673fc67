/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/stats.h"

#include <stddef.h>

const struct stats_row *
stats_rows(size_t *n)
{
	static const struct stats_row rows[] = {
#define C(name, text) { #name, text, offsetof(struct stats, name) },
		STATS_COUNTERS(C)
#undef C
	};

	*n = sizeof(rows) / sizeof(rows[0]);
	return rows;
}
