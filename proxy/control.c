/* SPDX-License-Identifier: PostgreSQL
 *
 * The control thread's loop: what happens, and the publication of a new world after each change.
 * What the operator said is kept in proxy/steer.c, requests of the console are carried out in
 * proxy/requests.c.
 */
#include "config.h"

#include "proxy/control_int.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proxy/net/tlsctx.h"

#define FIRST_ROUND_MAX_US (3 * USEC_PER_SEC)
#define GEO_CHECK_S        5

/* ---- worlds ---- */

/* The counters and the identity of a node outlive snapshots and reloads. */
static struct node_live *
live_of(struct control *c, const char *region, const char *name)
{
	for (unsigned i = 0; c->base != NULL && i < c->base->nnodes; i++) {
		struct node_live *l = c->base->nodes[i].live;

		if (strcmp(l->region, region) == 0 && strcmp(l->name, name) == 0)
			return node_live_ref(l);
	}
	return node_live_new(++c->last_node_id, region, name);
}

static void
add_region(struct control *c, struct topology *t, const struct conf_region *conf)
{
	uint16_t index = topology_add_region(t, conf->name);
	struct region *r = &t->regions[index];

	if (conf->has_location)
		region_set_location(r, conf->lat, conf->lon);
	r->bias = conf->bias;
	r->strict = conf->strict;
	r->export_locality = conf->export_locality;
	strlist_copy(&r->cities, &conf->cities);
	strlist_copy(&r->countries, &conf->countries);
	cidrlist_copy(&r->networks, &conf->networks);
	for (size_t i = 0; i < conf->nodes.n; i++) {
		struct slice host = slice_str(conf->nodes.v[i]);
		const char *colon = memrchr(host.p, ':', host.n);
		struct node_live *live = live_of(c, conf->name, conf->nodes.v[i]);
		char *name;
		int64_t port = 5432;

		if (colon != NULL && text_to_int(slice_str(colon + 1), 1, 65535, &port))
			host.n = (size_t)(colon - host.p);
		if (host.n > 2 && host.p[0] == '[')
			host = slice_of(host.p + 1, host.n - 2);
		name = xstrndup(host.p, host.n);
		(void)topology_add_node(t, name, (uint16_t)port, live);
		node_live_unref(live);
		free(name);
	}
}

/* What the configuration alone says: regions and nodes, nothing known of them yet. */
static struct topology *
build_base(struct control *c, const struct config *config)
{
	struct topology *t = topology_new();

	for (size_t i = 0; i < config->nregions; i++)
		add_region(c, t, &config->regions[i]);
	if (config->main.region != NULL)
		t->self_region = topology_region_by_name(t, slice_str(config->main.region));
	t->max_lag_us = config->main.max_lag;
	t->failback_delay_us = config->main.failback_delay;
	t->stale_after_us = config->main.stale_after;
	t->panic_pct = (unsigned)config->main.panic_pct;
	return t;
}

struct world *
control_make_world(struct control *c)
{
	struct topology *t = topology_dup(c->base);

	t->version = ++c->version;
	resolver_fill(c->resolver, t);
	prober_fill(c->prober, t);
	steer_fill(&c->steer, t, clock_us());
	return world_new(config_ref(c->config), t, c->geo != NULL ? geo_ref(c->geo) : NULL,
			 tlsset_ref(c->tls));
}

void
control_publish(struct control *c, bool wake)
{
	struct world *w = control_make_world(c);

	for (int i = 0; i < c->process->nworkers; i++)
		worker_publish(c->process->workers[i], world_ref(w), wake);
	world_unref(w);
}

static void
on_topology_changed(void *arg)
{
	struct control *c = arg;

	if (!c->serving) {
		if (resolver_settled(c->resolver) && prober_round_done(c->prober))
			loop_stop(c->loop);
		return;
	}
	control_publish(c, false);
	requests_on_round(c);
}

/* libpq's words for what a region's section says of TLS. */
static char *
region_conninfo(const struct conf_region *r)
{
	struct buf b = { .cap = 4096 };
	char *text;

	buf_printf(&b, "sslmode=%s", sslmode_name(r->sslmode));
	if (r->sslrootcert != NULL)
		buf_printf(&b, " sslrootcert='%s'", r->sslrootcert);
	if (r->sslcert != NULL)
		buf_printf(&b, " sslcert='%s'", r->sslcert);
	if (r->sslkey != NULL)
		buf_printf(&b, " sslkey='%s'", r->sslkey);
	text = xstrndup(b.p, b.n);
	buf_fini(&b);
	return text;
}

static void
watch(struct control *c, const struct topology *t)
{
	const struct conf_main *m = &c->config->main;
	char **regions = xcalloc(c->config->nregions, sizeof(*regions));
	struct probe_conf conf = {
		.conninfo = m->probe_conninfo,
		.region_conninfo = (const char *const *)regions,
		.health = { .rise = (unsigned)m->probe_rise,
			    .fall = (unsigned)m->probe_fall,
			    .interval_us = m->probe_interval,
			    .max_backoff_us = m->probe_max_backoff },
		.timeout_us = m->probe_timeout,
	};

	for (size_t i = 0; i < c->config->nregions; i++)
		regions[i] = region_conninfo(&c->config->regions[i]);
	prober_configure(c->prober, &conf, t);
	for (size_t i = 0; i < c->config->nregions; i++)
		free(regions[i]);
	free(regions);
}

/* The prober dials addresses, so it is told what the resolver has found. */
static void
configure_prober(struct control *c)
{
	struct topology *t = topology_dup(c->base);

	resolver_fill(c->resolver, t);
	watch(c, t);
	topology_unref(t);
}

static void
on_resolved(void *arg)
{
	struct control *c = arg;

	configure_prober(c);
	on_topology_changed(c);
}

/* Take a configuration into use; the references are ours from now on. */
static void
adopt(struct control *c, struct config *take_config, struct tlsset *take_tls, struct geo *take_geo)
{
	struct topology *base = build_base(c, take_config);

	config_unref(c->config);
	tlsset_unref(c->tls);
	topology_unref(c->base);
	c->config = take_config;
	c->tls = take_tls;
	c->base = base;
	if (take_geo != NULL || take_config->main.geoip.n == 0) {
		geo_unref(c->geo);
		c->geo = take_geo;
	}
	log_set_level((enum log_level)take_config->main.log_level);
	resolver_configure(c->resolver, base, take_config->main.dns_max_ttl);
	configure_prober(c);
}

static bool
same_listeners(const struct config *a, const struct config *b)
{
	if (a->nlisteners != b->nlisteners)
		return false;
	for (size_t i = 0; i < a->nlisteners; i++) {
		if (strcmp(a->listeners[i].name, b->listeners[i].name) != 0)
			return false;
	}
	return true;
}

static void
log_diff(const struct config *from, const struct config *to)
{
	struct buf text = { .cap = 64 * 1024 };
	struct slice rest;

	(void)config_diff(from, to, &text);
	for (rest = buf_view(&text); rest.n > 0;) {
		struct slice line = slice_cut(&rest, '\n');

		if (line.n > 0)
			log_msg(LOG_LEVEL_INFO, "configuration: %.*s", (int)line.n, line.p);
	}
	buf_fini(&text);
}

int
control_adopt(struct control *c, struct config *take_config, struct err *e)
{
	struct tlsset *tls;
	struct geo *geo;
	struct err geo_err = { 0 };

	if (!same_listeners(c->config, take_config)) {
		config_unref(take_config);
		return err_set(e, "55P02",
			       "listeners cannot be added or removed without a restart");
	}
	tls = tlsset_build(take_config, e);
	if (tls == NULL) {
		config_unref(take_config);
		return -1;
	}
	geo = geo_open(&take_config->main.geoip, &geo_err);
	if (geo == NULL && geo_err.msg[0] != '\0')
		log_msg(LOG_LEVEL_WARNING, "keeping the GeoIP databases in use: %s", geo_err.msg);
	log_diff(c->config, take_config);
	take_config->version = c->config->version + 1;
	adopt(c, take_config, tls, geo);
	control_publish(c, true);
	return 0;
}

int
control_reload(struct control *c, struct err *e)
{
	struct config *fresh;
	int r = -1;

	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_us());
	fresh = config_load(c->args, e);
	if (fresh != NULL)
		r = control_adopt(c, fresh, e);
	if (r == 0)
		log_msg(LOG_LEVEL_INFO, "configuration reloaded");
	else
		log_msg(LOG_LEVEL_ERROR, "reload failed, the running configuration stays: %s",
			e->msg);
	(void)sd_notify(0, "READY=1");
	return r;
}

/* A GeoIP file was replaced (by rename): open it anew; what does not open leaves the old one. */
static void
control_on_geo_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct geo *geo;
	struct err e = { 0 };

	(void)fd;
	(void)what;
	if (c->geo == NULL || !geo_changed(c->geo, &c->config->main.geoip))
		return;
	geo = geo_open(&c->config->main.geoip, &e);
	if (geo == NULL) {
		log_msg(LOG_LEVEL_WARNING, "keeping the GeoIP databases in use: %s", e.msg);
		return;
	}
	log_msg(LOG_LEVEL_INFO, "GeoIP databases replaced");
	geo_unref(c->geo);
	c->geo = geo;
	control_publish(c, false);
}

/* ---- signals ---- */

static void
dump_state(struct control *c)
{
	struct world *w = control_make_world(c);
	const struct topology *t = w->topology;

	for (int i = 0; i < c->process->nworkers; i++)
		log_msg(LOG_LEVEL_INFO, "state: worker=%d sessions=%u", i + 1,
			worker_nsessions(c->process->workers[i]));
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];

		log_msg(LOG_LEVEL_INFO,
			"state: region=%s node=%s state=%s role=%s sessions=%u rtt_ms=%.3f%s%s",
			t->regions[n->region].name, n->name, node_state_name(n->state),
			node_role_name(n->role), atomic_load(&n->live->sessions),
			(double)n->rtt_us / 1000, n->reason[0] != '\0' ? " reason=" : "",
			n->reason);
	}
	world_unref(w);
}

void
control_shutdown(struct control *c, bool drain_idle, int64_t grace_us)
{
	(void)sd_notify(0, "STOPPING=1");
	c->stopping++;
	for (int i = 0; i < c->process->nworkers; i++)
		worker_drain(c->process->workers[i], drain_idle, grace_us);
}

static void
on_worker_done(struct letter *letter, void *owner)
{
	struct control *c = owner;

	free(letter);
	if (++c->workers_done == c->process->nworkers)
		loop_stop(c->loop);
}

void
control_worker_done(struct control *c)
{
	mailbox_post(c->mail, xcalloc(1, sizeof(struct letter)), on_worker_done);
}

static void
control_on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	int64_t grace = c->config->main.shutdown_timeout;
	struct err e;

	(void)what;
	switch (fd) {
	case SIGHUP:
		(void)control_reload(c, &e);
		break;
	case SIGUSR1:
		dump_state(c);
		break;
	case SIGTERM:
	case SIGINT:
		/* drain: idle sessions now, the others as they become idle; a second signal ends
		 * them */
		log_msg(LOG_LEVEL_INFO, "%s: draining", fd == SIGTERM ? "SIGTERM" : "SIGINT");
		control_shutdown(c, true, c->stopping > 0 ? 0 : grace > 0 ? grace : -1);
		break;
	default:
		log_msg(LOG_LEVEL_INFO, "SIGQUIT: ending all sessions");
		control_shutdown(c, true, 0);
		break;
	}
}

/* ---- letters of workers ---- */

struct node_letter {
	struct letter letter;
	uint32_t node_id;
	struct control_lesson lesson;
	char reason[128];
};

static void
on_evidence(struct letter *letter, void *owner)
{
	struct node_letter *l = (struct node_letter *)letter;
	struct control *c = owner;

	prober_evidence(c->prober, l->node_id, l->reason);
	free(l);
}

static void
on_learned(struct letter *letter, void *owner)
{
	struct node_letter *l = (struct node_letter *)letter;
	struct control *c = owner;
	struct probe_learned said = { l->lesson.in_hot_standby, l->lesson.read_only,
				      l->lesson.server_version != 0 ? l->lesson.server_version : -1,
				      KIND_UNKNOWN };

	prober_learned(c->prober, l->node_id, &said);
	free(l);
}

void
control_evidence(struct control *c, uint32_t node_id, const char *reason)
{
	struct node_letter *l = xcalloc(1, sizeof(*l));

	l->node_id = node_id;
	(void)text_copy(l->reason, sizeof(l->reason), slice_str(reason));
	mailbox_post(c->mail, &l->letter, on_evidence);
}

void
control_learned(struct control *c, uint32_t node_id, const struct control_lesson *lesson)
{
	struct node_letter *l = xcalloc(1, sizeof(*l));

	l->node_id = node_id;
	l->lesson = *lesson;
	mailbox_post(c->mail, &l->letter, on_learned);
}

/* ---- life ---- */

struct control *
control_new(struct meridian *process, const struct config_args *args, struct config *take_config,
	    struct err *e)
{
	struct control *c = xcalloc(1, sizeof(*c));
	struct tlsset *tls = tlsset_build(take_config, e);
	struct geo *geo = NULL;

	e->msg[0] = tls != NULL ? '\0' : e->msg[0];
	if (tls != NULL)
		geo = geo_open(&take_config->main.geoip, e);
	if (tls == NULL || (geo == NULL && e->msg[0] != '\0')) {
		tlsset_unref(tls);
		config_unref(take_config);
		free(c);
		return NULL;
	}
	c->process = process;
	c->args = args;
	c->loop = loop_new();
	c->mail = mailbox_new(c->loop, c);
	c->prober = prober_new(c->loop, on_topology_changed, c);
	c->resolver = resolver_new(c->loop, on_resolved, c);
	steer_init(&c->steer, c);
	adopt(c, take_config, tls, geo);
	return c;
}

static void
control_on_first_round_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	loop_stop(c->loop);
}

/* So that the first session finds nodes that are known: one round of probes, bounded. */
void
control_look_around(struct control *c)
{
	const struct timeval limit = { .tv_sec = FIRST_ROUND_MAX_US / USEC_PER_SEC };
	struct event timer;

	if (resolver_settled(c->resolver) && prober_round_done(c->prober))
		return;
	evtimer_assign(&timer, loop_base(c->loop), control_on_first_round_timer, c);
	event_add(&timer, &limit);
	loop_run(c->loop);
	event_del(&timer);
}

void
control_run(struct control *c)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 };
	static const struct timeval geo_every = { .tv_sec = GEO_CHECK_S };
	struct event ev[sizeof(signals) / sizeof(signals[0])], geo_timer;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		evsignal_assign(&ev[i], loop_base(c->loop), signals[i], control_on_signal, c);
		event_add(&ev[i], NULL);
	}
	event_assign(&geo_timer, loop_base(c->loop), -1, EV_PERSIST, control_on_geo_timer, c);
	if (c->config->main.geoip.n > 0)
		event_add(&geo_timer, &geo_every);
	c->serving = true;
	(void)sd_notify(0, "READY=1");
	/* until the last worker is done: while they drain, a second signal ends what is left */
	loop_run(c->loop);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		event_del(&ev[i]);
	event_del(&geo_timer);
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	mailbox_free(c->mail);
	prober_free(c->prober);
	resolver_free(c->resolver);
	steer_fini(&c->steer);
	requests_fini(c);
	loop_free(c->loop);
	topology_unref(c->base);
	config_unref(c->config);
	tlsset_unref(c->tls);
	geo_unref(c->geo);
	free(c);
}
