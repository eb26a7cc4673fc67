/* SPDX-License-Identifier: PostgreSQL
 *
 * Counts, for each /24 or /64, the cancel requests for sessions that do not exist; the count
 * decays. A cancel request whose key may be another proxy's costs a connection to that proxy, and
 * any client can make keys up: an address that has missed STRIKES_MAX times in a row is refused for
 * a while.
 *
 * A fixed table, one for each worker. Where addresses collide in it, the one with the fewest
 * strikes is dropped.
 */
#ifndef PROXY_CANCEL_STRIKES_H
#define PROXY_CANCEL_STRIKES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

#define STRIKES_MAX    50
#define STRIKES_FORGET INT64_C(200000) /* microseconds after which one strike is forgotten */

struct strikes;

/* `seed` is random, so that a client cannot choose an address to collide with. */
struct strikes *strikes_new(uint64_t seed);
void strikes_free(struct strikes *st);
bool strikes_out(const struct strikes *st, const struct addr *who, int64_t now_us);
void strikes_add(struct strikes *st, const struct addr *who, int64_t now_us);

#endif
