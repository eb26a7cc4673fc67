/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/subscriber.h"

#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/sqlstate.h"
#include "proxy/config/conninfo.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define PREFIX "meridian:"

void
subscriber_put_name(struct buf *out, const char *place, const char *database)
{
	buf_printf(out, PREFIX "%s %s", place, database);
}

bool
subscriber_cut_name(struct slice name, struct slice *place, struct slice *database)
{
	if (!slice_starts(name, PREFIX))
		return false;
	*database = slice_skip(name, strlen(PREFIX));
	*place = slice_cut(database, ' ');
	return place->n > 0 && database->n > 0;
}

static bool
is_on(const struct config *c)
{
	for (size_t i = 0; i < c->nregions; i++) {
		if (c->regions[i].migration_through_conninfo != NULL)
			return true;
	}
	return false;
}

static bool
may_pass(const struct config *c, struct slice user)
{
	bool may = conninfo_is_of(c->main.migration_conninfo, user);

	for (size_t i = 0; !may && i < c->nregions; i++)
		may = conninfo_is_of(c->regions[i].migration_peer_conninfo, user) ||
		      conninfo_is_of(c->regions[i].migration_through_conninfo, user);
	return may;
}

/* Finds a region or a node; *node is -1 for any node of the region. */
static bool
find_place(const struct topology *t, struct slice place, struct authority *out)
{
	const struct node *n = topology_node_by_name(t, place);

	*out = (struct authority){ .node = n != NULL ? (int)(n - t->nodes) : -1 };
	out->region = n != NULL ? n->region : topology_region_by_name(t, place);
	return out->region >= 0;
}

static int
check(const struct session *s, struct slice user, struct slice place, struct err *e)
{
	const struct world *w = s->login->world;
	struct authority a;

	if (!may_pass(w->config, user)) {
		err_set(e, SQLSTATE_INSUFFICIENT_PRIVILEGE,
			"user \"%.*s\" may not replicate through this proxy",
			(int)(user.n < 64 ? user.n : 64), user.p);
		return err_hint(e, "migration_conninfo and its kin name those who may.");
	}
	if (!find_place(w->topology, place, &a))
		return err_set(e, SQLSTATE_UNDEFINED_OBJECT, "no region and no node is \"%.*s\"",
			       (int)(place.n < 64 ? place.n : 64), place.p);
	return 0;
}

/* Change the startup packet to one that asks for the database alone. False: there is no room for
 * that. */
static bool
rename_database(struct login *l, const struct startup *st, struct slice database)
{
	struct buf packet = { .cap = STARTUP_BYTES_MAX };
	struct startup_edit edit = { .database = database };

	startup_build(&packet, st, &edit);
	if (packet.failed) {
		buf_fini(&packet);
		return false;
	}
	buf_fini(&l->packet);
	l->packet = packet;
	(void)worker_startup(l->session->worker);
	return true;
}

HOT bool
subscriber_begin(struct session *s)
{
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct slice place, database;
	struct err e;

	if (st->replication != REPLICATION_LOGICAL || !is_on(l->world->config) ||
	    !subscriber_cut_name(st->database, &place, &database))
		return true;
	if (check(s, st->user, place, &e) != 0) {
		session_close_err(s, WHY_NOT_ALLOWED, &e);
		return false;
	}
	l->through = xstrndup(place.p, place.n);
	if (!rename_database(l, st, database)) {
		session_close(s, WHY_PROTOCOL, "The startup packet is too long.");
		return false;
	}
	return true;
}

/* Add the nodes whose role is known to fit (`known`), or those whose role is not known. */
static void
add_nodes(const struct topology *t, const struct authority *a, bool known, struct route *out)
{
	for (uint16_t i = 0; i < t->nnodes && out->nnodes < ROUTE_NODES_MAX; i++) {
		const struct node *n = &t->nodes[i];

		if (authority_has(a, t, n) && (n->role == ROLE_PRIMARY) == known &&
		    route_role_fits(n, ACCESS_PRIMARY))
			out->nodes[out->nnodes++] = i;
	}
}

void
subscriber_route(const struct login *l, struct route *out)
{
	const struct topology *t = l->world->topology;
	struct authority a;

	*out = (struct route){ .home = { .nearest = -1, .kept = -1 } };
	if (!find_place(t, slice_str(l->through), &a))
		return;
	out->home.nearest = a.region;
	add_nodes(t, &a, true, out);
	add_nodes(t, &a, false, out);
}
