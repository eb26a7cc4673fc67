/* SPDX-License-Identifier: PostgreSQL
 *
 * Time is int64_t microseconds. Whatever decides takes `now_us` as a parameter; only the thin
 * shell reads a clock.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define USEC_PER_MSEC INT64_C(1000)
#define USEC_PER_SEC  INT64_C(1000000)

/* Monotonic time (CLOCK_MONOTONIC, from the vdso); has no relation to the calendar. */
int64_t clock_us(void);
/* Calendar time, microseconds since 1970-01-01 00:00 UTC. */
int64_t clock_wall_us(void);
/* For threads that may wait: a signal may end it early. */
void clock_sleep(int64_t us);

#endif
