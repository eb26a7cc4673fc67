/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/usage.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#include "tests/unit/unit.h"

#define MB ((size_t)1 << 20)

/* What touching 64 MB may touch beside them: shadows of them. */
#ifdef SANITIZED
#define BESIDE (1024 * MB)
#else
#define BESIDE (40 * MB)
#endif

/* ---- a kernel that says how many descriptors there are only to who counts them ---- */

static bool old_kernel;

int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);

int
__wrap_stat(const char *path, struct stat *st)
{
	int r = __real_stat(path, st);

	if (old_kernel)
		st->st_size = 0;
	return r;
}

static void
descriptors_are_counted(void **state)
{
	int64_t before, known = usage_descriptors();
	int fd[10];

	(void)state;
	for (int i = 0; i < 2; i++) {
		old_kernel = i > 0;
		before = usage_descriptors();
		assert_in_range(before, 3, 100);
		assert_int_equal(before, known);
		for (size_t k = 0; k < 10; k++)
			fd[k] = open("/dev/null", O_RDONLY);
		assert_int_equal(usage_descriptors(), before + 10);
		for (size_t k = 0; k < 10; k++)
			close(fd[k]);
		assert_int_equal(usage_descriptors(), before);
	}
	old_kernel = false;
}

/* A process that has used up its descriptors is told what can be told without one. */
static void
without_a_descriptor_some_is_not_known(void **state)
{
	struct rlimit was, none;
	int64_t known = usage_descriptors(), resident;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ 0, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	resident = usage_resident_bytes();
	old_kernel = true;
	assert_int_equal(usage_descriptors(), -1);
	old_kernel = false;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(resident, -1);
	assert_int_equal(usage_descriptors(), known);
}

static void
memory_is_what_was_touched(void **state)
{
	int64_t resident = usage_resident_bytes();
	struct usage_heap heap = usage_heap();
	char *p = xmalloc(64 * MB);

	(void)state;
	assert_in_range(resident, 100000, 1 << 30);
	memset(p, 1, 64 * MB);
	assert_non_null(memchr(p + 63 * MB, 1, MB));
	assert_in_range(usage_resident_bytes(), resident + 60 * MB, resident + 60 * MB + BESIDE);
	if (heap.used >= 0) {
		struct usage_heap now = usage_heap();

		assert_in_range(now.used, heap.used + 64 * MB, heap.used + 65 * MB);
		if (heap.mapped >= 0)
			assert_in_range(now.mapped, heap.mapped + 64 * MB, heap.mapped + 65 * MB);
	}
	free(p);
	if (heap.used >= 0)
		assert_in_range(usage_heap().used, heap.used, heap.used + MB);
}

static void
processor_time_goes_on_with_work(void **state)
{
	int64_t before = usage_cpu_us(), began;
	struct timespec t;

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	began = t.tv_sec * 1000000 + t.tv_nsec / 1000;
	do
		assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	while (t.tv_sec * 1000000 + t.tv_nsec / 1000 < began + 50000);
	assert_in_range(usage_cpu_us(), before + 40000, before + 10000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_counted),
		cmocka_unit_test(without_a_descriptor_some_is_not_known),
		cmocka_unit_test(memory_is_what_was_touched),
		cmocka_unit_test(processor_time_goes_on_with_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
