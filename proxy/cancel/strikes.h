/* SPDX-License-Identifier: PostgreSQL
 *
 * Who asks for sessions that there are not: a count per /24 or /64 that decays. A cancel request
 * whose key may be another proxy's costs a connection to that proxy, and anybody can make keys up;
 * whoever has missed STRIKES_MAX times in a row is not helped for a while. A fixed table, one per
 * worker; addresses that collide in it push out whoever has the fewest.
 */
#ifndef PROXY_CANCEL_STRIKES_H
#define PROXY_CANCEL_STRIKES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

#define STRIKES_MAX    50
#define STRIKES_FORGET INT64_C(200000) /* microseconds: one is forgotten each */

struct strikes;

/* `seed`: random, so that nobody can choose whom he collides with. */
struct strikes *strikes_new(uint64_t seed);
void strikes_free(struct strikes *st);
bool strikes_out(const struct strikes *st, const struct addr *who, int64_t now_us);
void strikes_add(struct strikes *st, const struct addr *who, int64_t now_us);

#endif
