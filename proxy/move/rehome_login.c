/* SPDX-License-Identifier: PostgreSQL
 *
 * The connection to the new node: from its pool where the session has one, and with pool = off
 * opened for this session alone, with the startup packet that the session began with. Also what
 * that connection says until the session has it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/move/rehome_int.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"
#include "proxy/session/signon.h"
#include "proxy/sqlstate/traces.h"
#include "proxy/sqlstate/vars.h"
#include "routing/topology.h"

#define ABOUT_MAX 64

/* ---- its own ---- */

static void
on_signed_on(void *arg, struct server *sv, enum signon_end how, const struct err *e)
{
	struct rehome *r = arg;

	if (how == SIGNON_READY)
		rehome_logged_in(r, sv);
	else
		rehome_fail(r, e);
}

static size_t
put_places(const struct rehome *r, struct startup_param *set)
{
	const struct session *s = r->session;
	const struct topology *t = s->worker->world->topology;
	const struct node *n = topology_node_by_live(t, r->live);
	struct slice city = session_name(s, NAME_CITY);
	size_t count = 0;

	if (n == NULL || !t->regions[n->region].export_locality)
		return 0;
	set[count++] =
	    (struct startup_param){ slice_str("meridian.region"), slice_str(r->live->region) };
	if (city.n > 0)
		set[count++] = (struct startup_param){ slice_str("meridian.city"), city };
	if (s->country[0] != '\0')
		set[count++] =
		    (struct startup_param){ slice_str("meridian.country"), slice_str(s->country) };
	return count;
}

static void
put_startup(const struct rehome *r, struct slice dbname, struct buf *b)
{
	struct session *s = r->session;
	struct startup *st = worker_startup(s->worker);
	struct startup_param set[3];
	struct startup_edit edit = { .database = dbname, .set = set, .plain = true };

	/* it was parsed when the client sent it */
	if (startup_parse(traces_packet(s->traces), st, NULL) != PARSE_DONE)
		return;
	edit.set_n = put_places(r, set);
	startup_build(b, st, &edit);
	if (b->failed) {
		/* the client's own parameters fill the packet: they go without ours */
		buf_clear(b);
		edit.set_n = 0;
		startup_build(b, st, &edit);
	}
}

static void
dial(struct rehome *r, struct slice dbname)
{
	struct session *s = r->session;
	struct buf startup = { .cap = 2 * STARTUP_BYTES_MAX };
	struct signon_order order = { .credential = s->credential,
				      .access = (enum access)s->access,
				      .done = on_signed_on,
				      .arg = r };
	char about[ABOUT_MAX];

	snprintf(about, sizeof(about), "another server for session %" PRIu64, s->id);
	r->server = server_new(s->worker, NULL, r->live);
	rehome_reserve(r, r->server, true);
	put_startup(r, dbname, &startup);
	order.server = r->server;
	order.user = s->names; /* the user is the first of the names */
	order.startup = startup.failed ? slice_of(NULL, 0) : buf_view(&startup);
	order.about = about;
	signon_begin(&order);
	buf_fini(&startup);
}

/* ---- both ---- */

struct node_live *
rehome_choose(struct session *s, const char *region, struct err *e)
{
	const struct topology *t = worker_world(s->worker)->topology;
	struct route *route = &s->worker->route;

	if (region != NULL && pooled_mode(s) == POOL_TRANSACTION) {
		err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
			"a session of a transaction pool goes where its route leads");
		return NULL;
	}
	locate_route_again(s, -1, NULL, route);
	for (unsigned i = 0; i < route->nnodes; i++) {
		const struct node *n = &t->nodes[route->nodes[i]];

		/* a live session is not sent to a node that does not answer */
		if (!node_usable(t, n, clock_us()))
			continue;
		if (region == NULL || strcmp(t->regions[n->region].name, region) == 0)
			return n->live;
	}
	err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "no node%s%s can take session %" PRIu64 " now",
		region != NULL ? " of region " : "", region != NULL ? region : "", s->id);
	err_hint(e, "EXPLAIN ROUTE SESSION %" PRIu64 " says why.", s->id);
	return NULL;
}

void
rehome_login(struct rehome *r)
{
	struct session *s = r->session;
	struct pooled *place;
	struct server *sv;
	struct slice name = r->dbname != NULL ? slice_str(r->dbname)
					      : locate_dbname(worker_world(s->worker),
							      session_name(s, NAME_DATABASE));

	if (!session_is_pooled(s)) {
		dial(r, name);
		return;
	}
	place = xcalloc(1, sizeof(*place));
	place->session = s;
	place->rehome = r;
	place->mode = s->pooled->mode;
	place->vars = s->pooled->vars;
	place->waiting_since_us = clock_us();
	r->place = place;
	r->pool = pooled_pool_at(s, r->live, name);
	pool_join(r->pool);
	pool_set_credential(r->pool, s->credential);
	sv = pool_lend(r->pool, place);
	if (sv != NULL)
		rehome_logged_in(r, sv);
}

void
rehome_reserve(struct rehome *r, struct server *sv, bool reserved)
{
	sv->session = reserved ? r->session : NULL;
	sv->is_next = reserved;
}

void
rehome_let_go(struct rehome *r)
{
	struct server *sv = r->server;

	r->server = NULL;
	if (sv != NULL) {
		rehome_reserve(r, sv, false);
		server_free(sv);
	}
	if (r->place != NULL && r->place->state == POOLED_WAITING)
		pool_forget(r->pool, r->place);
	if (r->pool != NULL)
		pool_leave(r->pool);
	if (r->place != NULL)
		loop_defer(r->session->worker->loop, free, r->place);
	r->place = NULL;
	r->pool = NULL;
	buf_fini(&r->inbox);
	buf_fini(&r->later);
	vars_unref(r->settings);
	vars_unref(r->told);
	r->settings = r->told = NULL;
}

/* ---- the new server, before the session has it ---- */

void
rehome_server_lost(struct rehome *r, const char *reason)
{
	struct session *s = r->session;
	bool awaited = r->done != NULL;
	struct err e;

	err_set(&e, SQLSTATE_CONNECTION_FAILURE, "%s", reason);
	if (awaited) {
		rehome_fail(r, &e);
		return;
	}
	log_about(LOG_LEVEL_INFO, session_subject(s), "the server to move to is gone: %s", reason);
	rehome_drop(s);
}

void
rehome_on_server_freed(struct rehome *r)
{
	rehome_reserve(r, r->server, false);
	r->server = NULL;
	rehome_server_lost(r, "the connection was closed");
}

/* False: the connection is at its end. */
static bool
take(struct rehome *r, const struct frame *f, struct slice raw)
{
	switch (f->type) {
	case MSG_PARAMETER_STATUS:
		vars_report(&r->server->reported, f->body);
		return true;
	case MSG_NOTIFICATION:
		buf_slice(&r->later, raw);
		return !r->later.failed;
	case MSG_NOTICE:
		return true;
	default:
		return false;
	}
}

bool
rehome_consume(struct rehome *r, const char *p, size_t n)
{
	struct frame f;
	enum parse result;
	size_t seen = 0;

	buf_put(&r->inbox, p, n);
	while ((result = frame_cut(slice_skip(buf_view(&r->inbox), seen), REHOME_INBOX_MAX, &f)) ==
	       PARSE_DONE) {
		if (!take(r, &f, slice_of(r->inbox.p + seen, f.total)))
			return false;
		seen += f.total;
	}
	if (seen > 0)
		buf_drop(&r->inbox, seen);
	return result == PARSE_MORE && !r->inbox.failed;
}

void
rehome_on_server(struct rehome *r, short what)
{
	struct server *sv = r->server;
	char *scratch = sv->worker->scratch;
	ssize_t n;

	if ((what & EV_WRITE) && stream_flush(&sv->stream) != 0) {
		rehome_server_lost(r, "connection lost");
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(&sv->stream, scratch, WORKER_SCRATCH);
	if (n == STREAM_AGAIN || (n > 0 && rehome_consume(r, scratch, (size_t)n)))
		return;
	rehome_server_lost(r, "server closed the connection unexpectedly");
}
