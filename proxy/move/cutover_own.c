/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/clock.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/move/cutover.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"

/* How long carrying over may take: clients are waiting in a freeze. */
#define CARRY_US (5 * USEC_PER_SEC)

bool
cutover_has_own_server(const struct session *s)
{
	const char *why;

	return s->state == SESSION_RELAY && s->server != NULL && !straggle_must_reconnect(s) &&
	       pooled_mode(s) != POOL_TRANSACTION && rehome_can(s, &why);
}

void
cutover_rehome(struct session *s, const struct cutover *c, enum rehome_stage goal,
	       const struct authority *as_if, rehome_done_fn *done, void *arg)
{
	const struct world *w = worker_world(s->worker);
	struct route *route = &s->worker->route;
	struct slice dbname = locate_configured_dbname(w, session_name(s, NAME_DATABASE));
	char name[sizeof(c->newdb)];
	struct rehome_want want = { .dbname = c->newdb, .frozen = true, .done = done, .arg = arg };
	struct err e;

	if (c->newdb[0] == '\0' && text_copy(name, sizeof(name), dbname))
		want.dbname = name;
	if (goal > REHOME_PREPARED)
		want.deadline_us = clock_us() + CARRY_US;
	locate_route_again(s, -1, as_if, route);
	if (route->nnodes == 0) {
		err_set(&e, SQLSTATE_CONNECTION_FAILURE, "no node there can take the session");
		rehome_drop(s);
		done(arg, s, &e);
		return;
	}
	want.live = w->topology->nodes[route->nodes[0]].live;
	rehome_to(s, goal, &want);
}
