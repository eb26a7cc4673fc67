/* SPDX-License-Identifier: PostgreSQL
 *
 * What the process uses, as the kernel counts it.
 */
#ifndef PROXY_USAGE_H
#define PROXY_USAGE_H

#include <stdint.h>

/* Resident set; -1 where /proc does not say. */
int64_t usage_resident_bytes(void);
/* Descriptors that are open; -1 where /proc does not say. */
int64_t usage_descriptors(void);
/* Processor time, user and system. */
int64_t usage_cpu_us(void);

#endif
