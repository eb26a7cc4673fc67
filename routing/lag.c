/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/lag.h"

#include <stddef.h>

void
lag_mark(struct lag_marks *m, int64_t at_us, uint64_t lsn)
{
	m->v[m->next] = (struct lag_mark){ at_us, lsn };
	m->next = (m->next + 1) % LAG_MARKS;
	if (m->n < LAG_MARKS)
		m->n++;
}

/* The newest mark that passes: taken not after `until_us`, not beyond `lsn`. */
static const struct lag_mark *
newest(const struct lag_marks *m, int64_t until_us, uint64_t lsn)
{
	for (unsigned i = 1; m != NULL && i <= m->n; i++) {
		const struct lag_mark *k = &m->v[(m->next + LAG_MARKS - i) % LAG_MARKS];

		if (k->at_us <= until_us && k->lsn <= lsn)
			return k;
	}
	return NULL;
}

static int64_t
bytes_between(uint64_t low, uint64_t high)
{
	return high > low ? (int64_t)(high - low) : 0;
}

struct lag
lag_of(const struct lag_standby *s, const struct lag_marks *primary)
{
	const struct lag_mark *last = newest(primary, INT64_MAX, UINT64_MAX);
	const struct lag_mark *before = newest(primary, s->at_us, UINT64_MAX);
	const struct lag_mark *reached = newest(primary, INT64_MAX, s->replayed);
	struct lag lag = { .us = s->replay_age_us, .bytes = -1 };
	bool behind = before != NULL && before->lsn > s->replayed;

	if (last != NULL || s->received > 0)
		lag.bytes = bytes_between(s->replayed, last != NULL ? last->lsn : s->received);
	if (s->receiving && s->received <= s->replayed && !behind) {
		lag.us = 0;
	} else if (reached != NULL) {
		int64_t since = s->at_us > reached->at_us ? s->at_us - reached->at_us : 0;

		if (lag.us < 0 || since < lag.us)
			lag.us = since;
	}
	return lag;
}
