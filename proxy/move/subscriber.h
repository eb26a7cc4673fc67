/* SPDX-License-Identifier: PostgreSQL
 *
 * Servers that replicate from each other through Meridian (connection = through_meridian of a
 * move).
 *
 * The server that subscribes logs in as any client does, with replication=database, and writes into
 * the name of the database which place it wants: "meridian:<region or node> <database>". It has to
 * stand there because libpqwalreceiver (PostgreSQL 15 and later) overwrites `options`, and the
 * database is the only other word of a startup packet that comes from the conninfo.
 *
 * Such a session goes to that place, to the database's name there, whichever region serves the
 * database. It is no client of the database: no freeze holds it, no switch moves it, and it does
 * not count for where clients of its address belong.
 *
 * Only the roles that migration_conninfo, migration_peer_conninfo or migration_through_conninfo
 * name may ask for it, and only where a region has the last of these. The role is authenticated
 * like any other.
 */
#ifndef PROXY_MOVE_SUBSCRIBER_H
#define PROXY_MOVE_SUBSCRIBER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

struct login;
struct route;
struct session;

/* Append the name that means that database there. */
void subscriber_put_name(struct buf *out, const char *place, const char *database);
/* False: it is the name of a database. */
bool subscriber_cut_name(struct slice name, struct slice *place, struct slice *database);

/* The startup packet has been read. If it is such a login, login->through is set, and from now on
 * the packet has the database's own name. False: the session is over. */
bool subscriber_begin(struct session *s);
/* The route of such a login: the nodes of its place that are primaries, or may be. */
void subscriber_route(const struct login *l, struct route *out);

#endif
