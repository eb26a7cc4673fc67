/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/watch/patroni_asker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "routing/patroni.h"

/* Members' own addresses that are kept. */
#define LEARNED_MAX 64

struct patroni_asker {
	struct fetcher *fetcher;
	struct event timer;
	struct fetch *fetch;    /* under way, or NULL */
	struct strlist apis;    /* configured */
	struct strlist learned; /* said by members */
	struct strlist round;   /* of this round, in their order */
	size_t turn;            /* the one of the round that is asked */
	char *good;             /* which answered last; NULL: none yet */
	char *ca_file;
	int64_t interval_us, timeout_us;
	struct err why; /* what the first of the round has failed by */
	bool again;     /* asked for while a round was under way */
	patroni_heard_fn heard;
	void *arg;
};

static void
wait_for(struct patroni_asker *a, int64_t us)
{
	const struct timeval in = { .tv_sec = us / USEC_PER_SEC, .tv_usec = us % USEC_PER_SEC };

	event_add(&a->timer, &in);
}

static void
begin_round(struct patroni_asker *a)
{
	strlist_fini(&a->round);
	if (a->good != NULL)
		strlist_add(&a->round, a->good);
	for (size_t i = 0; i < a->apis.n; i++)
		strlist_add_once(&a->round, a->apis.v[i]);
	for (size_t i = 0; i < a->learned.n; i++)
		strlist_add_once(&a->round, a->learned.v[i]);
	a->turn = 0;
	a->again = false;
}

/* Members are asked in the way that the operator asks for: nothing goes from TLS to plain text. */
static void
learn(struct patroni_asker *a, const struct strlist *said)
{
	bool tls = strncmp(a->apis.v[0], "https://", 8) == 0;

	strlist_fini(&a->learned);
	for (size_t i = 0; i < said->n && a->learned.n < LEARNED_MAX; i++)
		if ((strncmp(said->v[i], "https://", 8) == 0) == tls)
			strlist_add(&a->learned, said->v[i]);
}

static void ask(struct patroni_asker *a);

static void
end_round(struct patroni_asker *a, const struct sightings *seen, const struct err *e)
{
	wait_for(a, a->again ? 0 : a->interval_us);
	a->heard(a->arg, seen, e);
}

static void
on_answer(void *arg, struct slice body, const struct err *failed)
{
	struct patroni_asker *a = arg;
	const char *of = a->round.v[a->turn];
	struct sightings seen = { 0 };
	struct strlist said = { 0 };
	struct err e = *failed;

	a->fetch = NULL;
	if (body.p != NULL && patroni_read(body, &seen, &said, &e) == 0) {
		if (a->good == NULL || strcmp(a->good, of) != 0) {
			free(a->good);
			a->good = xstrdup(of);
		}
		learn(a, &said);
		strlist_fini(&said);
		end_round(a, &seen, NULL);
		sightings_fini(&seen);
		return;
	}
	if (a->turn == 0) {
		a->why = e;
		(void)err_prefix(&a->why, "%s", of);
	}
	if (++a->turn < a->round.n)
		ask(a);
	else
		end_round(a, NULL, &a->why);
}

static void
ask(struct patroni_asker *a)
{
	char url[PATRONI_API_MAX + sizeof("/cluster")];
	struct fetch_request r = { .url = url,
				   .ca_file = a->ca_file,
				   .timeout_us = a->timeout_us,
				   .max = PATRONI_ANSWER_MAX };

	snprintf(url, sizeof(url), "%s/cluster", a->round.v[a->turn]);
	a->fetch = fetch_start(a->fetcher, &r, on_answer, a);
}

static void
patroni_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct patroni_asker *a = arg;

	(void)fd, (void)what;
	begin_round(a);
	ask(a);
}

void
patroni_asker_now(struct patroni_asker *a)
{
	if (a->fetch != NULL)
		a->again = true;
	else
		wait_for(a, 0);
}

/* Another cluster, perhaps: what the members of the one before have said does not count. */
static void
take_apis(struct patroni_asker *a, const struct strlist *apis)
{
	bool same = a->apis.n == apis->n;

	for (size_t i = 0; same && i < apis->n; i++)
		same = strcmp(a->apis.v[i], apis->v[i]) == 0;
	if (same)
		return;
	strlist_fini(&a->apis);
	strlist_copy(&a->apis, apis);
	strlist_fini(&a->learned);
	free(a->good);
	a->good = NULL;
}

void
patroni_asker_configure(struct patroni_asker *a, const struct patroni_conf *c)
{
	take_apis(a, c->apis);
	free(a->ca_file);
	a->ca_file = c->ca_file != NULL ? xstrdup(c->ca_file) : NULL;
	a->interval_us = c->interval_us;
	a->timeout_us = c->timeout_us;
	patroni_asker_now(a);
}

struct patroni_asker *
patroni_asker_new(struct fetcher *f, struct loop *l, const struct patroni_conf *c,
		  patroni_heard_fn heard, void *arg)
{
	struct patroni_asker *a = xcalloc(1, sizeof(*a));

	a->fetcher = f;
	a->heard = heard;
	a->arg = arg;
	evtimer_assign(&a->timer, loop_base(l), patroni_on_timer, a);
	patroni_asker_configure(a, c);
	return a;
}

void
patroni_asker_free(struct patroni_asker *a)
{
	if (a == NULL)
		return;
	fetch_cancel(a->fetch);
	event_del(&a->timer);
	strlist_fini(&a->apis);
	strlist_fini(&a->learned);
	strlist_fini(&a->round);
	free(a->good);
	free(a->ca_file);
	free(a);
}
