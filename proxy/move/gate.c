/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/gate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/move/cutover.h"
#include "proxy/move/errand.h"
#include "proxy/move/pauses.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"

/* Some round trips, for sessions whose new connection was not ready yet. */
#define SWITCH_US     (8 * USEC_PER_SEC)
#define LOOK_AGAIN_US (2 * USEC_PER_MSEC)
/* The longest that a freeze waits for what sessions have left on their servers. */
#define CARRY_US (500 * USEC_PER_MSEC)

/* A copy that has strings of its own. */
struct session_copy {
	struct gate_session v;
	char *user, *client_addr, *application_name;
};

/* The answer of one worker. */
struct part_answer {
	struct gate_counts counts;
	bool is_so;
	struct errand *errand; /* the errand's part is over when `later` sessions are */
	unsigned later;
	struct gate_straggler *stragglers;
	size_t nstragglers;
	struct session_copy *sessions;
	size_t nsessions;
};

struct served_copy {
	char *database, *place, *newdb;
	int64_t epoch;
	bool is_known;
};

/* What is sent to the loops, and what they answer. */
struct order {
	struct cutover cutover;
	int64_t expires_us; /* freeze */
	const char *why;    /* thaw */
	char newdb[128];    /* serve */
	int64_t epoch;
	bool refused; /* control does not take it */
	bool follow;  /* serve: sessions may have to follow */
	struct served_copy *served;
	size_t nserved;
	struct gate_straggler *stragglers; /* settle */
	size_t nstragglers;
	struct part_answer *workers;
	int nworkers;
};

static void
order_free(void *arg)
{
	struct order *o = arg;

	for (int i = 0; i < o->nworkers; i++) {
		for (size_t k = 0; k < o->workers[i].nsessions; k++) {
			free(o->workers[i].sessions[k].user);
			free(o->workers[i].sessions[k].client_addr);
			free(o->workers[i].sessions[k].application_name);
		}
		free(o->workers[i].sessions);
		free(o->workers[i].stragglers);
	}
	for (size_t i = 0; i < o->nserved; i++) {
		free(o->served[i].database);
		free(o->served[i].place);
		free(o->served[i].newdb);
	}
	free(o->served);
	free(o->stragglers);
	free(o->workers);
	free(o);
}

static struct errand *
order_new(struct meridian *m, const struct gate_move *move, struct order **out)
{
	struct order *o = xcalloc(1, sizeof(*o));

	if (move != NULL)
		cutover_init(&o->cutover, move);
	o->nworkers = m->nworkers;
	o->workers = xcalloc((size_t)m->nworkers, sizeof(*o->workers));
	*out = o;
	return errand_new(m, o, order_free);
}

static struct part_answer *
answer_of(struct errand *e, const struct worker *w)
{
	struct order *o = errand_what(e);

	return &o->workers[worker_id(w) - 1];
}

/* ---- counting ---- */

/* Have every worker run it, and add up what they count. False: some did not answer in time. */
static bool
count_on_workers(struct meridian *m, const struct gate_move *move,
		 bool (*run)(struct errand *e, struct worker *w), int64_t wait_us,
		 struct gate_counts *out)
{
	struct order *o;
	struct errand *e = order_new(m, move, &o);
	bool over;

	errand_to_workers(e, run);
	over = errand_wait(e, clock_us() + wait_us);
	if (over) {
		for (int i = 0; i < o->nworkers; i++) {
			const struct gate_counts *c = &o->workers[i].counts;

			out->sessions += c->sessions;
			out->open += c->open;
			out->kept += c->kept;
			out->closed += c->closed;
			out->aborted += c->aborted;
		}
	}
	errand_unref(e);
	return over;
}

/* Wait as long as any worker answers yes; one that does not answer is not waited for. */
static void
wait_while(struct meridian *m, const struct gate_move *move,
	   bool (*look)(struct errand *e, struct worker *w), int64_t deadline_us)
{
	for (;;) {
		struct order *o;
		struct errand *e = order_new(m, move, &o);
		bool is_so = false;

		errand_to_workers(e, look);
		if (errand_wait(e, clock_us() + GATE_TURN_US)) {
			for (int i = 0; i < o->nworkers; i++)
				is_so = is_so || o->workers[i].is_so;
		}
		errand_unref(e);
		if (!is_so || clock_us() >= deadline_us)
			return;
		(void)usleep(LOOK_AGAIN_US);
	}
}

static int
no_answer(struct err *e)
{
	return err_set(e, SQLSTATE_CONNECTION_FAILURE,
		       "a worker of this proxy did not answer in time");
}

/* ---- freeze ---- */

/* The freeze is in force: carrying over what sessions have on their own servers begins. */
static bool
count_frozen_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	cutover_count(w, &o->cutover, &answer_of(e, w)->counts);
	cutover_carry(w, &o->cutover);
	return true;
}

static bool
carrying_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	answer_of(e, w)->is_so = cutover_is_carrying(w, &o->cutover);
	return true;
}

static bool
count_unmoved_here(struct errand *e, struct worker *w)
{
	cutover_count_unmoved(w, &answer_of(e, w)->counts);
	return true;
}

static bool
freeze_here(struct errand *e, struct control *c)
{
	struct order *o = errand_what(e);

	if (paused_freeze(control_paused_list(c), &o->cutover.from, o->expires_us, e))
		return false;
	o->refused = true;
	return true;
}

static int
gate_freeze(void *arg, const struct gate_move *m, int64_t deadline_us, struct gate_counts *out,
	    struct err *e)
{
	struct order *o;
	struct errand *errand = order_new(arg, m, &o);
	bool quiet;

	*out = (struct gate_counts){ 0 };
	o->expires_us = m->expires_us;
	errand_to_control(errand, freeze_here);
	quiet = errand_wait(errand, deadline_us);
	if (quiet && o->refused)
		err_set(e, SQLSTATE_ADMIN_SHUTDOWN, "the proxy is shutting down");
	quiet = quiet && o->refused;
	errand_unref(errand);
	if (quiet)
		return -1;
	if (!count_on_workers(arg, m, count_frozen_here, GATE_TURN_US, out))
		return no_answer(e);
	wait_while(arg, m, carrying_here, clock_us() + CARRY_US);
	return count_on_workers(arg, m, count_unmoved_here, GATE_TURN_US, out) ? 0 : no_answer(e);
}

static bool
thaw_here(struct errand *e, struct control *c)
{
	const struct order *o = errand_what(e);

	paused_thaw(control_paused_list(c), &o->cutover.from, o->why);
	return true;
}

static void
thaw(struct meridian *m, const struct gate_move *move, const char *why)
{
	struct order *o;
	struct errand *e = order_new(m, move, &o);

	o->why = why;
	errand_to_control(e, thaw_here);
	(void)errand_wait(e, clock_us() + GATE_TURN_US);
	errand_unref(e);
}

static bool
forget_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	cutover_forget(w, &o->cutover);
	return true;
}

static void
gate_resume(void *arg, const struct gate_move *m)
{
	struct gate_counts counts = { 0 };

	(void)count_on_workers(arg, m, forget_here, GATE_TURN_US, &counts);
	thaw(arg, m, "the migration has ended it");
}

/* ---- prewarm ---- */

static bool
warm_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	cutover_warm(w, &o->cutover);
	return true;
}

static bool
warming_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	answer_of(e, w)->is_so = cutover_is_warming(w, &o->cutover);
	return true;
}

static int
gate_prewarm(void *arg, const struct gate_move *m, int64_t deadline_us, struct err *e)
{
	struct gate_counts counts = { 0 };

	if (!count_on_workers(arg, m, warm_here, GATE_TURN_US, &counts))
		return no_answer(e);
	wait_while(arg, m, warming_here, deadline_us);
	return 0;
}

/* ---- stragglers ---- */

/* Called on the worker, once for each session that needed time. */
static void
one_ready(void *arg)
{
	struct part_answer *a = arg;

	if (--a->later == 0)
		errand_done(a->errand);
}

static bool
seize_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);
	struct part_answer *a = answer_of(e, w);

	a->errand = e;
	a->later = 1; /* the part stays open until all sessions were begun */
	a->later += cutover_seize(w, &o->cutover, one_ready, a);
	return --a->later == 0;
}

static bool
list_stragglers_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);
	struct part_answer *a = answer_of(e, w);

	a->stragglers = xcalloc(o->nstragglers, sizeof(*a->stragglers));
	a->nstragglers = cutover_list_stragglers(w, &o->cutover, a->stragglers, o->nstragglers);
	return true;
}

static size_t
gate_stragglers(void *arg, const struct gate_move *m, struct gate_straggler *v, size_t max)
{
	struct gate_counts counts = { 0 };
	struct order *o;
	struct errand *e;
	size_t n = 0;

	e = order_new(arg, m, &o);
	errand_to_workers(e, seize_here);
	(void)errand_wait(e, clock_us() + GATE_TURN_US);
	errand_unref(e);
	if (count_on_workers(arg, m, count_frozen_here, GATE_TURN_US, &counts))
		wait_while(arg, m, carrying_here, clock_us() + CARRY_US);
	e = order_new(arg, m, &o);
	o->nstragglers = max;
	errand_to_workers(e, list_stragglers_here);
	if (errand_wait(e, clock_us() + GATE_TURN_US)) {
		for (int i = 0; i < o->nworkers; i++) {
			for (size_t k = 0; k < o->workers[i].nstragglers && n < max; k++)
				v[n++] = o->workers[i].stragglers[k];
		}
	}
	errand_unref(e);
	return n;
}

static bool
settle_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);
	struct part_answer *a = answer_of(e, w);

	a->errand = e;
	a->later = 1;
	a->later += cutover_settle(w, o->stragglers, o->nstragglers, one_ready, a);
	return --a->later == 0;
}

static void
gate_settle(void *arg, const struct gate_move *m, const struct gate_straggler *v, size_t n)
{
	struct order *o;
	struct errand *e = order_new(arg, m, &o);

	o->nstragglers = n;
	o->stragglers = xcalloc(n, sizeof(*v));
	if (n > 0)
		memcpy(o->stragglers, v, n * sizeof(*v));
	errand_to_workers(e, settle_here);
	(void)errand_wait(e, clock_us() + GATE_TURN_US);
	errand_unref(e);
}

/* ---- switch ---- */

static void
switched_here(void *arg)
{
	errand_done(arg);
}

static bool
switch_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	return cutover_switch(w, &o->cutover, &answer_of(e, w)->counts, switched_here, e);
}

static int
gate_switch_over(void *arg, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	bool over;

	*out = (struct gate_counts){ 0 };
	over = count_on_workers(arg, m, switch_here, SWITCH_US, out);
	thaw(arg, m, "the database is served elsewhere");
	return over ? 0 : no_answer(e);
}

/* ---- sessions ---- */

static void
copy_session(void *to, const struct gate_session *s)
{
	struct part_answer *a = to;
	struct session_copy *c;

	a->sessions = xreallocarray(a->sessions, a->nsessions + 1, sizeof(*a->sessions));
	c = &a->sessions[a->nsessions++];
	c->v = *s;
	c->v.user = c->user = xstrdup(s->user);
	c->v.client_addr = c->client_addr = xstrdup(s->client_addr);
	c->v.application_name = c->application_name = xstrdup(s->application_name);
}

static bool
list_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	cutover_list(w, &o->cutover, copy_session, answer_of(e, w));
	return true;
}

static void
gate_sessions(void *arg, const struct gate_move *m,
	      void (*each)(void *to, const struct gate_session *s), void *to)
{
	struct order *o;
	struct errand *e = order_new(arg, m, &o);

	errand_to_workers(e, list_here);
	if (errand_wait(e, clock_us() + GATE_TURN_US)) {
		for (int i = 0; i < o->nworkers; i++) {
			for (size_t k = 0; k < o->workers[i].nsessions; k++)
				each(to, &o->workers[i].sessions[k].v);
		}
	}
	errand_unref(e);
}

/* ---- routes ---- */

static bool
serve_here(struct errand *e, struct control *c)
{
	struct order *o = errand_what(e);
	const struct cutover *to = &o->cutover;
	const struct control_serve what = { .database = to->from.database,
					    .place = to->to,
					    .newdb = to->newdb,
					    .epoch = o->epoch };

	if (control_serve(c, &what)) {
		log_msg(LOG_LEVEL_INFO, "database \"%s\" is served by %s%s%s (epoch %lld)",
			to->from.database, to->to[0] != '\0' ? "\"" : "",
			to->to[0] != '\0' ? to->to : "whom the configuration names",
			to->to[0] != '\0' ? "\"" : "", (long long)o->epoch);
		control_publish(c, true);
		o->follow = to->to[0] != '\0' &&
			    !paused_is_frozen(control_paused_list(c), to->from.database);
	}
	return true;
}

static bool
follow_here(struct errand *e, struct worker *w)
{
	const struct order *o = errand_what(e);

	cutover_follow(w, &o->cutover);
	return true;
}

void
gate_serve(struct meridian *m, const char *database, const char *place, const char *newdb,
	   int64_t epoch)
{
	/* all sessions of the database, whichever migration froze them */
	const struct gate_move move = {
		.migration = -1, .database = database, .from = "", .to = place, .newdb = newdb
	};
	struct gate_counts ignored = { 0 };
	struct order *o;
	struct errand *e = order_new(m, &move, &o);
	bool follow;

	o->epoch = epoch;
	errand_to_control(e, serve_here);
	follow = errand_wait(e, clock_us() + GATE_TURN_US) && o->follow;
	errand_unref(e);
	if (follow)
		(void)count_on_workers(m, &move, follow_here, GATE_TURN_US, &ignored);
}

static bool
served_here(struct errand *e, struct control *c)
{
	struct order *o = errand_what(e);
	struct world *w = control_make_world(c);
	const struct topology *t = w->topology;

	o->nserved = t->nauthorities;
	o->served = xcalloc(o->nserved, sizeof(*o->served));
	for (size_t i = 0; i < o->nserved; i++) {
		const struct authority *a = &t->authorities[i];

		o->served[i] = (struct served_copy){
			.database = xstrdup(a->database),
			.place = xstrdup(a->place),
			.newdb = xstrdup(a->dbname != NULL ? a->dbname : ""),
			.epoch = a->epoch,
			.is_known = a->region >= 0,
		};
	}
	world_unref(w);
	return true;
}

void
gate_each_served(struct meridian *m, void (*each)(void *to, const struct gate_served *v), void *to)
{
	struct order *o;
	struct errand *e = order_new(m, NULL, &o);

	errand_to_control(e, served_here);
	if (errand_wait(e, clock_us() + GATE_TURN_US)) {
		for (size_t i = 0; i < o->nserved; i++) {
			const struct served_copy *s = &o->served[i];
			const struct gate_served v = { s->database, s->place, s->newdb, s->epoch,
						       s->is_known };

			each(to, &v);
		}
	}
	errand_unref(e);
}

const struct gate_ops proxy_gate_ops = {
	.prewarm = gate_prewarm,
	.freeze = gate_freeze,
	.stragglers = gate_stragglers,
	.settle = gate_settle,
	.switch_over = gate_switch_over,
	.resume = gate_resume,
	.sessions = gate_sessions,
	.logins = gate_logins,
	.rehearse = gate_rehearse,
	.logins_each = gate_logins_each,
	.logins_fit = gate_logins_fit,
	.logins_free = gate_logins_free,
};
