/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/ev/loop.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"

/* Work for the end of the turn. */
struct deferred {
	struct deferred *next;
	loop_fn fn;
	void *arg;
};

/* As many are kept for the next turns. */
#define SPARE_MAX 64

struct loop {
	struct event_base *base;
	struct deferred *first, **last;
	struct deferred *spare;
	unsigned nspare;
	uint64_t turns;
	int64_t now_us; /* of this turn; 0: it was not read yet */
	bool stop;
};

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct event_config *cfg = event_config_new();

	BUG_ON(cfg == NULL);
	/* one thread per base: no locks; milliseconds from the vdso are precise enough */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	BUG_ON(l->base == NULL);
	l->last = &l->first;
	return l;
}

static HOT void
run_deferred(struct loop *l)
{
	struct deferred *d;

	while ((d = l->first) != NULL) {
		l->first = d->next;
		if (l->first == NULL)
			l->last = &l->first;
		d->fn(d->arg);
		if (l->nspare == SPARE_MAX) {
			free(d);
			continue;
		}
		d->next = l->spare;
		l->spare = d;
		l->nspare++;
	}
}

void
loop_free(struct loop *l)
{
	struct deferred *d;

	if (l == NULL)
		return;
	run_deferred(l);
	event_base_free(l->base);
	while ((d = l->spare) != NULL) {
		l->spare = d->next;
		free(d);
	}
	free(l);
}

HOT struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

HOT uint64_t
loop_turn(const struct loop *l)
{
	return l->turns;
}

HOT void
loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop) {
		run_deferred(l);
		l->turns++;
		l->now_us = 0;
		if (event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) < 0)
			break;
	}
	run_deferred(l);
}

void
loop_poll(struct loop *l)
{
	l->now_us = 0;
	(void)event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	run_deferred(l);
}

HOT int64_t
loop_now_us(struct loop *l)
{
	if (l->now_us == 0)
		l->now_us = clock_us();
	return l->now_us;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
	event_base_loopbreak(l->base);
}

HOT void
loop_defer(struct loop *l, loop_fn fn, void *arg)
{
	struct deferred *d = l->spare;

	if (d == NULL) {
		d = xmalloc(sizeof(*d));
	} else {
		l->spare = d->next;
		l->nspare--;
	}
	*d = (struct deferred){ .fn = fn, .arg = arg };
	*l->last = d;
	l->last = &d->next;
}

void
loop_again(struct event *ev, short what)
{
	event_active(ev, what, 0);
	/* it is the last in the queue, but only of what is known: end the turn, that more may be */
	event_base_loopbreak(event_get_base(ev));
}
