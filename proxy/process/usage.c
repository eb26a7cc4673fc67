/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/usage.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#ifdef SANITIZED
/* declared here since not every compiler has sanitizer/allocator_interface.h; UBSan alone has no
 * allocator */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

struct usage_heap
usage_heap(void)
{
	int64_t used = -1;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		used = (int64_t)__sanitizer_get_current_allocated_bytes();
	return (struct usage_heap){ used, -1, -1 };
}
#else
struct usage_heap
usage_heap(void)
{
	struct mallinfo2 heap = mallinfo2();

	return (struct usage_heap){ (int64_t)(heap.uordblks + heap.hblkhd), (int64_t)heap.fordblks,
				    (int64_t)heap.hblkhd };
}
#endif

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

/* Since Linux 6.2 stat() of the folder tells the number; opening the folder would need a
 * descriptor. */
int64_t
usage_descriptors(void)
{
	struct stat st;
	int64_t n = -1; /* -1: the one that opening the folder takes */
	DIR *dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return st.st_size;
	dir = opendir("/proc/self/fd");
	if (dir == NULL)
		return -1;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
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
