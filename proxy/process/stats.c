/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/stats.h"

#include <assert.h>
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

const char *
stats_error_source(enum error_source s)
{
	return s == ERROR_OF_NODE ? "node" : "meridian";
}

void
stats_error(struct stats *s, enum error_source source, struct slice sqlstate)
{
	stat_add(&s->errors[source][sqlstate_row(sqlstate)], 1);
}

void
stats_http_answer(struct stats *s, int status)
{
	int row = status - STATS_STATUS_FIRST;

	if (row >= 0 && row < STATS_STATUSES)
		stat_add(&s->http_answers[row], 1);
}

static_assert(sizeof(struct stats) % sizeof(uint64_t) == 0, "struct stats is made of counters");

void
stats_sum(struct stats *sum, const struct stats *other)
{
	_Atomic uint64_t *to = (_Atomic uint64_t *)(void *)sum;
	const _Atomic uint64_t *from = (const _Atomic uint64_t *)(const void *)other;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		stat_add(&to[i], stat_get(&from[i]));
}
