/* SPDX-License-Identifier: PostgreSQL
 *
 * mallocs - counts allocations by thread, for tests: a library to be preloaded.
 *
 *   MALLOCS=FILE LD_PRELOAD=tests/tools/mallocs.so PROGRAM
 *
 * FILE must exist and hold SLOTS × 16 zero bytes. Each thread takes one slot at its first
 * allocation: its thread id (4 bytes), 4 unused, how often it has called malloc, calloc, realloc or
 * an aligned allocation (8 bytes). The file can be read at any moment. Relies on glibc's names of
 * its own allocator.
 */
#include "config.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 64

struct slot {
	int32_t thread;
	uint32_t unused;
	uint64_t count;
};

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n);

static struct slot *slots;
static atomic_uint taken;
static __thread __attribute__((tls_model("initial-exec"))) struct slot *mine;

static __attribute__((constructor)) void
map_slots(void)
{
	const char *name = getenv("MALLOCS");
	int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		slots = p;
}

static void
count(void)
{
	if (slots == NULL)
		return;
	if (mine == NULL) {
		unsigned i = atomic_fetch_add(&taken, 1);

		mine = &slots[i < SLOTS ? i : SLOTS - 1];
		mine->thread = (int32_t)syscall(SYS_gettid);
	}
	mine->count++;
}

void *
malloc(size_t n)
{
	count();
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	count();
	return __libc_realloc(p, n);
}

void *
memalign(size_t align, size_t n)
{
	count();
	return __libc_memalign(align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	count();
	return __libc_memalign(align, n);
}

int
posix_memalign(void **p, size_t align, size_t n)
{
	count();
	*p = __libc_memalign(align, n);
	return *p != NULL ? 0 : 12; /* ENOMEM */
}
