/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/cutover.h"

#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"
#include "proxy/session/why.h"

/* How many logins one worker may have under way at a time. */
#define WARMING_MAX 32

void
cutover_init(struct cutover *c, const struct gate_move *m)
{
	*c = (struct cutover){ .from.migration = m->migration };
	(void)text_copy(c->from.database, sizeof(c->from.database), slice_str(m->database));
	(void)text_copy(c->from.region, sizeof(c->from.region), slice_str(m->from));
	(void)text_copy(c->to, sizeof(c->to), slice_str(m->to != NULL ? m->to : ""));
	(void)text_copy(c->newdb, sizeof(c->newdb), slice_str(m->newdb != NULL ? m->newdb : ""));
}

struct session *
cutover_session_at(const struct worker *w, const struct cutover *c, uint32_t slot)
{
	struct session *s = w->slots[slot];

	if (s == NULL || (s->state != SESSION_RELAY && s->state != SESSION_SQL) ||
	    !pause_concerns(w, &c->from, s))
		return NULL;
	return s;
}

void
cutover_count(const struct worker *w, const struct cutover *c, struct gate_counts *out)
{
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = cutover_session_at(w, c, i);

		out->sessions += s != NULL;
		out->open += s != NULL && pause_is_open(s);
	}
}

/* ---- listing ---- */

const char *
cutover_why_not(const struct session *s)
{
	const char *why = "";

	if (s->state != SESSION_SQL)
		(void)rehome_can(s, &why);
	return why;
}

void
cutover_list(const struct worker *w, const struct cutover *c,
	     void (*each)(void *to, const struct gate_session *s), void *to)
{
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = cutover_session_at(w, c, i);
		struct gate_session v;
		struct session_facts f;
		char addr[ADDR_TEXT_MAX];

		if (s == NULL)
			continue;
		session_facts(s, false, &f);
		v = (struct gate_session){
			.id = s->id,
			.user = f.user.p,
			.application_name = f.application_name.p,
			.client_addr = addr_print_ip(&f.true_addr, addr),
			.state = f.state,
			.pool = pool_mode_words[pooled_mode(s)],
			.why = cutover_why_not(s),
		};
		v.movable = v.why[0] == '\0';
		each(to, &v);
	}
}

void
cutover_count_unmoved(const struct worker *w, struct gate_counts *out)
{
	out->closed += w->unmoved;
}

/* ---- prewarm ---- */

static bool
is_of(const struct worker *w, const struct cutover *c, const struct pool *p)
{
	return slice_is(locate_configured_dbname(w->world, slice_str(p->database)),
			c->from.database);
}

/* The pool to which the sessions of `p` will go; NULL: there is none. */
static struct pool *
pool_there(struct worker *w, const struct cutover *c, const struct topology *t,
	   const struct pool *p)
{
	const struct world *world = worker_world(w);
	const struct locality nowhere = { .region = -1 };
	struct route_wish wish = {
		.database = slice_str(p->database),
		.access = p->access,
		.locality = &nowhere,
		.sticky_region = -1,
		.as_if = topology_authority(t, slice_str(c->from.database)),
	};
	struct pool_key key = {
		.database = wish.database,
		.dbname = c->newdb[0] != '\0'
			      ? slice_str(c->newdb)
			      : locate_configured_dbname(world, slice_str(p->database)),
		.user = slice_str(p->user),
		.options = slice_str(p->options),
		.access = p->access,
	};

	locate_route(world, &wish, &w->route);
	if (w->route.nnodes == 0)
		return NULL;
	key.live = world->topology->nodes[w->route.nodes[0]].live;
	return pool_get(w, &key);
}

struct topology *
cutover_decided(struct worker *w, const struct cutover *c)
{
	struct topology *t = topology_dup(worker_world(w)->topology);

	topology_clear_authorities(t);
	topology_add_authority(t, c->from.database, c->to, c->newdb, 0);
	return t;
}

/* Connections for sessions with a server of their own, some at a time, since a node forks a process
 * for each. */
struct warming {
	struct cutover cutover;
	struct topology *topology; /* with the decision to come; one reference */
	struct worker *worker;
	uint32_t next; /* slot */
	unsigned going;
	bool filling;
};

static void warm_more(struct warming *wm);

static bool
is_dropped(const struct err *e)
{
	return e != NULL && strcmp(e->sqlstate, SQLSTATE_QUERY_CANCELED) == 0;
}

/* Success or failure is looked at when the session is moved. */
static void
on_warm(void *arg, struct session *s, const struct err *e)
{
	struct warming *wm = arg;

	(void)s;
	if (is_dropped(e))
		wm->next = UINT32_MAX; /* the move was given up */
	wm->going--;
	if (!wm->filling)
		warm_more(wm);
}

static void
warm_more(struct warming *wm)
{
	struct worker *w = wm->worker;
	const struct authority *as_if =
	    topology_authority(wm->topology, slice_str(wm->cutover.from.database));

	wm->filling = true;
	while (wm->next < w->nslots && wm->going < WARMING_MAX && !w->draining) {
		struct session *s = cutover_session_at(w, &wm->cutover, wm->next++);

		if (s == NULL || !cutover_has_own_server(s))
			continue;
		wm->going++;
		cutover_rehome(s, &wm->cutover, REHOME_PREPARED, as_if, on_warm, wm);
	}
	wm->filling = false;
	if (wm->going > 0)
		return;
	topology_unref(wm->topology);
	free(wm);
}

/* A session for which this failed would be closed at the switch. */
static void
on_step(void *arg, struct session *s, const struct err *e)
{
	struct worker *w = arg;

	(void)s;
	w->unmoved += e != NULL && !is_dropped(e);
}

void
cutover_carry(struct worker *w, const struct cutover *c)
{
	struct topology *t = cutover_decided(w, c);
	const struct authority *as_if = topology_authority(t, slice_str(c->from.database));

	w->unmoved = 0;
	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && cutover_has_own_server(s))
			cutover_rehome(s, c, REHOME_READY, as_if, on_step, w);
	}
	topology_unref(t);
}

void
cutover_forget(struct worker *w, const struct cutover *c)
{
	struct pool *p;

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (is_of(w, c, p))
			p->promised_us = 0;
	}
	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL)
			rehome_drop(s);
	}
}

void
cutover_warm(struct worker *w, const struct cutover *c)
{
	struct topology *t = cutover_decided(w, c);
	struct pool *p, *there;
	struct warming *wm = xcalloc(1, sizeof(*wm));

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (!is_of(w, c, p) || pool_size(p) == 0 || !pause_is_at(w, &c->from, p->live))
			continue;
		there = pool_there(w, c, t, p);
		if (there == NULL || there == p)
			continue;
		pool_set_credential(there, p->credential);
		pool_warm(there, pool_size(p));
	}
	wm->cutover = *c;
	wm->topology = topology_ref(t);
	wm->worker = w;
	warm_more(wm);
	topology_unref(t);
}

bool
cutover_is_carrying(const struct worker *w, const struct cutover *c)
{
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && rehome_in_progress(s) && !pause_is_in_transaction(s))
			return true;
	}
	return false;
}

bool
cutover_is_warming(const struct worker *w, const struct cutover *c)
{
	const struct pool *p;

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (p->n[SERVER_LAUNCHING] > 0 && is_of(w, c, p) &&
		    !pause_is_at(w, &c->from, p->live))
			return true;
	}
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && rehome_in_progress(s))
			return true;
	}
	return false;
}

/* ---- stragglers ---- */

unsigned
cutover_seize(struct worker *w, const struct cutover *c, void (*ready)(void *arg), void *arg)
{
	unsigned later = 0;

	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && s->state == SESSION_RELAY && pause_is_open(s) &&
		    pause_is_frozen(s))
			later += !straggle_begin(s, ready, arg);
	}
	return later;
}

/* A request of POST /sql cannot be answered in its server's place: it fails when its server
 * goes. */
static bool
describe_straggler(const struct session *s, struct gate_straggler *out)
{
	if (s->state != SESSION_SQL)
		return straggle_describe(s, out);
	*out = (struct gate_straggler){ .session = s->id,
					.pid = s->server != NULL ? s->server->pid : 0,
					.in_flight = true,
					.in_commit = true,
					.outcome = GATE_UNKNOWN };
	return s->server != NULL;
}

size_t
cutover_list_stragglers(const struct worker *w, const struct cutover *c, struct gate_straggler *v,
			size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < w->nslots && n < max; i++) {
		const struct session *s = cutover_session_at(w, c, i);

		n += s != NULL && describe_straggler(s, &v[n]);
	}
	return n;
}

unsigned
cutover_settle(struct worker *w, const struct gate_straggler *v, size_t n, void (*ready)(void *arg),
	       void *arg)
{
	unsigned later = 0;

	for (size_t i = 0; i < n; i++) {
		struct session *s = session_by_id(w, v[i].session);

		if (s != NULL && s->state == SESSION_RELAY)
			later += !straggle_settle(s, (int)v[i].outcome, ready, arg);
	}
	return later;
}

/* ---- switch ---- */

/* The sessions of one worker that are being moved. */
struct switching {
	struct cutover cutover;
	unsigned left;
	struct gate_counts *out, own; /* own: the caller wants no counts */
	void (*over)(void *arg);
	void *arg;
};

static void
tell_to_reconnect(struct session *s, const struct cutover *c, const char *why)
{
	struct err e = { 0 };

	err_set(&e, why_get(WHY_MOVED)->sqlstate, "this database has moved to \"%.128s\"", c->to);
	err_detail(&e, "The session could not be taken along: %s.", why);
	err_hint(&e, "Reconnect, and try again.");
	session_close_err(s, WHY_MOVED, &e);
}

HOT bool
cutover_refuse_late_login(struct session *s)
{
	const struct world *w = worker_world(s->worker);
	const struct authority *a = locate_authority(w, session_name(s, NAME_DATABASE));
	const struct node *n;
	struct cutover c = { .to = "" };

	if (a == NULL || s->exchange.replication != REPLICATION_NONE)
		return false;
	n = topology_node_by_live(w->topology, s->server->live);
	if (n == NULL || authority_has(a, w->topology, n))
		return false;
	(void)text_copy(c.to, sizeof(c.to), slice_str(a->place));
	tell_to_reconnect(s, &c, "its login had begun before");
	return true;
}

/* The last session that finishes reports the end. */
static void
finish_one(struct switching *sw)
{
	if (--sw->left > 0)
		return;
	if (sw->over != NULL)
		sw->over(sw->arg);
	free(sw);
}

static void
on_switched(void *arg, struct session *s, const struct err *e)
{
	struct switching *sw = arg;

	if (e == NULL) {
		sw->out->kept++;
	} else {
		sw->out->closed++;
		if (!is_dropped(e))
			tell_to_reconnect(s, &sw->cutover, e->msg);
	}
	finish_one(sw);
}

static void
switch_one(struct session *s, struct switching *sw)
{
	if (cutover_has_own_server(s)) {
		sw->left++;
		cutover_rehome(s, &sw->cutover, REHOME_SWAPPED, NULL, on_switched, sw);
	} else if (pooled_can_leave(s)) {
		sw->out->kept++;
		pooled_leave_node(s);
	} else {
		sw->out->closed++;
		if (!straggle_reconnects_later(s))
			tell_to_reconnect(s, &sw->cutover, cutover_why_not(s));
	}
}

bool
cutover_switch(struct worker *w, const struct cutover *c, struct gate_counts *out,
	       void (*over)(void *arg), void *arg)
{
	struct switching *sw = xcalloc(1, sizeof(*sw));
	bool all;
	struct pool *p;

	sw->cutover = *c;
	sw->out = out;
	sw->arg = arg;
	sw->left = 1; /* this function holds one itself */
	(void)worker_world(w);
	out->aborted +=
	    (unsigned)(stat_get(&w->stats.aborted) - pause_aborted_before(w, c->from.migration));
	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && s->state == SESSION_RELAY &&
		    (!pause_is_open(s) || rehome_in_progress(s)))
			switch_one(s, sw);
	}
	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (is_of(w, c, p) && pause_is_at(w, &c->from, p->live)) {
			p->wanted_us = 0;
			pool_reconnect(p);
		}
	}
	all = sw->left == 1;
	if (!all)
		sw->over = over;
	finish_one(sw);
	return all;
}

static bool
is_served_elsewhere(const struct worker *w, const struct session *s)
{
	const struct world *world = w->world;
	const struct authority *a = locate_authority(world, session_name(s, NAME_DATABASE));
	const struct node *n =
	    s->server != NULL ? topology_node_by_live(world->topology, s->server->live) : NULL;

	return a != NULL && n != NULL && !authority_has(a, world->topology, n);
}

void
cutover_follow(struct worker *w, const struct cutover *c)
{
	struct switching *sw = xcalloc(1, sizeof(*sw));

	sw->cutover = *c;
	sw->out = &sw->own;
	sw->left = 1;
	(void)worker_world(w);
	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && s->state == SESSION_RELAY && !pause_is_open(s) &&
		    is_served_elsewhere(w, s))
			switch_one(s, sw);
	}
	finish_one(sw);
}
