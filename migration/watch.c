/* SPDX-License-Identifier: PostgreSQL
 *
 * One thread for each region: once a second, or when one of its databases is notified, it looks
 * which of those on the region's node that takes writes have a control schema. Each of them has a
 * thread that reads it (watch_db.c). Which region serves which database goes to routes.c, which
 * clients still enter by the region that it has left to redirect.c; orders of executors on other
 * proxies are obeyed (fleet_proxy.c); an executor that died between freeze and decision, or behind
 * the decision, is replaced without an operator.
 */
#include "config.h"

#include "migration/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "migration/routes.h"

#define PERIOD_US     USEC_PER_SEC
#define FIRST_LOOK_US (3 * USEC_PER_SEC)
#define FIRST_NAP_US  (5 * USEC_PER_MSEC)
#define NAP_US        (100 * USEC_PER_MSEC)
#define ASKED_US      (300 * USEC_PER_MSEC) /* a bound: every client of the database may notify */

/* ---- waits ---- */

void
watch_wake(struct watch *w)
{
	pthread_mutex_lock(&w->lock);
	w->news++;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* Until there is something new since `news`, or the time is over. */
static void
nap(struct watch *w, unsigned news, int64_t us)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += us % USEC_PER_SEC * 1000;
	until.tv_sec += us / USEC_PER_SEC + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&w->lock);
	while (w->news == news && pthread_cond_timedwait(&w->cond, &w->lock, &until) == 0)
		;
	pthread_mutex_unlock(&w->lock);
}

bool
watch_wait(struct watch *w, unsigned heard, struct watched *d)
{
	int64_t begun = clock_us();

	for (;;) {
		int64_t us = atomic_load(&w->asked) != heard ? ASKED_US : PERIOD_US;
		int64_t left = begun + us - clock_us();
		unsigned news;

		pthread_mutex_lock(&w->lock);
		news = w->news;
		pthread_mutex_unlock(&w->lock);
		if (migrations_are_over(w->ms) || (d != NULL && atomic_load(&d->is_gone)))
			return false;
		if (left <= 0)
			return true;
		if (d != NULL && d->c != NULL)
			watched_listen(d, left < NAP_US ? left : NAP_US);
		else
			nap(w, news, left);
	}
}

/* ---- the databases ---- */

static struct watched *
watched_of(struct region_watch *r, const struct control_db *f)
{
	for (struct watched *d = r->dbs; d != NULL; d = d->next)
		if (strcmp(d->at.node.name, f->node.name) == 0 &&
		    strcmp(d->at.dbname, f->dbname) == 0)
			return d;
	struct watched *d = xcalloc(1, sizeof(*d));

	d->r = r;
	d->at.node = f->node;
	d->at.dbname = xstrdup(f->dbname);
	pthread_mutex_lock(&r->lock);
	d->next = r->dbs;
	r->dbs = d;
	pthread_mutex_unlock(&r->lock);
	return d;
}

static void
leave(struct watched *lost)
{
	for (struct watched *d = lost; d != NULL; d = d->next)
		atomic_store(&d->is_gone, true);
	if (lost != NULL)
		watch_wake(lost->r->w);
	while (lost != NULL) {
		struct watched *d = lost;

		lost = d->next;
		if (d->is_started)
			pthread_join(d->thread, NULL);
		watched_free(d);
	}
}

/* Take those that are not found any more off the list: the caller stops their threads. */
static struct watched *
take_lost(struct region_watch *r, const struct control_dbs *found)
{
	struct watched **p = &r->dbs, *lost = NULL;

	pthread_mutex_lock(&r->lock);
	while (*p != NULL) {
		struct watched *d = *p;

		if (control_dbs_have(found, &d->at.node, d->at.dbname)) {
			p = &d->next;
			continue;
		}
		*p = d->next;
		d->next = lost;
		lost = d;
	}
	pthread_mutex_unlock(&r->lock);
	return lost;
}

void
watch_tell_routes(struct region_watch *r)
{
	struct route_row *all = NULL;
	bool is_whole = true;
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	for (const struct watched *d = r->dbs; d != NULL; d = d->next) {
		/* A database that was never read may have a newer row. */
		is_whole = is_whole && d->looked_us > 0;
		for (size_t i = 0; i < d->nrows; i++) {
			all = xreallocarray(all, n + 1, sizeof(*all));
			all[n++] = d->rows[i];
		}
	}
	if (is_whole)
		routes_update(r->w->routes, r->region, all, n);
	pthread_mutex_unlock(&r->lock);
	free(all);
}

/* ---- the regions ---- */

static void
look_at_region(struct region_watch *r)
{
	unsigned asked = atomic_load(&r->w->asked);
	struct control_dbs found = { 0 };
	struct watched *lost = NULL;
	struct err e;
	bool is_reached;

	is_reached = control_dbs_of_region(r->w->ms, r->region, asked != r->heard ? 1 : LOOK_AGE_US,
					   &found, &e) == 0;
	r->heard = asked;
	pthread_mutex_lock(&r->lock);
	r->is_reached = is_reached;
	pthread_mutex_unlock(&r->lock);
	if (is_reached)
		lost = take_lost(r, &found);
	for (size_t i = 0; i < found.n; i++) {
		struct watched *d = watched_of(r, &found.v[i]);

		if (d->is_started)
			continue;
		d->is_started = pthread_create(&d->thread, NULL, watched_main, d) == 0;
		if (!d->is_started)
			log_msg(LOG_LEVEL_ERROR,
				"the migrations of database %s on %s cannot be watched",
				d->at.dbname, d->at.node.name);
	}
	pthread_mutex_lock(&r->lock);
	r->is_tried = true;
	pthread_mutex_unlock(&r->lock);
	if (is_reached)
		watch_tell_routes(r);
	leave(lost);
	control_dbs_fini(&found);
}

static void *
region_main(void *arg)
{
	struct region_watch *r = arg;
	const struct control_dbs nothing = { 0 };

	do
		look_at_region(r);
	while (watch_wait(r->w, r->heard, NULL));
	leave(take_lost(r, &nothing));
	return NULL;
}

/* ---- life ---- */

static bool
is_first_look_over(struct watch *w)
{
	bool yes = true;

	for (size_t i = 0; i < w->nregions; i++) {
		struct region_watch *r = &w->regions[i];

		pthread_mutex_lock(&r->lock);
		yes = yes && r->is_tried;
		for (const struct watched *d = r->dbs; d != NULL; d = d->next)
			yes = yes && d->is_tried;
		pthread_mutex_unlock(&r->lock);
	}
	return yes;
}

struct watch *
watch_start(struct migrations *ms)
{
	sigset_t all, old;
	struct watch *w = xcalloc(1, sizeof(*w));
	struct strlist regions = { 0 };
	int64_t until = clock_us() + FIRST_LOOK_US;
	pthread_condattr_t attr;

	w->ms = ms;
	w->routes = routes_new(&ms->site);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	routes_read(w->routes);
	ms->site.ops->regions(ms->site.arg, &regions);
	w->nregions = regions.n;
	w->regions = xcalloc(regions.n + 1, sizeof(*w->regions));
	for (size_t i = 0; i < regions.n; i++) {
		w->regions[i].w = w;
		pthread_mutex_init(&w->regions[i].lock, NULL);
		snprintf(w->regions[i].region, sizeof(w->regions[i].region), "%s", regions.v[i]);
	}
	strlist_fini(&regions);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (size_t i = 0; i < w->nregions; i++) {
		struct region_watch *r = &w->regions[i];

		r->is_started = pthread_create(&r->thread, NULL, region_main, r) == 0;
		if (!r->is_started)
			log_msg(LOG_LEVEL_ERROR, "the migrations of region %s cannot be watched",
				r->region);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	while (!is_first_look_over(w) && clock_us() < until)
		clock_sleep(FIRST_NAP_US);
	return w;
}

void
watch_stop(struct watch *w)
{
	if (w == NULL)
		return;
	watch_wake(w);
	for (size_t i = 0; i < w->nregions; i++) {
		if (w->regions[i].is_started)
			pthread_join(w->regions[i].thread, NULL);
		pthread_mutex_destroy(&w->regions[i].lock);
	}
	routes_free(w->routes);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w->regions);
	free(w);
}
