/* SPDX-License-Identifier: PostgreSQL
 *
 * Which standby a caller would read at. Pure.
 */
#ifndef PROXY_READS_NEAR_H
#define PROXY_READS_NEAR_H

struct node;
struct route;
struct topology;

/* Of a route for any access, the first standby of home's cluster and timeline, so that positions in
 * the WAL compare, that comes before home's region; NULL: there is none. */
const struct node *near_find(const struct topology *t, const struct route *route,
			     const struct node *home);

#endif
