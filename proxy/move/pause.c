/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/pause.h"

#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "proxy/move/pauses.h"
#include "proxy/move/rehome_int.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"

/* How often to look whether all transactions are over, while a PAUSE waits for that. */
#define LOOK_US (10 * USEC_PER_MSEC)

struct pauses {
	struct worker *worker;
	struct event look; /* armed while a PAUSE has not been reported as quiet */
	size_t n;
	struct pause *v;
	bool *quiet;       /* for each: control was told that no transaction is open there */
	uint64_t *aborted; /* for each: how many transactions had been ended when it began */
};

/* ---- who is meant ---- */

static bool
is_database(const struct worker *w, const struct pause_scope *p, struct slice database)
{
	if (p->migration != 0)
		database = locate_configured_dbname(w->world, database);
	return slice_is(database, p->database);
}

/* The place of a migration's freeze may be a node, by any name that the console accepts. */
bool
pause_is_at(const struct worker *w, const struct pause_scope *p, const struct node_live *live)
{
	const struct topology *t = w->world->topology;
	int region;

	if (p->migration == 0 || strcmp(p->region, live->region) == 0)
		return strcmp(p->region, live->region) == 0;
	if (topology_node_by_name(t, slice_str(p->region)) != NULL)
		return strcasecmp(p->region, live->name) == 0;
	region = topology_region_by_name(t, slice_str(p->region));
	return region >= 0 && strcmp(t->regions[region].name, live->region) == 0;
}

static bool
scope_covers(const struct worker *w, const struct pause_scope *p, struct slice database,
	     const struct node_live *live)
{
	return (p->database[0] == '\0' || is_database(w, p, database)) &&
	       (p->region[0] == '\0' || (live != NULL && pause_is_at(w, p, live)));
}

bool
pause_concerns(const struct worker *w, const struct pause_scope *p, const struct session *s)
{
	return s->exchange.replication == REPLICATION_NONE &&
	       scope_covers(w, p, session_name(s, NAME_DATABASE), session_place(s));
}

static bool
is_paused(const struct session *s)
{
	const struct pauses *ps = s->worker->pauses;

	for (size_t i = 0; ps != NULL && i < ps->n; i++) {
		if (pause_concerns(s->worker, &ps->v[i].scope, s))
			return true;
	}
	return false;
}

bool
pause_is_frozen(const struct session *s)
{
	const struct pauses *ps = s->worker->pauses;

	for (size_t i = 0; ps != NULL && i < ps->n; i++) {
		if (ps->v[i].scope.migration != 0 && pause_concerns(s->worker, &ps->v[i].scope, s))
			return true;
	}
	return false;
}

bool
pause_covers(const struct worker *w, struct slice database, const struct node_live *live)
{
	for (size_t i = 0; w->pauses != NULL && i < w->pauses->n; i++) {
		if (scope_covers(w, &w->pauses->v[i].scope, database, live))
			return true;
	}
	return false;
}

/* ---- sessions that are there ---- */

/* As far as Meridian knows, the session is between two transactions. */
static bool
is_between_transactions(const struct session *s)
{
	return exchange_is_idle(&s->exchange) && !settings_hold(s);
}

/* All that the client has sent ends in a Sync or a Query, so the server's answer will tell whether
 * a transaction is open. Without this a client that sends without pause would never be found
 * between two transactions. */
static bool
is_answer_due(const struct session *s)
{
	const struct exchange *f = &s->exchange;

	return f->pending > 0 && !f->open && f->copy == EXCHANGE_COPY_NONE && f->unsure == 0 &&
	       exchange_at_client_boundary(f) && !settings_hold(s);
}

static bool
may_stop(const struct session *s)
{
	return s->state == SESSION_RELAY && !s->terminated &&
	       (is_between_transactions(s) || is_answer_due(s));
}

bool
pause_is_held(const struct session *s)
{
	return s->state == SESSION_PAUSED ||
	       (s->state == SESSION_RELAY && is_paused(s) && is_between_transactions(s));
}

bool
pause_stops(struct session *s)
{
	if (!may_stop(s))
		return false;
	session_only_watch(s);
	return true;
}

/* Read the client again, unless something else forbids it. */
static void
read_client_again(struct session *s)
{
	bool blocked = s->server != NULL && stream_is_blocked(&s->server->stream);
	bool full = pooled_is_full(s);
	short what = blocked || full ? 0 : EV_READ;

	if (s->straggle != NULL) {
		straggle_proceed(s);
		return;
	}
	if (!(s->client.interest & EV_CLOSED) || ((is_paused(s) || rehome_holds(s)) && may_stop(s)))
		return;
	if (full && s->server == NULL)
		what = EV_CLOSED; /* the session waits in its pool's queue */
	stream_want(&s->client, (short)((s->client.interest & ~EV_CLOSED) | what));
}

/* From the first message that goes to a server of which nothing is outstanding, its exchange is
 * listed: an answer may have to be given in its place. */
static void
list_exchange(struct session *s, const char *p, size_t n)
{
	struct exchange *x = &s->exchange;

	(void)p;
	(void)n;
	if (!pause_is_frozen(s) || exchange_is_busy(x) || !exchange_at_client_boundary(x) ||
	    !exchange_at_server_boundary(x))
		return;
	if (!exchange_is_listed(x))
		exchange_list(x, NULL, NULL);
	exchange_keep_listed(x, true);
}

void
pause_on_server(struct session *s)
{
	if (s->state == SESSION_RELAY)
		read_client_again(s);
}

static bool
holds_client(struct session *s)
{
	return is_paused(s) && pause_stops(s);
}

/* Why it goes is no business of a client that is frozen between two transactions. */
static bool
on_server_lost(struct session *s, bool is_gone)
{
	(void)is_gone;
	if (!straggle_hides_server_end(s))
		return false;
	straggle_server_ended(s);
	return true;
}

static void
on_server_sent(struct session *s, const struct answer *a)
{
	(void)a;
	if (s->straggle == NULL)
		exchange_note_heard(&s->exchange);
	pause_on_server(s);
}

static const char *
doing(const struct session *s)
{
	return pause_is_held(s) && !straggle_answers_client(s) ? "paused" : NULL;
}

const struct observer pause_observer = {
	.name = "pause",
	.holds_client = holds_client,
	.on_client_read = list_exchange,
	.on_server_lost = on_server_lost,
	.on_server_sent = on_server_sent,
	.doing = doing,
};

/* ---- sessions that are not there yet ---- */

bool
pause_login(struct session *s, const struct node_live *live)
{
	if (login_startup(s->login)->replication != REPLICATION_NONE ||
	    !pause_covers(s->worker, session_name(s, NAME_DATABASE), live))
		return false;
	if (s->state != SESSION_PAUSED)
		session_enter(s, SESSION_PAUSED);
	return true;
}

/* ---- all of them ---- */

static void
look_at(struct session *s)
{
	if (s->straggle == NULL && !pause_is_frozen(s))
		exchange_keep_listed(&s->exchange, false);
	if (s->rehome != NULL && !is_paused(s))
		rehome_on_thaw(s);
	if (s->state == SESSION_RELAY) {
		read_client_again(s);
	} else if (s->state == SESSION_PAUSED) {
		/* the time that it was held does not count against its login */
		s->quiet_since_us = clock_us();
		locate_login_again(s);
		/* it asks pause_login() itself, and so may leave the session where it is */
		session_ops.attach(s);
	}
}

/* A login that was let through is no transaction, but what its client has already sent begins
 * one. */
bool
pause_is_open(const struct session *s)
{
	if (s->straggle != NULL)
		return straggle_is_open(s);
	if (s->state == SESSION_RELAY)
		return !is_between_transactions(s) || pooled_is_asking(s);
	return s->state == SESSION_SQL || (s->state == SESSION_LOGIN && s->login->inbox.n > 0);
}

bool
pause_is_in_transaction(const struct session *s)
{
	return s->straggle != NULL ? straggle_is_open(s) : !is_between_transactions(s);
}

static void
count(const struct worker *w, const struct pause *p, struct pause_facts *out)
{
	*out = (struct pause_facts){ .pause = *p };
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = w->slots[i];

		if (s == NULL || !pause_concerns(w, &p->scope, s))
			continue;
		out->open += pause_is_open(s);
		out->held += pause_is_held(s);
	}
}

uint64_t
pause_aborted_before(const struct worker *w, int migration)
{
	const struct pauses *ps = w->pauses;

	for (size_t i = 0; ps != NULL && i < ps->n; i++) {
		if (ps->v[i].scope.migration == migration)
			return ps->aborted[i];
	}
	return stat_get(&w->stats.aborted);
}

size_t
pause_count(const struct worker *w)
{
	return w->pauses != NULL ? w->pauses->n : 0;
}

void
pause_facts(const struct worker *w, size_t i, struct pause_facts *out)
{
	count(w, &w->pauses->v[i], out);
}

/* A client that gets notifications and reads slowly is in no transaction. It may have the beginning
 * of one, and nothing to wait for: the rest of that, as far as it has come, is taken from its
 * server, which is between two messages then. */
static void
end_notifications(struct worker *w, const struct pause_scope *p)
{
	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = w->slots[i];
		size_t left;
		ssize_t n;

		if (s == NULL || s->state != SESSION_RELAY || s->server == NULL ||
		    !pause_concerns(w, p, s) || !stream_is_blocked(&s->client) ||
		    s->straggle != NULL || s->server->ask != NULL ||
		    rehome_stage(s) == REHOME_READY || exchange_is_busy(&s->exchange) ||
		    exchange_tx_status(&s->exchange) != 'I')
			continue;
		while (s->state == SESSION_RELAY && s->server != NULL &&
		       (left = exchange_server_left(&s->exchange)) > 0 && left <= WORKER_SCRATCH &&
		       (n = stream_recv(&s->server->stream, w->scratch, left)) > 0)
			relay_from_server(s, w->scratch, (size_t)n);
	}
}

static void
pause_on_look(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval again = { .tv_usec = LOOK_US };
	struct pauses *ps = arg;
	struct pause_facts facts;
	bool wait = false;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < ps->n; i++) {
		if (ps->quiet[i])
			continue;
		end_notifications(ps->worker, &ps->v[i].scope);
		count(ps->worker, &ps->v[i], &facts);
		ps->quiet[i] = facts.open == 0;
		wait = wait || !ps->quiet[i];
		if (ps->quiet[i])
			control_paused(ps->worker->process->control, ps->v[i].serial);
	}
	if (wait)
		event_add(&ps->look, &again);
}

void
pauses_free(struct pauses *ps)
{
	if (ps == NULL)
		return;
	event_del(&ps->look);
	free(ps->v);
	free(ps->quiet);
	free(ps->aborted);
	free(ps);
}

/* ---- what control says ---- */

struct pause_letter {
	struct letter letter;
	struct pause *v;
	size_t n;
};

/* A PAUSE that was reported as quiet is not reported again. */
static struct pauses *
pauses_new(struct worker *w, struct pause_letter *l)
{
	const struct pauses *old = w->pauses;
	struct pauses *ps = xcalloc(1, sizeof(*ps));

	ps->worker = w;
	ps->n = l->n;
	ps->v = l->v;
	ps->quiet = xcalloc(l->n, sizeof(*ps->quiet));
	ps->aborted = xcalloc(l->n, sizeof(*ps->aborted));
	evtimer_assign(&ps->look, loop_base(w->loop), pause_on_look, ps);
	for (size_t i = 0; i < ps->n; i++) {
		ps->aborted[i] = stat_get(&w->stats.aborted);
		for (size_t k = 0; old != NULL && k < old->n; k++) {
			if (old->v[k].serial == ps->v[i].serial)
				ps->quiet[i] = old->quiet[k];
			if (old->v[k].since_us == ps->v[i].since_us)
				ps->aborted[i] = old->aborted[k];
		}
	}
	return ps;
}

static void
on_pauses(struct letter *letter, void *owner)
{
	struct pause_letter *l = (struct pause_letter *)letter;
	struct worker *w = owner;
	struct pauses *old = w->pauses;
	struct pool *p;

	w->pauses = l->n > 0 ? pauses_new(w, l) : NULL;
	w->observers = w->pauses != NULL ? 1u << OBSERVER_PAUSE : 0;
	if (l->n == 0)
		free(l->v);
	free(l);
	pauses_free(old);
	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		bool paused = pause_covers(w, slice_str(p->database), p->live);

		if (p->paused != paused)
			pool_pause(p, paused);
	}
	for (uint32_t i = 0; i < w->nslots; i++) {
		if (w->slots[i] != NULL)
			look_at(w->slots[i]);
	}
	if (w->pauses != NULL)
		pause_on_look(-1, 0, w->pauses);
}

void
pause_publish(struct worker *w, struct pause *take_pauses, size_t n)
{
	struct pause_letter *l = xcalloc(1, sizeof(*l));

	l->v = take_pauses;
	l->n = n;
	worker_post(w, &l->letter, on_pauses);
}
