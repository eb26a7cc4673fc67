/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/clock.h"

#include <time.h>

#include "base/hot.h"

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

HOT int64_t
clock_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t
clock_wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

void
clock_sleep(int64_t us)
{
	struct timespec t = { .tv_sec = us / USEC_PER_SEC, .tv_nsec = us % USEC_PER_SEC * 1000 };

	nanosleep(&t, NULL);
}
