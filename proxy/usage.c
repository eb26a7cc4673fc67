/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/usage.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

int64_t
usage_resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long total, resident;
	int n = 0;

	if (f == NULL)
		return -1;
	n = fscanf(f, "%lld %lld", &total, &resident);
	fclose(f);
	return n == 2 ? resident * sysconf(_SC_PAGESIZE) : -1;
}

int64_t
usage_cpu_us(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) != 0)
		return 0;
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * USEC_PER_SEC +
	       used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}
