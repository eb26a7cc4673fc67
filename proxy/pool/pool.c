/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/hot.h"
#include "proxy/auth/credential.h"
#include "proxy/net/tlsctx.h"
#include "proxy/pool/pool_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/sqlstate/reports.h"

/* So many idle connections are looked at for one that has the session's settings. */
#define LOOK_AT_MAX 4
/* How long after pool_warm() connections stay where their database is not served. */
#define PROMISE_US (60 * USEC_PER_SEC)

static const struct conf_main *
conf_of(const struct pool *p)
{
	return &p->worker->world->config->main;
}

/* ---- pools ---- */

static char *
dup_slice(struct slice s)
{
	return xstrndup(s.n > 0 ? s.p : "", s.n);
}

static struct pool *
pool_new(struct worker *w, const struct pool_key *key)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->worker = w;
	p->live = node_live_ref(key->live);
	p->access = key->access;
	p->database = dup_slice(key->database);
	p->dbname = dup_slice(key->dbname);
	p->user = dup_slice(key->user);
	p->options = dup_slice(key->options);
	p->of_database = pool_database_get(p->live->id, p->dbname);
	p->of_user = pool_count_get('u', p->live->id, p->user);
	p->greetings = greetings_new();
	for (int i = 0; i < SERVER_PLACES; i++)
		TAILQ_INIT(&p->places[i]);
	TAILQ_INIT(&p->waiting);
	return p;
}

HOT struct pool *
pool_get(struct worker *w, const struct pool_key *key)
{
	struct buf name = { .cap = 64 * 1024 };
	struct pool *p;
	uint32_t hash;
	const struct slice parts[] = { key->database, key->dbname, key->user, key->options };

	buf_u32(&name, key->live->id);
	buf_u8(&name, (uint8_t)key->access);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		buf_u8(&name, 0);
		buf_slice(&name, parts[i]);
	}
	hash = hash_slice(w->pools->seed, buf_view(&name));
	HASH_FIND_BYHASHVALUE(hh, w->pools->by_name, name.p, name.n, hash, p);
	if (p == NULL) {
		p = pool_new(w, key);
		p->name = xmalloc(name.n);
		memcpy(p->name, name.p, name.n);
		p->paused = pool_ops.is_paused(p);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, w->pools->by_name, p->name, name.n, hash, p);
		TAILQ_INSERT_TAIL(&w->pools->list, p, all);
	}
	buf_fini(&name);
	return p;
}

void
pool_free(struct pool *p)
{
	struct pools *ps = p->worker->pools;

	BUG_ON(p->nsessions > 0 || pool_size(p) > 0);
	ps->freed++;
	HASH_DELETE(hh, ps->by_name, p);
	TAILQ_REMOVE(&ps->list, p, all);
	pool_count_put(p->of_database);
	pool_count_put(p->of_user);
	node_live_unref(p->live);
	credential_unref(p->credential);
	greetings_free(p->greetings);
	free(p->name);
	free(p->database);
	free(p->dbname);
	free(p->user);
	free(p->options);
	free(p);
}

HOT void
pool_join(struct pool *p)
{
	p->nsessions++;
}

/* The pool is freed later, by the keeper: a session may want it again soon, and callers up the
 * stack may still use it. */
HOT void
pool_leave(struct pool *p)
{
	p->nsessions--;
	pools_arm(p->worker->pools);
}

HOT void
pool_set_credential(struct pool *p, struct credential *c)
{
	/* one that says the same may know more by now: the keys of a password */
	if (p->credential == c || credential_equal(p->credential, c))
		return;
	/* who was let in without a proof has brought nothing; what others have shown still serves
	 */
	if (p->credential != NULL && (c == NULL || c->kind == CREDENTIAL_NONE))
		return;
	credential_unref(p->credential);
	p->credential = credential_ref(c);
	p->retry_us = 0; /* what has failed with another one says nothing of this */
}

void
pool_want(struct pool *p, struct credential *c)
{
	pool_set_credential(p, c);
	p->wanted_us = clock_us();
	shares_want(p);
	pools_arm(p->worker->pools);
}

HOT unsigned
pool_size(const struct pool *p)
{
	unsigned sum = 0;

	for (int i = 0; i < SERVER_PLACES; i++)
		sum += p->n[i];
	return sum;
}

HOT unsigned
pool_share(const struct worker *w, int size)
{
	unsigned n = (unsigned)w->process->nworkers, of = (unsigned)size;
	unsigned share = of / n + ((unsigned)w->id < of % n ? 1 : 0);

	return share > 0 || size == 0 ? share : 1;
}

/* ---- connections ---- */

const char *
server_place_name(enum server_place place)
{
	static const char *const names[] = { "own",  "login", "idle",
					     "used", "reset", "being_canceled" };

	return names[place];
}

/* The only writer of server.place. */
HOT void
pool_put(struct server *sv, enum server_place place)
{
	struct pool *p = sv->pool;
	struct stats *stats = &sv->worker->stats;

	_Static_assert(STATS_POOL_PLACES == SERVER_PLACES, "each place is counted");
	if (sv->place != SERVER_OWN) {
		stat_leave(&stats->pool_servers[sv->place]);
		TAILQ_REMOVE(&p->places[sv->place], sv, in_place);
		p->n[sv->place]--;
	}
	sv->place = (uint8_t)place;
	sv->since_us = loop_now_us(sv->worker->loop);
	if (place == SERVER_OWN)
		return;
	stat_enter(&stats->pool_servers[place]);
	TAILQ_INSERT_HEAD(&p->places[place], sv, in_place);
	p->n[place]++;
}

void
pool_remove(struct server *sv)
{
	struct pool *p = sv->pool;

	pool_put(sv, SERVER_OWN);
	sv->pool = NULL;
	pool_count_leave(p->of_database);
	pool_count_leave(p->of_user);
	shares_room(p);
	if (p->nwaiting > 0)
		pool_grow(p);
	pools_arm(p->worker->pools);
}

/* A node that is configured no more has none. */
static uint64_t
terms_of(struct pool *p)
{
	const struct world *w = p->worker->world;
	const struct node *n;

	if (p->terms_version != w->config->version) {
		p->terms_version = w->config->version;
		n = topology_node_by_live(w->topology, p->live);
		p->terms = n != NULL ? tlsset_terms(w->tls, n->region) : 0;
	}
	return p->terms;
}

static bool
is_expired(const struct server *sv)
{
	return sv->close_needed || !stream_is_open(&sv->stream) ||
	       sv->terms != terms_of(sv->pool) ||
	       (sv->expires_us > 0 && loop_now_us(sv->worker->loop) >= sv->expires_us);
}

/* ---- the queue ---- */

static struct pooled *
take_first(struct pool *p)
{
	struct pooled *pd = TAILQ_FIRST(&p->waiting);

	if (pd != NULL)
		pool_forget(p, pd);
	return pd;
}

void
pool_forget(struct pool *p, struct pooled *pd)
{
	TAILQ_REMOVE(&p->waiting, pd, in_queue);
	if (--p->nwaiting == 0)
		shares_starve(p, false);
	p->wait_us += (uint64_t)(clock_us() - pd->queued_us);
	stat_leave(&p->worker->stats.pool_waiting);
	pooled_enter(pd, POOLED_PARKED);
}

static void
on_checked(struct server *sv, const struct ask_answer *a)
{
	if (a->lost || a->failed || a->status != 'I')
		server_free(sv);
	else
		pool_give(sv);
}

/* It was idle for long: is anybody there still? */
static bool
needs_check(const struct server *sv)
{
	const struct conf_main *conf = conf_of(sv->pool);

	return conf->server_check_query != NULL &&
	       loop_now_us(sv->worker->loop) - sv->since_us >= conf->server_check_delay;
}

static void
check(struct server *sv)
{
	pool_put(sv, SERVER_BUSY);
	ask_begin(sv, slice_str(conf_of(sv->pool)->server_check_query), on_checked);
}

static struct server *
pick_idle(struct pool *p, const struct vars *vars)
{
	struct server *sv = TAILQ_FIRST(&p->places[SERVER_IDLE]);

	for (int i = 0; sv != NULL && i < LOOK_AT_MAX; i++, sv = TAILQ_NEXT(sv, in_place)) {
		if (sv->vars == vars)
			return sv;
	}
	return TAILQ_FIRST(&p->places[SERVER_IDLE]);
}

HOT struct server *
pool_lend(struct pool *p, struct pooled *pd)
{
	struct server *sv = p->paused ? NULL : pick_idle(p, pd->vars);

	while (sv != NULL && is_expired(sv)) {
		server_free(sv);
		sv = pick_idle(p, pd->vars);
	}
	if (sv != NULL && !needs_check(sv)) {
		pool_put(sv, SERVER_LENT);
		p->lent++;
		stat_add(&p->worker->stats.pool_lent, 1);
		return sv;
	}
	TAILQ_INSERT_TAIL(&p->waiting, pd, in_queue);
	stat_enter(&p->worker->stats.pool_waiting);
	p->nwaiting++;
	p->waited++;
	pooled_enter(pd, POOLED_WAITING);
	pd->queued_us = clock_us();
	pools_hurry(p->worker->pools);
	if (sv != NULL)
		check(sv);
	else
		pool_grow(p);
	return NULL;
}

/* Who has it may give it back before this returns, and so on through all who wait: that is done
 * here, one after the other, and not one inside the other. */
HOT void
pool_give(struct server *sv)
{
	struct pool *p = sv->pool;
	struct stats *stats = &p->worker->stats;
	struct pooled *pd;

	if (is_expired(sv) || p->paused || shares_must_go(sv)) {
		server_free(sv);
		return;
	}
	if (p->giving || p->nwaiting == 0) {
		pool_put(sv, SERVER_IDLE);
		pools_arm(p->worker->pools);
		return;
	}
	p->giving = true;
	do {
		pd = take_first(p);
		pool_put(sv, SERVER_LENT);
		p->lent++;
		stat_add(&stats->pool_lent, 1);
		stat_add(&stats->pool_waited, 1);
		histogram_observe(&stats->pool_wait, clock_us() - pd->waiting_since_us);
		pooled_on_lent(pd, sv);
		sv = TAILQ_FIRST(&p->places[SERVER_IDLE]);
	} while (sv != NULL && p->nwaiting > 0);
	p->giving = false;
}

HOT void
pool_return(struct server *sv)
{
	if (sv->cancels > 0)
		pool_put(sv, SERVER_HELD);
	else
		pool_give(sv);
}

void
pool_cancel_done(struct server *sv)
{
	if (sv->pool != NULL && sv->place == SERVER_HELD && sv->cancels == 0)
		pool_give(sv);
}

/* ---- size ---- */

HOT const struct pool_sizes *
pool_sizes(struct pool *p)
{
	const struct config *c = p->worker->world->config;

	if (p->sizes_version != c->version) {
		p->sizes_version = c->version;
		p->sizes = config_pool_sizes(c, config_database(c, slice_str(p->database)));
	}
	return &p->sizes;
}

static unsigned
limit_of(struct pool *p)
{
	const struct pool_sizes *sizes = pool_sizes(p);
	const struct pooled *first = TAILQ_FIRST(&p->waiting);
	unsigned limit = pool_share(p->worker, sizes->size);

	if (sizes->reserve > 0 && first != NULL &&
	    clock_us() - first->waiting_since_us >= conf_of(p)->reserve_pool_timeout)
		limit += pool_share(p->worker, sizes->reserve);
	return limit;
}

static bool
has_room(const struct pool_count *c, int limit)
{
	return limit == 0 || atomic_load_explicit(&c->n, memory_order_relaxed) < (unsigned)limit;
}

bool
pool_has_room(const struct pool *p)
{
	return has_room(p->of_database, conf_of(p)->max_db_connections) &&
	       has_room(p->of_user, conf_of(p)->max_user_connections);
}

/* It counts in what is full, and a pool that counts there too could use the room. */
static bool
is_in_the_way(const struct pool *p, const struct pool_place *of)
{
	if (p == of->pool || (of->pool == NULL && !shares_others_starve(p)))
		return false;
	return (p->of_database == of->of_database &&
		!has_room(p->of_database, conf_of(p)->max_db_connections)) ||
	       (p->of_user == of->of_user &&
		!has_room(p->of_user, conf_of(p)->max_user_connections));
}

bool
pool_make_room(struct worker *w, const struct pool_place *of)
{
	struct server *longest = NULL;
	struct pool *p;

	if (stat_get(&w->stats.pool_servers[SERVER_IDLE]) == 0)
		return false;
	TAILQ_FOREACH (p, &w->pools->list, all) {
		struct server *sv = TAILQ_LAST(&p->places[SERVER_IDLE], server_list);

		if (sv != NULL && is_in_the_way(p, of) &&
		    (longest == NULL || sv->since_us < longest->since_us))
			longest = sv;
	}
	if (longest != NULL)
		server_free(longest);
	return longest != NULL;
}

static bool
enter(struct pool *p, struct pool_count *c, int limit, bool evicts)
{
	const struct pool_place of = { p, p->of_database, p->of_user };

	return pool_count_enter(c, (unsigned)limit) ||
	       (evicts && pool_make_room(p->worker, &of) && pool_count_enter(c, (unsigned)limit));
}

static bool
launch(struct pool *p, bool evicts)
{
	const struct conf_main *conf = conf_of(p);

	if (!enter(p, p->of_database, conf->max_db_connections, evicts))
		return false;
	if (!enter(p, p->of_user, conf->max_user_connections, evicts)) {
		pool_count_leave(p->of_database);
		return false;
	}
	launch_begin(p);
	return true;
}

bool
pool_launch(struct pool *p)
{
	return launch(p, true);
}

bool
pool_launch_spare(struct pool *p)
{
	return !shares_others_starve(p) && launch(p, false);
}

/* Connections that have come to this place not long ago. One that has not answered a question of
 * ours in all this time may never do so. */
static unsigned
fresh(const struct pool *p, enum server_place place)
{
	int64_t now_us = loop_now_us(p->worker->loop);
	const struct server *sv;
	unsigned n = 0;

	TAILQ_FOREACH (sv, &p->places[place], in_place)
		n += now_us - sv->since_us < SOON_US;
	return n;
}

/* Connections that the sessions that wait can count on. */
static unsigned
coming(const struct pool *p)
{
	return p->n[SERVER_LAUNCHING] + fresh(p, SERVER_BUSY);
}

bool
pool_has_hope(const struct pool *p)
{
	return pool_size(p) > p->n[SERVER_LAUNCHING] || fresh(p, SERVER_LAUNCHING) > 0;
}

void
pool_grow(struct pool *p)
{
	struct server *sv;

	if (p->paused)
		return;
	/* idle ones beside sessions that wait: another is being checked, and does not answer */
	while (!p->giving && p->nwaiting > coming(p) &&
	       (sv = TAILQ_FIRST(&p->places[SERVER_IDLE])) != NULL) {
		if (needs_check(sv))
			check(sv);
		else
			pool_give(sv);
	}
	while (p->nwaiting > coming(p) && pool_size(p) < limit_of(p) && !pool_is_failing(p)) {
		if (!pool_launch(p)) {
			shares_starve(p, pool_size(p) == 0);
			return;
		}
	}
	shares_starve(p, false);
}

void
pool_warm(struct pool *p, unsigned n)
{
	unsigned limit = pool_share(p->worker, pool_sizes(p)->size);

	p->wanted_us = clock_us();
	p->promised_us = p->wanted_us + PROMISE_US;
	pools_arm(p->worker->pools);
	while (pool_size(p) < (n < limit ? n : limit) && !p->paused && !pool_is_failing(p)) {
		if (!pool_launch(p))
			return;
	}
}

HOT bool
pool_is_failing(const struct pool *p)
{
	return p->retry_us > 0 && clock_us() < p->retry_us;
}

/* Whether the sessions that wait are refused now, and do not wait for connections that others have.
 * In a session pool a client has its connection for as long as it likes. */
static bool
is_for_all(struct pool *p, enum signon_end how)
{
	const struct pooled *first = TAILQ_FIRST(&p->waiting);

	return how == SIGNON_FATAL || !pool_has_hope(p) ||
	       (how == SIGNON_SCARCE && first != NULL && first->mode == POOL_SESSION);
}

/* No connection will come now: each session that waits is sent to another node or gets the error.
 * Each is taken once, though some may come back to the end of the queue. */
void
pool_refuse(struct pool *p, const struct err *e, enum signon_end how)
{
	unsigned n = is_for_all(p, how) ? p->nwaiting : 0;
	struct pooled *pd;

	pool_join(p);
	while (n-- > 0 && (pd = take_first(p)) != NULL)
		pooled_on_refused(pd, e, how);
	pool_leave(p);
}

void
pool_reconnect(struct pool *p)
{
	struct server *sv;

	/* a session that waits may be lent the next one meanwhile */
	while ((sv = TAILQ_FIRST(&p->places[SERVER_IDLE])) != NULL)
		server_free(sv);
	for (int i = SERVER_IDLE + 1; i < SERVER_PLACES; i++) {
		TAILQ_FOREACH (sv, &p->places[i], in_place)
			sv->close_needed = true;
	}
}

void
pool_renew(struct pool *p)
{
	uint64_t before = p->terms;

	if (p->terms_version != 0 && terms_of(p) != before)
		pool_reconnect(p);
}

void
pool_pause(struct pool *p, bool paused)
{
	struct server *sv;

	p->paused = paused;
	if (paused) {
		while ((sv = TAILQ_FIRST(&p->places[SERVER_IDLE])) != NULL)
			server_free(sv);
		shares_starve(p, false);
		return;
	}
	pool_grow(p);
}
