/* SPDX-License-Identifier: PostgreSQL
 *
 * What the process uses, as the kernel and the allocator count it.
 */
#ifndef PROXY_PROCESS_USAGE_H
#define PROXY_PROCESS_USAGE_H

#include <stdint.h>

/* Resident set; -1 where /proc does not say. */
int64_t usage_resident_bytes(void);
/* Descriptors that are open; -1 where /proc does not say. */
int64_t usage_descriptors(void);
/* Processor time, user and system. */
int64_t usage_cpu_us(void);

/* Bytes. */
struct usage_heap {
	int64_t used;   /* allocated and not given back */
	int64_t free;   /* given back, and kept by the allocator; -1: it does not say */
	int64_t mapped; /* of `used`: in mappings of its own; -1: it does not say */
};

/* By the allocator's own count: mallinfo(3), or the sanitizer's where that is the allocator. */
struct usage_heap usage_heap(void);

#endif
