/* SPDX-License-Identifier: PostgreSQL
 *
 * Servers that replicate from each other through us (connection = through_meridian of a move). The
 * server that subscribes logs in as any client does, with replication=database, and says in the
 * name of the database which place it wants: "meridian:<region or node> <database>". It says so
 * there because libpqwalreceiver (PostgreSQL 15 and later) writes `options` anew, and the database
 * is the only other word of a startup packet that is the conninfo's.
 *
 * Such a session goes to that place whoever serves the database, to the name it has there, and is
 * no client of it: no freeze holds it, no switch moves it, and it says nothing of where callers of
 * its address belong. Only who is named by migration_conninfo, migration_peer_conninfo or
 * migration_through_conninfo may ask for it, and only where some region has the last one. Who it
 * is, is found out as with everybody.
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
/* False: a database's own name. */
bool subscriber_cut_name(struct slice name, struct slice *place, struct slice *database);

/* The startup packet has been read. Where it is such a login, it is noted in login->through, and
 * the packet has the database's own name from now on. False: the session is over. */
bool subscriber_begin(struct session *s);
/* Where such a login goes: the nodes of its place that are primaries, or may be. */
void subscriber_route(const struct login *l, struct route *out);

#endif
