/* SPDX-License-Identifier: PostgreSQL
 *
 * Taking a configuration into use, at the start, by reload and by SET: the base topology that it
 * describes, TLS contexts, GeoIP files, and what the prober and the resolver watch. A configuration
 * that cannot be used changes nothing (INV-18).
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/authcache.h"
#include "proxy/config/conninfo.h"
#include "proxy/control_int.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/fleet.h"
#include "routing/places.h"

/* The longest that the control thread waits for new names of a reload to be resolved. */
#define RESOLVE_MAX_US (USEC_PER_SEC / 2)

struct node_live *
control_node_live(struct control *c, const char *region, const char *name)
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
	strlist_copy(&r->endpoints, &conf->endpoints);
	for (size_t i = 0; i < conf->nodes.n; i++) {
		struct node_live *live = control_node_live(c, conf->name, conf->nodes.v[i]);
		uint16_t port;
		char *host = node_name_host(conf->nodes.v[i], &port);

		topology_add_node(t, host, port, live)->discover = discover_bits(&conf->discover);
		node_live_unref(live);
		free(host);
	}
}

/* Regions and nodes as the configuration names them, with no facts about them yet. */
static struct topology *
build_base(struct control *c, const struct config *config)
{
	struct topology *t = topology_new();

	for (size_t i = 0; i < config->nregions; i++) {
		add_region(c, t, &config->regions[i]);
		discovery_add_nodes(c, config, t);
	}
	/* a configured one, or the one nearest to a cloud region that is not configured */
	t->self_region =
	    config->main.region != NULL ? topology_region_near(t, config->main.region) : -1;
	t->max_lag_us = config->main.max_lag;
	t->failback_delay_us = config->main.failback_delay;
	t->stale_after_us = config->main.stale_after;
	t->panic_pct = (unsigned)config->main.panic_pct;
	return t;
}

static void
watch(struct control *c, const struct topology *t)
{
	const struct conf_main *m = &c->config->main;
	char **regions = xcalloc(c->config->nregions, sizeof(*regions));
	struct probe_conf conf = {
		.conninfo = m->probe_conninfo,
		.region_conninfo = (const char *const *)regions,
		.discover_interval_us = m->discover_interval,
		.health = { .rise = (unsigned)m->probe_rise,
			    .fall = (unsigned)m->probe_fall,
			    .interval_us = m->probe_interval,
			    .max_backoff_us = m->probe_max_backoff },
		.timeout_us = m->probe_timeout,
	};

	for (size_t i = 0; i < c->config->nregions; i++)
		regions[i] = conninfo_of_region(&c->config->regions[i]);
	prober_configure(c->prober, &conf, t);
	for (size_t i = 0; i < c->config->nregions; i++)
		free(regions[i]);
	free(regions);
}

/* The prober dials addresses: give it those that the resolver has found. */
void
control_watch(struct control *c)
{
	topology_unref(c->resolved);
	c->resolved = topology_dup(c->base);
	resolver_fill(c->resolver, c->resolved);
	watch(c, c->resolved);
}

/* The other proxies; peers that stay keep their counters. */
static void
take_fleet(struct control *c, const struct conf_main *conf)
{
	struct fleet *fresh =
	    conf->peers.n > 0 ? fleet_new(&conf->peers, c->fleet, &c->last_node_id) : NULL;
	struct topology *nodes = fresh != NULL ? topology_ref(fresh->nodes) : topology_new();

	fleet_unref(c->fleet);
	c->fleet = fresh;
	resolver_configure(c->fleet_resolver, nodes, conf->dns_max_ttl);
	topology_unref(nodes);
}

void
control_rebase(struct control *c)
{
	struct topology *base = build_base(c, c->config);

	topology_unref(c->base);
	c->base = base;
	discovery_watch(c);
	resolver_configure(c->resolver, base, c->config->main.dns_max_ttl);
	control_watch(c);
	if (c->serving)
		control_publish(c, false);
}

/* Take a configuration into use; takes the references. */
void
control_take(struct control *c, struct config *take_config, struct tlsset *take_tls,
	     struct geo *take_geo)
{
	struct topology *base = build_base(c, take_config);

	config_unref(c->config);
	tlsset_unref(c->tls);
	topology_unref(c->base);
	c->config = take_config;
	c->tls = take_tls;
	c->base = base;
	patroni_watch(c);
	discovery_watch(c);
	if (take_geo != NULL || take_config->main.geoip.n == 0) {
		geo_unref(c->geo);
		c->geo = take_geo;
	}
	if (c->serving)
		datafiles_watch(c);
	log_set_level((enum log_level)take_config->main.log_level);
	resolver_configure(c->resolver, base, take_config->main.dns_max_ttl);
	take_fleet(c, &take_config->main);
	/* so that sessions right after the reload usually find new names resolved */
	if (c->serving)
		resolver_wait(c->resolver, RESOLVE_MAX_US);
	control_watch(c);
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
log_lines(enum log_level level, struct slice lines)
{
	while (lines.n > 0) {
		struct slice line = slice_cut(&lines, '\n');

		if (line.n > 0)
			log_msg(level, "configuration: %.*s", (int)line.n, line.p);
	}
}

static void
summarize(size_t changed, size_t waiting, struct err *said)
{
	const char *verb = waiting == 1 ? "waits" : "wait";
	char first[64] = "no setting has changed";

	if (changed > 0)
		snprintf(first, sizeof(first), "%zu setting%s changed", changed,
			 changed == 1 ? " has" : "s have");
	err_set(said, SQLSTATE_SUCCESS, "%s", first);
	if (waiting > 0)
		err_set(said, SQLSTATE_SUCCESS, "%s, %zu %s for a restart", first, waiting, verb);
}

/* Which settings have changed, and which of all changes need a restart: to the log, and to the
 * caller (`said`; NULL: it does not ask). */
static void
tell_changes(const struct control *c, const struct config *to, struct err *said)
{
	struct buf now = { .cap = 64 * 1024 }, later = { .cap = 64 * 1024 };
	size_t changed = config_diff(c->config, to, DIFF_APPLIED, &now), waiting;

	log_lines(LOG_LEVEL_INFO, buf_view(&now));
	if (said != NULL) {
		waiting = config_diff(c->begun, to, DIFF_PENDING, &later);
		log_lines(LOG_LEVEL_WARNING, buf_view(&later));
		summarize(changed, waiting, said);
		buf_slice(&now, buf_view(&later));
		if (now.n > 0) /* without its last line feed */
			err_detail(said, "%.*s", (int)(now.n - 1), now.p);
		if (now.n > sizeof(said->detail))
			err_hint(said, "There are more: the log has all of them.");
	}
	buf_fini(&now);
	buf_fini(&later);
}

int
control_adopt(struct control *c, struct config *take_config, struct err *said, struct err *e)
{
	struct tlsset *tls;
	struct geo *geo;
	struct err geo_err = { 0 };
	struct buf lines = { .cap = 64 * 1024 };

	if (!same_listeners(c->config, take_config)) {
		(void)config_diff(c->config, take_config, DIFF_PENDING, &lines);
		err_set(e, "55P02", "listeners cannot be added or removed without a restart");
		if (lines.n > 0)
			err_detail(e, "%.*s", (int)(lines.n - 1), lines.p);
		buf_fini(&lines);
		(void)err_hint(e, "Restart the proxy, or leave the listeners as they were.");
		config_unref(take_config);
		return -1;
	}
	tls = tlsset_build(take_config, e);
	if (tls == NULL) {
		config_unref(take_config);
		return -1;
	}
	geo = geo_open(&take_config->main.geoip, &geo_err);
	if (geo == NULL && geo_err.msg[0] != '\0')
		log_msg(LOG_LEVEL_WARNING, "%s: %s",
			c->geo != NULL ? "keeping the GeoIP databases in use"
				       : "no GeoIP database is in use",
			geo_err.msg);
	tell_changes(c, take_config, said);
	roster_believe(c->roster);
	take_config->version = c->config->version + 1;
	control_take(c, take_config, tls, geo);
	c->gazetteer_complaint[0] = '\0'; /* so that what still does not open is logged again */
	(void)datafiles_take_gazetteer(c);
	/* a user that was locked out at the nodes is locked out here at once */
	authcache_sweep(c->process->authcache, 0, clock_us());
	descriptors_warn(c->process->descriptors, take_config);
	control_publish(c, true);
	return 0;
}

int
control_reload(struct control *c, struct err *said, struct err *e)
{
	struct config *fresh;
	char word[64];
	int r = -1;

	snprintf(word, sizeof(word), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_us());
	notifier_say(c->notifier, word);
	/* reading a configuration that allows more descriptors needs one or two */
	descriptors_make_room(c->process->descriptors);
	fresh = config_load(c->args, e);
	if (fresh != NULL)
		r = control_adopt(c, fresh, said, e);
	descriptors_refill(c->process->descriptors);
	if (r == 0) {
		log_msg(LOG_LEVEL_INFO, "configuration reloaded: %s", said->msg);
	} else {
		log_msg(LOG_LEVEL_ERROR, "reload failed, the running configuration stays: %s",
			e->msg);
		log_lines(LOG_LEVEL_ERROR, slice_str(e->detail));
		log_lines(LOG_LEVEL_ERROR, slice_str(e->hint));
	}
	notifier_say(c->notifier, "READY=1");
	return r;
}
