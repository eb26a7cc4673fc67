/* SPDX-License-Identifier: PostgreSQL
 *
 * clocks - moves the clocks of a process while it runs, for tests: a library to be preloaded.
 *
 *   CLOCKS=FILE LD_PRELOAD=tests/tools/clocks.so PROGRAM
 *
 * FILE must exist and hold two 64-bit integers: how many microseconds are added to the calendar
 * (CLOCK_REALTIME, gettimeofday, time), and how many to CLOCK_MONOTONIC. It can be written at any
 * moment. What the kernel waits for by itself (a timeout of epoll_wait) is not moved.
 */
#include "config.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CALENDAR, MONOTONIC, NCLOCKS };

static _Atomic int64_t *added_us;

static __attribute__((constructor)) void
map_file(void)
{
	const char *name = getenv("CLOCKS");
	int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, NCLOCKS * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		added_us = p;
}

static int64_t
added(clockid_t id)
{
	if (added_us == NULL)
		return 0;
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		return added_us[CALENDAR];
	if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW ||
	    id == CLOCK_BOOTTIME)
		return added_us[MONOTONIC];
	return 0;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t nsec;

	if (syscall(SYS_clock_gettime, id, ts) != 0)
		return -1;
	nsec = ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec + added(id) * 1000;
	ts->tv_sec = nsec / 1000000000;
	ts->tv_nsec = nsec % 1000000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	*tv = (struct timeval){ .tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000 };
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
