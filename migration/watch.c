/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/migrations_int.h"

struct watch *
watch_start(struct migrations *ms)
{
	(void)ms;
	return NULL;
}

void
watch_stop(struct watch *w)
{
	(void)w;
}
