/* SPDX-License-Identifier: PostgreSQL
 *
 * Hysteresis: which region callers of one place had last. A bounded table (open addressing, oldest
 * entry gives way), one per worker. The key is the caller's place: city and country, else a cell of
 * coordinates (0.5°), else the /24 or /48 of the address.
 */
#ifndef ROUTING_STICKY_H
#define ROUTING_STICKY_H

#include <stdint.h>

#include "base/addr.h"
#include "routing/locality.h"

struct sticky;

#define STICKY_TTL_US (INT64_C(600) * 1000000)

struct sticky *sticky_new(unsigned slots); /* a power of two */
void sticky_free(struct sticky *s);
uint64_t sticky_key(const struct locality *l, const struct addr *caller);
/* Region of the key if one was put within STICKY_TTL_US, else -1. */
int sticky_get(const struct sticky *s, uint64_t key, int64_t now_us);
void sticky_put(struct sticky *s, uint64_t key, uint16_t region, int64_t now_us);
/* Forget everything (the regions were renumbered by a reload). */
void sticky_clear(struct sticky *s);

#endif
