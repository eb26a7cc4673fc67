/* SPDX-License-Identifier: PostgreSQL
 *
 * Which standby a caller would read at. Pure.
 */
#ifndef PROXY_READS_NEAR_H
#define PROXY_READS_NEAR_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct route;
struct topology;

/* Another node of its cluster is the primary now, on a later timeline. */
bool near_is_superseded(const struct topology *t, const struct node *home);
/* It is not further behind than that, for all that is known; bound_us 0: however far it is. */
bool near_is_within(const struct node *n, int64_t bound_us, int64_t now_us);
/* Of a route for any access, the first standby of home's cluster and timeline, so that positions in
 * the WAL compare, that is within the bound and comes before home's region; NULL: there is none. */
const struct node *near_find(const struct topology *t, const struct route *route,
			     const struct node *home, int64_t bound_us, int64_t now_us);

#endif
