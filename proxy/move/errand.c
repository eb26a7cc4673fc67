/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/errand.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"

struct errand {
	struct refcount refs;
	struct meridian *process;
	void *what;
	void (*free_what)(void *what);
	bool (*on_worker)(struct errand *e, struct worker *w);
	bool (*on_control)(struct errand *e, struct control *c);
	pthread_mutex_t lock;
	pthread_cond_t over;
	int left; /* parts that are not over; under `lock` */
};

/* One part, under way. */
struct part {
	struct letter letter;
	struct errand *errand; /* one reference */
};

struct errand *
errand_new(struct meridian *m, void *take_what, void (*free_what)(void *what))
{
	struct errand *e = xcalloc(1, sizeof(*e));
	pthread_condattr_t attr;

	refcount_init(&e->refs);
	e->process = m;
	e->what = take_what;
	e->free_what = free_what;
	BUG_ON(pthread_mutex_init(&e->lock, NULL) != 0);
	BUG_ON(pthread_condattr_init(&attr) != 0 ||
	       pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
	       pthread_cond_init(&e->over, &attr) != 0);
	pthread_condattr_destroy(&attr);
	return e;
}

struct errand *
errand_ref(struct errand *e)
{
	refcount_get(&e->refs);
	return e;
}

void
errand_unref(struct errand *e)
{
	if (e == NULL || !refcount_put(&e->refs))
		return;
	if (e->free_what != NULL)
		e->free_what(e->what);
	pthread_cond_destroy(&e->over);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

void *
errand_what(const struct errand *e)
{
	return e->what;
}

void
errand_done(struct errand *take_e)
{
	pthread_mutex_lock(&take_e->lock);
	take_e->left--;
	pthread_cond_signal(&take_e->over);
	pthread_mutex_unlock(&take_e->lock);
	errand_unref(take_e);
}

static void
deliver_to_worker(struct letter *take_letter, void *owner)
{
	struct errand *e = ((struct part *)take_letter)->errand;

	free(take_letter);
	if (e->on_worker(e, owner))
		errand_done(e);
}

static void
deliver_to_control(struct letter *take_letter, void *owner)
{
	struct errand *e = ((struct part *)take_letter)->errand;

	free(take_letter);
	if (e->on_control(e, owner))
		errand_done(e);
}

static struct letter *
part_new(struct errand *e)
{
	struct part *p = xcalloc(1, sizeof(*p));

	p->errand = errand_ref(e);
	return &p->letter;
}

void
errand_to_workers(struct errand *e, bool (*run)(struct errand *e, struct worker *w))
{
	e->on_worker = run;
	e->left = e->process->nworkers;
	for (int i = 0; i < e->process->nworkers; i++)
		worker_post(e->process->workers[i], part_new(e), deliver_to_worker);
}

void
errand_to_control(struct errand *e, bool (*run)(struct errand *e, struct control *c))
{
	e->on_control = run;
	e->left = 1;
	control_post(e->process->control, part_new(e), deliver_to_control);
}

bool
errand_wait(struct errand *e, int64_t deadline_us)
{
	struct timespec until = { .tv_sec = deadline_us / USEC_PER_SEC,
				  .tv_nsec = deadline_us % USEC_PER_SEC * 1000 };
	bool over;

	pthread_mutex_lock(&e->lock);
	while (e->left > 0 && pthread_cond_timedwait(&e->over, &e->lock, &until) != ETIMEDOUT)
		;
	over = e->left == 0;
	pthread_mutex_unlock(&e->lock);
	return over;
}
