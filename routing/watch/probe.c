/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/watch/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "routing/watch/probe_int.h"

/* Snapshots are published at most this often; mere samples wait longer. */
#define PUBLISH_GAP_US     (100 * USEC_PER_MSEC)
#define PUBLISH_SAMPLES_US (1 * USEC_PER_SEC)

static void
describe_watch(const void *about, struct buf *b)
{
	const struct watch *w = about;

	buf_printf(b, " node=%s", w->name);
	if (w->reason[0] != '\0') {
		buf_str(b, " reason=");
		text_put_safe(b, slice_str(w->reason), sizeof(w->reason));
	}
}

struct log_subject
watch_subject(const struct watch *w)
{
	return (struct log_subject){ describe_watch, w };
}

/* ---- publication ---- */

bool
prober_round_done(const struct prober *p)
{
	for (size_t i = 0; i < p->nwatches; i++)
		if (!p->watches[i]->answered)
			return false;
	return true;
}

static void
publish_at(struct prober *p, int64_t now_us, int64_t at_us)
{
	struct timeval tv;

	if (at_us < p->published_at_us + PUBLISH_GAP_US)
		at_us = p->published_at_us + PUBLISH_GAP_US;
	if (p->publish_at_us != 0 && p->publish_at_us <= at_us)
		return;
	p->publish_at_us = at_us;
	at_us = at_us > now_us ? at_us - now_us : 0;
	tv = (struct timeval){ at_us / USEC_PER_SEC, at_us % USEC_PER_SEC };
	event_del(&p->publish);
	event_add(&p->publish, &tv);
}

void
prober_note(struct prober *p, enum probe_news news)
{
	int64_t now_us = clock_us(), wait_us = p->health.interval_us / 4;

	if (wait_us > PUBLISH_SAMPLES_US)
		wait_us = PUBLISH_SAMPLES_US;
	if (news == NEWS_CHANGE)
		wait_us = PUBLISH_GAP_US / 2;
	if (!p->round_told && prober_round_done(p)) {
		p->round_told = true;
		publish_at(p, now_us, now_us);
	}
	publish_at(p, now_us, now_us + wait_us);
}

static void
prober_on_publish(evutil_socket_t fd, short what, void *arg)
{
	struct prober *p = arg;

	(void)fd, (void)what;
	p->publish_at_us = 0;
	p->published_at_us = clock_us();
	p->changed(p->arg);
}

/* ---- life ---- */

struct prober *
prober_new(struct loop *l, prober_changed_fn changed, void *arg)
{
	struct prober *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->changed = changed;
	p->arg = arg;
	p->dice = (uint64_t)clock_us() | 1;
	event_assign(&p->publish, loop_base(l), -1, 0, prober_on_publish, p);
	return p;
}

void
prober_on_discovered(struct prober *p, prober_discovered_fn discovered)
{
	p->discovered = discovered;
}

void
prober_free(struct prober *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->nwatches; i++)
		watch_free(p->watches[i]);
	event_del(&p->publish);
	free(p->watches);
	free(p->conninfo);
	free(p);
}

/* ---- what to watch ---- */

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

static void
set_text(char **to, const char *text)
{
	free(*to);
	*to = text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
}

static struct watch *
find_watch(const struct prober *p, uint32_t id)
{
	for (size_t i = 0; i < p->nwatches; i++)
		if (p->watches[i]->id == id)
			return p->watches[i];
	return NULL;
}

static bool
same_addresses(const struct watch *w, const struct node *n)
{
	if (w->naddrs != n->naddrs)
		return false;
	for (unsigned i = 0; i < n->naddrs; i++)
		if (!addr_same_ip(&w->addrs[i], &n->addrs[i]))
			return false;
	return true;
}

/* Tell a watch what is configured about its node; a kept connection survives where nothing that it
 * was made from has changed. */
static void
tell(struct watch *w, const struct node *n, const char *words, bool conninfo_changed)
{
	bool moved = !same_addresses(w, n);
	bool had_none = w->naddrs == 0;
	char *old = w->region_words;

	w->region_words = NULL;
	set_text(&w->region_words, words);
	if (moved) {
		memcpy(w->addrs, n->addrs, sizeof(w->addrs));
		w->naddrs = n->naddrs;
	}
	if ((moved && !had_none) || conninfo_changed || !same_text(old, w->region_words))
		watch_forget_connection(w);
	free(old);
	watch_resume(w);
}

/* What it is to be asked has changed: it is asked with its next probe. */
static void
tell_discover(struct watch *w, unsigned discover)
{
	if (w->discover != discover)
		w->discovered_us = 0;
	w->discover = discover;
}

void
prober_configure(struct prober *p, const struct probe_conf *c, const struct topology *t)
{
	const char *conninfo = c->conninfo != NULL && c->conninfo[0] != '\0' ? c->conninfo : NULL;
	bool conninfo_changed = !same_text(p->conninfo, conninfo);
	bool pace_changed = p->health.interval_us != c->health.interval_us;
	struct watch **fresh = xcalloc(t->nnodes + 1U, sizeof(struct watch *));

	set_text(&p->conninfo, conninfo);
	p->health = c->health;
	p->timeout_us = c->timeout_us;
	p->discover_interval_us = c->discover_interval_us;
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];
		const char *words =
		    c->region_conninfo != NULL ? c->region_conninfo[n->region] : NULL;
		struct watch *w = find_watch(p, n->live->id);

		fresh[i] = w != NULL ? w : watch_new(p, n);
		tell(fresh[i], n, words, w != NULL && conninfo_changed);
		tell_discover(fresh[i], n->discover);
	}
	for (size_t i = 0; i < p->nwatches; i++)
		p->watches[i]->stays = false;
	for (unsigned i = 0; i < t->nnodes; i++)
		fresh[i]->stays = true;
	for (size_t i = 0; i < p->nwatches; i++)
		if (!p->watches[i]->stays)
			watch_free(p->watches[i]);
	free(p->watches);
	p->watches = fresh;
	p->nwatches = t->nnodes;
	p->round_told = p->round_told && prober_round_done(p);
	for (size_t i = 0; pace_changed && i < p->nwatches; i++)
		watch_soon(p->watches[i]);
}

/* ---- what others tell ---- */

void
prober_evidence(struct prober *p, uint32_t live_id, const char *why)
{
	struct watch *w = find_watch(p, live_id);

	if (w == NULL || w->health.state == NODE_DOWN)
		return;
	if (health_evidence(&w->health, clock_us())) {
		snprintf(w->reason, sizeof(w->reason), "a session could not be opened: %s", why);
		log_limited(LOG_LEVEL_WARNING, watch_subject(w), "node is suspect");
		prober_note(p, NEWS_CHANGE);
	}
	/* the session could not be opened: a connection that stands says nothing of that */
	if (w->state == WATCH_WAITING)
		watch_drop_connection(w);
	watch_soon(w);
}

void
prober_look(struct prober *p, uint32_t live_id)
{
	struct watch *w = find_watch(p, live_id);

	if (w == NULL)
		return;
	watch_soon(w);
	if (facts_is_primary(w))
		watch_hurry(w);
}

void
prober_learned(struct prober *p, uint32_t live_id, const struct probe_learned *said)
{
	struct watch *w = find_watch(p, live_id);
	int64_t now_us = clock_us();
	struct probe_learned was;
	enum node_role before;
	bool changed;

	if (w == NULL)
		return;
	before = facts_role(w, now_us);
	was = w->said;
	/* a login tells one thing at a time: what this one does not say stays as it was, unless the
	 * node has been down since */
	if (w->said_at_us == 0)
		w->said = (struct probe_learned){ -1, -1, 0, KIND_UNKNOWN };
	if (said->in_hot_standby >= 0)
		w->said.in_hot_standby = said->in_hot_standby;
	if (said->read_only >= 0)
		w->said.read_only = said->read_only;
	if (said->server_version > 0)
		w->said.server_version = said->server_version;
	if (said->kind != KIND_UNKNOWN)
		w->said.kind = said->kind;
	changed = w->said.read_only != was.read_only || w->said.kind != was.kind ||
		  w->said.server_version != was.server_version;
	w->said_at_us = now_us;
	if (facts_role(w, now_us) != before) {
		changed = true;
		if (p->conninfo != NULL)
			watch_soon(w);
	}
	if (changed)
		prober_note(p, NEWS_CHANGE);
}

void
prober_probe_now(struct prober *p)
{
	p->round_told = false;
	for (size_t i = 0; i < p->nwatches; i++) {
		p->watches[i]->answered = false;
		watch_soon(p->watches[i]);
	}
	if (p->nwatches == 0)
		prober_note(p, NEWS_CHANGE);
}

/* ---- what it knows ---- */

static void
fill_node(const struct watch *w, struct node *n, int64_t now_us)
{
	const struct probe_facts *f = &w->facts;
	bool by_login = w->said_at_us > f->at_us;
	int64_t age_us = w->health.last_good_us - f->at_us;

	n->state = w->health.state;
	n->rtt_us = w->health.rtt_us;
	n->connect_us = w->health.connect_us;
	n->sampled_at_us = w->health.last_good_us;
	n->up_since_us = w->health.up_since_us;
	n->role = facts_role(w, now_us);
	n->kind = f->kind != KIND_UNKNOWN ? f->kind : w->said.kind;
	n->probed = f->at_us != 0 && w->prober->conninfo != NULL;
	n->read_only = by_login && w->said.read_only >= 0 ? w->said.read_only != 0 : f->read_only;
	n->server_version = f->server_version > 0        ? f->server_version
			    : w->said.server_version > 0 ? w->said.server_version
							 : 0;
	n->timeline = f->timeline;
	n->system_id = f->system_id;
	n->ends = w->ends;
	n->lsn = f->lsn;
	n->max_connections = f->max_connections;
	n->used_connections = f->used_connections;
	n->lag_bytes = n->role == ROLE_STANDBY ? w->lag.bytes : n->role == ROLE_UNKNOWN ? -1 : 0;
	n->lag_us = n->role == ROLE_STANDBY ? w->lag.us : n->role == ROLE_UNKNOWN ? -1 : 0;
	/* it answers, but what it told of its lag is older than that */
	if (n->role == ROLE_STANDBY && n->lag_us >= 0 && age_us > 0)
		n->lag_us += age_us;
	if (w->reason[0] == '\0' && w->twin != 0)
		snprintf(n->reason, sizeof(n->reason), "left behind by a fail-over to timeline %u",
			 w->twin);
	else
		snprintf(n->reason, sizeof(n->reason), "%s", w->reason);
}

void
prober_fill(const struct prober *p, struct topology *t)
{
	int64_t now_us = clock_us();

	for (unsigned i = 0; i < t->nnodes; i++) {
		struct node *n = &t->nodes[i];
		const struct watch *w = i < p->nwatches && p->watches[i]->id == n->live->id
					    ? p->watches[i]
					    : find_watch(p, n->live->id);

		if (w != NULL)
			fill_node(w, n, now_us);
	}
}
