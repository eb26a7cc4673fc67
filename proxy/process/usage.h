/* SPDX-License-Identifier: PostgreSQL
 *
 * What the process uses, as the kernel and the allocator count it.
 */
#ifndef PROXY_PROCESS_USAGE_H
#define PROXY_PROCESS_USAGE_H

#include <stdint.h>

/* Resident set; -1: /proc does not tell. */
int64_t usage_resident_bytes(void);
/* Open descriptors; -1: /proc does not tell. */
int64_t usage_descriptors(void);
/* Processor time, user and system. */
int64_t usage_cpu_us(void);

/* In bytes. */
struct usage_heap {
	int64_t used;   /* allocated and not given back */
	int64_t free;   /* given back and kept by the allocator; -1: not known */
	int64_t mapped; /* of `used`: in mappings of its own; -1: not known */
};

/* By the allocator's own statistics: mallinfo(3), or the sanitizer's allocator if that is used. */
struct usage_heap usage_heap(void);

#endif
