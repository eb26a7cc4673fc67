/* SPDX-License-Identifier: PostgreSQL
 *
 * The hours in which FINALIZE may freeze (option window of moves): '02:00-04:00 UTC',
 * 'Sat,Sun 22:00-02:00 Europe/Berlin', 'Mon-Fri 12:00-13:00 +02:00'. The days are those on which it
 * opens; over midnight it closes on the next. Pure: the local time of a named time zone is read
 * from a server, and comes in as `local`: seconds since 1970-01-01 00:00 by the clocks of that
 * zone.
 */
#ifndef MIGRATION_WINDOW_H
#define MIGRATION_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct window {
	unsigned days; /* 1u << 0: Sunday … 1u << 6: Saturday */
	int from, to;  /* minutes of the day; to <= from: of the next one */
	char zone[64]; /* a name; "": */
	int offset;    /* … minutes east of UTC */
};

/* What it takes, for a hint. */
#define WINDOW_EXPECTED                                                                    \
	"hours of the day, with days in front and a time zone behind: '02:00-04:00 UTC', " \
	"'Sat,Sun 22:00-02:00 Europe/Berlin', 'Mon-Fri 12:00-13:00 +02:00'"

bool window_parse(const char *text, struct window *out);
/* In one form, from which it can be read again. */
void window_put(const struct window *w, struct buf *out);
/* When it opens: `local` where it is open. */
int64_t window_opens(const struct window *w, int64_t local);
/* "Sun 2026-11-22 02:00 Europe/Berlin" */
void window_put_time(const struct window *w, int64_t local, struct buf *out);

#endif
