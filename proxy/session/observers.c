/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/observers.h"

#include <limits.h>

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/observers_int.h"
#include "proxy/sqlstate/fingerprints.h"
#include "proxy/sqlstate/sampler.h"
#include "proxy/sqlstate/traces.h"

HOT void
session_observe(struct session *s, enum observer_id id, bool on)
{
	unsigned bit = 1u << id;

	s->observers = (uint8_t)(on ? s->observers | bit : s->observers & ~bit);
}

/* From the last to the first: in front of *at. */
static HOT const struct observer *
previous(const struct session *s, unsigned *at)
{
	unsigned left = session_observers_of(s) & ((1u << *at) - 1);

	if (left == 0)
		return NULL;
	*at = (unsigned)(sizeof(left) * CHAR_BIT - 1) - (unsigned)__builtin_clz(left);
	return session_observers[*at];
}

#define ASK_BACKWARDS(hook)                                                      \
	do {                                                                     \
		const struct observer *o;                                        \
		for (unsigned at = OBSERVERS; (o = previous(s, &at)) != NULL;) { \
			if (o->hook != NULL)                                     \
				o->hook(s);                                      \
		}                                                                \
	} while (0)

const char *
observers_doing(const struct session *s)
{
	const struct observer *o;
	const char *doing = NULL;

	for (unsigned at = OBSERVERS; doing == NULL && (o = previous(s, &at)) != NULL;) {
		if (o->doing != NULL)
			doing = o->doing(s);
	}
	return doing;
}

bool
observers_wait(const struct session *s)
{
	const struct observer *o;
	bool waits = false;

	for (unsigned at = 0; !waits && (o = observers_next(s, HOOK_ANY, &at)) != NULL;)
		waits = o->waits != NULL && o->waits(s);
	return waits;
}

bool
observers_explain_wait(const struct session *s, struct err *e)
{
	const struct observer *o;
	bool explained = false;

	for (unsigned at = 0; !explained && (o = observers_next(s, HOOK_ANY, &at)) != NULL;)
		explained = o->explain_wait != NULL && o->explain_wait(s, e);
	return explained;
}

const struct node_live *
observers_place(const struct session *s)
{
	const struct node_live *place = NULL;
	const struct observer *o;

	for (unsigned at = 0; place == NULL && (o = observers_next(s, HOOK_ANY, &at)) != NULL;) {
		if (o->place != NULL)
			place = o->place(s);
	}
	return place;
}

HOT void
observers_end(struct session *s)
{
	ASK_BACKWARDS(on_end);
}

HOT void
observers_server_gone(struct session *s)
{
	ASK_BACKWARDS(on_server_gone);
}

HOT void
observers_release(struct session *s)
{
	ASK_BACKWARDS(release);
}

/* ---- the observers of proxy/sqlstate, which knows no session ---- */

HOT void
session_do_not_sample(struct session *s)
{
	sampler_free(s->sampler);
	s->sampler = NULL;
	session_observe(s, OBSERVER_SAMPLER, false);
}

HOT void
session_sample(struct session *s, const struct conf_database *db)
{
	struct worker *w = s->worker;

	session_do_not_sample(s);
	if (db->statement_sample > 0 && s->exchange.replication == REPLICATION_NONE) {
		if (w->fingerprints == NULL)
			w->fingerprints = fingerprints_new(clock_us());
		s->sampler = sampler_new(w->fingerprints, session_prepared(s),
					 db->dbname != NULL ? slice_str(db->dbname)
							    : session_name(s, NAME_DATABASE),
					 (unsigned)db->statement_sample);
	}
	session_observe(s, OBSERVER_SAMPLER, s->sampler != NULL);
}

HOT void
session_trace(struct session *s, struct slice packet)
{
	s->traces = traces_new(packet);
	session_observe(s, OBSERVER_TRACES, true);
}

static bool
sampler_on_client(struct session *s, const char **p, size_t *n)
{
	sampler_client(s->sampler, slice_of(*p, *n));
	return true;
}

static bool
sampler_passes(struct session *s, const struct answer *a)
{
	if ((a->events & EXCHANGE_READY) && exchange_pending(&s->exchange) == 0)
		sampler_answered(s->sampler);
	return true;
}

const struct observer sampler_observer = {
	.name = "sampler",
	.on_client = sampler_on_client,
	.passes = sampler_passes,
	.release = session_do_not_sample,
};

static bool
traces_on_client(struct session *s, const char **p, size_t *n)
{
	traces_client(s->traces, &s->exchange, *p, *n);
	return true;
}

static void
traces_on_server_read(struct session *s, const struct answer *a)
{
	if (a->events & EXCHANGE_COPY)
		traces_copy(s->traces, &s->exchange);
}

static HOT void
traces_release(struct session *s)
{
	traces_free(s->traces);
	s->traces = NULL;
	session_observe(s, OBSERVER_TRACES, false);
}

const struct observer traces_observer = {
	.name = "traces",
	.on_client = traces_on_client,
	.on_server_read = traces_on_server_read,
	.release = traces_release,
};
