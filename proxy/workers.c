/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/cancel/cancelkeys.h"
#include "proxy/cancel/strikes.h"
#include "proxy/http/http.h"
#include "proxy/http/pings.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehearsal.h"
#include "proxy/net/tlsctx.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/control.h"
#include "proxy/process/descriptors.h"
#include "proxy/reads/verdicts.h"
#include "proxy/session/session_int.h"
#include "proxy/session/states.h"
#include "proxy/sqlstate/fingerprints.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/vars.h"

#define SWEEP_DRAIN_US   (50 * USEC_PER_MSEC)
#define DRAIN_SILENCE_US USEC_PER_SEC
#define SWEEP_MAX_US     USEC_PER_SEC
#define SWEEP_MIN_US     (50 * USEC_PER_MSEC)
#define STICKY_SLOTS     4096

static void worker_on_sweep(evutil_socket_t fd, short what, void *arg);

static HOT void
take_limits(struct worker *w)
{
	statement_table_limit(w->texts, (unsigned)w->world->config->main.max_prepared_statements);
}

static void
on_refresh(struct letter *letter, void *owner)
{
	struct worker *w = owner;

	free(letter);
	(void)worker_world(w);
	worker_arm_sweep(w);
	pools_refresh(w->pools);
	pings_refresh(w);
}

void
worker_publish(struct worker *w, struct world *take_world, bool wake)
{
	world_unref(snapshot_slot_put(&w->slot, take_world));
	if (wake)
		worker_post(w, xcalloc(1, sizeof(struct letter)), on_refresh);
}

/* A drain is over when the last session that is not a console has ended. */
static void
check_drained(struct worker *w)
{
	struct session *s, *next;
	unsigned consoles = 0;

	for (s = TAILQ_FIRST(&w->states[SESSION_CONSOLE]); s != NULL; s = TAILQ_NEXT(s, in_state))
		consoles++;
	if (worker_nsessions(w) > consoles)
		return;
	for (s = TAILQ_FIRST(&w->states[SESSION_CONSOLE]); s != NULL; s = next) {
		next = TAILQ_NEXT(s, in_state);
		session_close(s, WHY_SHUTDOWN, NULL);
	}
	worker_check_done(w);
}

/* The shorter of two times, of which 0 means none. */
static int64_t
shorter(int64_t a, int64_t b)
{
	return a == 0 || (b > 0 && b < a) ? b : a;
}

/* How often deadlines must be looked at: a quarter of the shortest; 0: there is none (INV-19). */
static int64_t
sweep_interval(const struct worker *w)
{
	const struct conf_main *conf = &w->world->config->main;
	const int64_t idle[] = { conf->client_idle_timeout, conf->idle_transaction_timeout,
				 conf->query_timeout };
	int64_t shortest = 0;

	if (w->draining)
		return w->done ? 0 : SWEEP_DRAIN_US;
	for (int state = 0; state < SESSION_STATE_COUNT; state++) {
		const char *deadline = session_state_row((enum session_state)state)->deadline;

		if (TAILQ_EMPTY(&w->states[state]))
			continue;
		if (strcmp(deadline, "login") == 0)
			shortest = shorter(shortest, conf->client_login_timeout);
		if (strcmp(deadline, "http") == 0)
			shortest = shorter(
			    shortest, shorter(conf->client_login_timeout, conf->http_idle_timeout));
		if (strcmp(deadline, "farewell") == 0 && shortest == 0)
			shortest = SWEEP_MAX_US;
		for (unsigned i = 0; strcmp(deadline, "idle") == 0 && i < 3; i++)
			shortest = shorter(shortest, idle[i]);
	}
	if (shortest == 0 && descriptors_short(w->process->descriptors))
		return SWEEP_MAX_US;
	if (shortest == 0)
		return 0;
	shortest /= 4;
	return shortest < SWEEP_MIN_US   ? SWEEP_MIN_US
	       : shortest < SWEEP_MAX_US ? shortest
					 : SWEEP_MAX_US;
}

static HOT void
arm_sweep(struct worker *w)
{
	int64_t interval;
	struct timeval tv;

	if (evtimer_pending(&w->sweep, NULL))
		return;
	interval = sweep_interval(w);
	if (interval == 0)
		return;
	tv.tv_sec = interval / USEC_PER_SEC;
	tv.tv_usec = interval % USEC_PER_SEC;
	event_add(&w->sweep, &tv);
}

/* Whether a drain ends the session now. A client that has connected and sent nothing for a while
 * would be refused when it sends something; one that is logging in would be idle, and ended, right
 * after its login. */
static bool
is_drained(const struct worker *w, const struct session *s, int64_t now_us)
{
	/* replication does not end by itself, and a follower connects again */
	bool streams =
	    s->state == SESSION_RELAY && exchange_activity(&s->exchange) == EXCHANGE_REPLICATING;

	if (s->state == SESSION_CONSOLE || s->state == SESSION_FAREWELL)
		return false;
	if (w->ending_at_us >= 0 && now_us >= w->ending_at_us)
		return true;
	if (s->state == SESSION_HTTP && http_is_sending(s))
		return false;
	if (s->state < SESSION_ATTACHING)
		return now_us - s->quiet_since_us > DRAIN_SILENCE_US;
	/* its answer would have come by now, or will never come */
	if (s->state == SESSION_RELAY && !session_is_pooled(s) &&
	    (exchange_is_in_doubt(&s->exchange) || exchange_is_stranded(&s->exchange)))
		return w->drain_idle && now_us - s->quiet_since_us > DRAIN_SILENCE_US;
	if (s->state == SESSION_RELAY && !streams &&
	    (!exchange_is_idle(&s->exchange) || settings_hold(s)))
		return false;
	if (s->state == SESSION_RELAY && pooled_owes(s))
		return false;
	if (s->state == SESSION_SQL && !exchange_is_idle(&s->exchange))
		return false;
	return w->drain_idle && s->state != SESSION_CANCELLING && s->state != SESSION_PEER;
}

static HOT void
worker_on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	int64_t now_us = clock_us();

	(void)fd;
	(void)what;
	(void)worker_world(w);
	descriptors_refill(w->process->descriptors);
	for (int state = 0; state < SESSION_STATE_COUNT; state++) {
		struct session *next;

		for (struct session *s = TAILQ_FIRST(&w->states[state]); s != NULL; s = next) {
			next = TAILQ_NEXT(s, in_state);
			if (w->draining && is_drained(w, s, now_us))
				session_close(s, WHY_SHUTDOWN, NULL);
			else
				session_check_deadline(s, now_us);
		}
	}
	if (w->draining)
		check_drained(w);
	worker_arm_sweep(w);
}

/* ---- letters of control ---- */

struct drain_letter {
	struct letter letter;
	bool drain_idle;
	int64_t grace_us;
};

static void
on_drain(struct letter *letter, void *owner)
{
	struct drain_letter *l = (struct drain_letter *)letter;
	struct worker *w = owner;

	accept_stop(w);
	w->draining = true;
	pools_drain(w->pools);
	w->drain_idle = w->drain_idle || l->drain_idle;
	w->ending_at_us = l->grace_us < 0 ? -1 : clock_us() + l->grace_us;
	free(l);
	event_del(&w->sweep);
	worker_on_sweep(-1, 0, w);
}

void
worker_drain(struct worker *w, bool drain_idle, int64_t grace_us)
{
	struct drain_letter *l = xcalloc(1, sizeof(*l));

	l->drain_idle = drain_idle;
	l->grace_us = grace_us;
	worker_post(w, &l->letter, on_drain);
}

struct evict_letter {
	struct letter letter;
	char region[128], node[256];
};

static void
on_evict(struct letter *letter, void *owner)
{
	struct evict_letter *l = (struct evict_letter *)letter;
	struct worker *w = owner;

	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = w->slots[i];

		if (s != NULL && s->server != NULL &&
		    (l->region[0] == '\0' || strcmp(s->server->live->region, l->region) == 0) &&
		    (l->node[0] == '\0' || strcmp(s->server->live->name, l->node) == 0))
			session_close(s, WHY_DRAINED, NULL);
	}
	free(l);
}

void
worker_evict(struct worker *w, const char *region, const char *node)
{
	struct evict_letter *l = xcalloc(1, sizeof(*l));

	(void)text_copy(l->region, sizeof(l->region), slice_str(region));
	(void)text_copy(l->node, sizeof(l->node), slice_str(node));
	worker_post(w, &l->letter, on_evict);
}

static void
on_stop(struct letter *letter, void *owner)
{
	struct worker *w = owner;

	free(letter);
	loop_stop(w->loop);
}

void
worker_stop(struct worker *w)
{
	worker_post(w, xcalloc(1, sizeof(struct letter)), on_stop);
}

/* ---- life ---- */

struct worker *
worker_new(struct meridian *process, int id, struct world *take_world)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->process = process;
	w->id = id;
	w->world = take_world;
	w->loop = loop_new();
	w->mail = mailbox_new(w->loop, w);
	w->scratch = xmalloc(WORKER_SCRATCH);
	w->keys = cancelkeys_new();
	w->strikes = strikes_new(get_u64(process->mock_secret));
	w->sticky = sticky_new(STICKY_SLOTS);
	w->tls = tls_local_new();
	w->vars = vars_table_new();
	w->texts = statement_table_new((unsigned)take_world->config->main.max_prepared_statements);
	w->rewritten.cap = 16 * WORKER_SCRATCH;
	w->pools = pools_new(w);
	for (int i = 0; i < SESSION_STATE_COUNT; i++)
		TAILQ_INIT(&w->states[i]);
	evtimer_assign(&w->sweep, loop_base(w->loop), worker_on_sweep, w);
	pings_init(w);
	return w;
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	/* shown by `top -H` and by debuggers */
	snprintf(name, sizeof(name), "worker/%d", w->id);
	(void)pthread_setname_np(pthread_self(), name);
	accept_begin(w);
	loop_run(w->loop);
	return NULL;
}

int
worker_start(struct worker *w)
{
	return pthread_create(&w->thread, NULL, worker_main, w) == 0 ? 0 : -1;
}

void
worker_join(struct worker *w)
{
	(void)pthread_join(w->thread, NULL);
}

bool
worker_deliver(struct worker *w)
{
	return mailbox_deliver(w->mail);
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	accept_fini(w);
	for (uint32_t i = 0; i < w->nslots; i++) {
		if (w->slots[i] != NULL)
			session_abort(w->slots[i], WHY_SHUTDOWN);
	}
	rehearsal_end_all(w);
	pools_free(w->pools);
	mailbox_free(w->mail);
	event_del(&w->sweep);
	event_del(&w->pings);
	loop_free(w->loop);
	free(w->slots);
	free(w->free_slots);
	free(w->scratch);
	cancelkeys_free(w->keys);
	strikes_free(w->strikes);
	sticky_free(w->sticky);
	tls_local_free(w->tls);
	pauses_free(w->pauses);
	vars_table_free(w->vars);
	statement_table_free(w->texts);
	fingerprints_free(w->fingerprints);
	verdicts_free(w->verdicts);
	readtally_fini(&w->reads);
	buf_fini(&w->rewritten);
	random_fini(&w->random);
	world_unref(snapshot_slot_take(&w->slot));
	world_unref(w->world);
	free(w);
}

const struct worker_ops worker_ops = {
	.arm_sweep = arm_sweep,
	.on_world = take_limits,
	.accept_from = accept_from,
};
