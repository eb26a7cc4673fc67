/* SPDX-License-Identifier: PostgreSQL
 *
 * Discovery, on the control thread: what nodes say of others goes from the prober into the roster,
 * and from there into the topology's base. Which node is used when is the roster's decision.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/control_int.h"
#include "routing/roster.h"

/* How often what is missing or gone is looked at, while there is anything that was discovered. */
#define ROSTER_TICK_US USEC_PER_SEC

/* ---- changes ---- */

static void
roster_changed(struct control *c)
{
	static const struct timeval now = { 0 }, tick = { .tv_sec = ROSTER_TICK_US / USEC_PER_SEC };

	roster_unref(c->shown);
	c->shown = NULL;
	event_add(&c->discovery_timer, &now);
	event_add(&c->roster_timer, &tick);
}

static void
discovery_on_changed(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	control_rebase(arg);
}

static struct roster_conf
roster_conf(const struct control *c)
{
	const struct conf_main *m = &c->config->main;

	return (struct roster_conf){ (unsigned)m->discover_min_keep, m->discover_grace };
}

static bool
has_sessions(void *arg, const struct found_node *f)
{
	const struct control *c = arg;
	const struct node *n = topology_node_by_name(c->base, slice_str(f->is.name));

	return n != NULL && atomic_load(&n->live->sessions) > 0;
}

static void
discovery_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct roster_conf conf = roster_conf(c);

	(void)fd, (void)what;
	if (roster_tick(c->roster, &conf, clock_us(), has_sessions, c))
		roster_changed(c);
	if (c->roster->nfound == 0)
		event_del(&c->roster_timer);
}

/* ---- what nodes say ---- */

/* The configured node that is reached at that address, by its name or by what its name stands for;
 * NULL: there is none. */
static const struct node *
configured_at(const struct topology *t, const char *name, const char *host, uint16_t port)
{
	const struct node *n = topology_node_by_name(t, slice_str(name));
	struct addr a;

	if (n != NULL && n->origin == NULL)
		return n;
	if (!addr_parse(slice_str(host), &a))
		return NULL;
	for (unsigned i = 0; i < t->nnodes; i++) {
		n = &t->nodes[i];
		for (unsigned j = 0; n->origin == NULL && n->port == port && j < n->naddrs; j++)
			if (addr_same_ip(&n->addrs[j], &a))
				return n;
	}
	return NULL;
}

/* Its address, if that is known, and its region; `by` is that of the source. The caller frees the
 * texts. */
static void
locate(const struct control *c, const struct topology *t, unsigned by, const struct sighting *s,
       struct told_node *to)
{
	const struct conf_main *m = &c->config->main;
	const char *place = sighting_place(s, &m->locality_map);
	char host[SIGHTING_HOST_MAX];
	const struct node *n;
	int region = place != NULL ? topology_region_near(t, place) : -1;

	*to = (struct told_node){ .serves = s->serves };
	(void)text_copy(to->state, sizeof(to->state), slice_str(s->state));
	if (sighting_address(s, &m->address_map, host, &to->port)) {
		to->name = node_name_of(host, to->port);
		n = configured_at(t, to->name, host, to->port);
	} else {
		host[0] = '\0';
		to->name = xstrdup(s->name);
		n = NULL;
	}
	if (n != NULL) {
		free(to->name);
		to->name = xstrdup(n->name);
		region = n->region;
	}
	to->host = xstrdup(host);
	to->region = xstrdup(t->regions[region >= 0 ? (unsigned)region : by].name);
}

static enum roster_news
take(struct control *c, const char *of, unsigned region, enum discover_source source,
     uint64_t system_id, const struct sightings *seen)
{
	const struct topology *t = c->resolved;
	struct told_node *told = xcalloc(seen->n + 1, sizeof(*told));
	struct roster_conf conf = roster_conf(c);
	enum roster_news news;

	for (size_t i = 0; i < seen->n; i++)
		locate(c, t, region, &seen->v[i], &told[i]);
	news = roster_take(c->roster, &conf, of, source, system_id, told, seen->n, clock_us());
	for (size_t i = 0; i < seen->n; i++) {
		free(told[i].name);
		free(told[i].host);
		free(told[i].region);
	}
	free(told);
	return news;
}

void
discovery_hear(struct control *c, const char *of, unsigned region, enum discover_source source,
	       uint64_t system_id, const struct sightings *seen, const struct err *e)
{
	enum roster_news news = seen != NULL
				    ? take(c, of, region, source, system_id, seen)
				    : roster_complain(c->roster, of, source, e->msg, clock_us());

	if (news == ROSTER_REFUSED)
		log_msg(LOG_LEVEL_ERROR, "discovery: %s of %s: %s", discover_source_name(source),
			of, roster_alarm(c->roster, of, source));
	/* an alarm, too, has to be seen: where there is no node yet, no probe publishes it */
	if (news != ROSTER_SAME)
		roster_changed(c);
	roster_unref(c->shown);
	c->shown = NULL;
}

static void
on_discovered(void *arg, uint32_t live_id, enum discover_source source, uint64_t system_id,
	      const struct sightings *seen, const struct err *e)
{
	struct control *c = arg;

	for (unsigned i = 0; i < c->base->nnodes; i++) {
		const struct node *n = &c->base->nodes[i];

		if (n->live->id != live_id)
			continue;
		discovery_hear(c, n->name, n->region, source, system_id, seen, e);
		return;
	}
}

/* ---- into the topology ---- */

static bool
is_configured(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->nregions; i++)
		for (size_t j = 0; j < config->regions[i].nodes.n; j++)
			if (strcasecmp(config->regions[i].nodes.v[j], name) == 0)
				return true;
	return false;
}

void
discovery_add_nodes(struct control *c, const struct config *config, struct topology *t)
{
	const char *region = t->regions[t->nregions - 1].name;
	unsigned discover = discover_bits(&config->regions[t->nregions - 1].discover);

	for (size_t i = 0; i < c->roster->nfound; i++) {
		const struct found_node *f = &c->roster->found[i];
		struct node_live *live;
		struct node *n;

		if (strcmp(f->is.region, region) != 0 || is_configured(config, f->is.name))
			continue;
		live = control_node_live(c, region, f->is.name);
		n = topology_add_node(t, f->is.host, f->is.port, live);
		n->origin = xasprintf("%s of %s", discover_source_name(f->kind), f->asked);
		/* cascades are followed, and what follows it when it is promoted */
		n->discover = discover | DISCOVER_BIT(f->kind);
		n->drained = !found_usable(f);
		node_live_unref(live);
	}
}

/* An address of a node. */
struct node_at {
	const struct node *node;
	const struct addr *addr;
};

/* By address and port; of one address, configured nodes are first, then those that stand in front.
 */
static int
compare_places(const void *a, const void *b)
{
	const struct node_at *x = a, *y = b;
	int order = (int)x->addr->family - (int)y->addr->family;

	if (order == 0)
		order = memcmp(x->addr->ip, y->addr->ip, x->addr->family == ADDR_IPV4 ? 4 : 16);
	if (order == 0)
		order = (int)x->node->port - (int)y->node->port;
	if (order == 0)
		order = (int)(x->node->origin != NULL) - (int)(y->node->origin != NULL);
	return order != 0 ? order : (x->node > y->node) - (x->node < y->node);
}

static bool
same_place(const struct node_at *x, const struct node_at *y)
{
	return addr_same_ip(x->addr, y->addr) && x->node->port == y->node->port;
}

/* For each node, by its index, the node that is first at its first address: itself, or another one,
 * for which the same server answers. NULL: none is known. The caller frees the array. */
static const struct node **
first_at_address(const struct topology *t)
{
	const struct node **first = xcalloc(t->nnodes + 1, sizeof(const struct node *));
	struct node_at *places = xcalloc((size_t)t->nnodes * NODE_ADDRS_MAX + 1, sizeof(*places));
	size_t n = 0, from = 0;

	for (unsigned i = 0; i < t->nnodes; i++)
		for (unsigned j = 0; j < t->nodes[i].naddrs; j++)
			places[n++] = (struct node_at){ &t->nodes[i], &t->nodes[i].addrs[j] };
	qsort(places, n, sizeof(*places), compare_places);
	for (size_t i = 0; i < n; i++) {
		if (!same_place(&places[from], &places[i]))
			from = i;
		if (places[i].addr == &places[i].node->addrs[0])
			first[places[i].node - t->nodes] = places[from].node;
	}
	free(places);
	return first;
}

void
discovery_fill(struct control *c, struct topology *t)
{
	const struct node **first = NULL;
	bool changed = false;

	if (c->shown == NULL)
		c->shown = roster_dup(c->roster);
	t->roster = roster_ref(c->shown);
	if (c->roster->nfound > 0)
		first = first_at_address(t);
	for (unsigned i = 0; i < t->nnodes; i++) {
		struct node *n = &t->nodes[i];
		const struct found_node *f;
		const struct node *twin;

		if (n->origin == NULL || first == NULL)
			continue;
		twin = first[i] != n ? first[i] : NULL;
		changed = roster_probed(c->roster, n->name, n->state == NODE_UP && twin == NULL,
					n->system_id) ||
			  changed;
		f = roster_find(c->roster, n->name);
		if (twin != NULL)
			snprintf(n->reason, sizeof(n->reason), "it is %s", twin->name);
		else if (f != NULL && f->why[0] != '\0' && n->reason[0] == '\0')
			(void)text_copy(n->reason, sizeof(n->reason), slice_str(f->why));
	}
	free(first);
	if (changed)
		roster_changed(c);
}

/* ---- life ---- */

static bool
is_asked(void *arg, const struct roster_source *s)
{
	const struct control *c = arg;
	const struct node *n = topology_node_by_name(c->base, slice_str(s->node));

	if (s->kind == DISCOVER_PATRONI)
		return patroni_is_asked(c, s->node);
	return n != NULL && (n->discover & (DISCOVER_BIT(s->kind) | DISCOVER_AUTO)) != 0;
}

void
discovery_watch(struct control *c)
{
	if (roster_keep_sources(c->roster, is_asked, c, clock_us()))
		roster_changed(c);
}

void
discovery_init(struct control *c)
{
	c->roster = roster_new();
	prober_on_discovered(c->prober, on_discovered);
	evtimer_assign(&c->discovery_timer, loop_base(c->loop), discovery_on_changed, c);
	event_assign(&c->roster_timer, loop_base(c->loop), -1, EV_PERSIST, discovery_on_tick, c);
}

void
discovery_fini(struct control *c)
{
	event_del(&c->discovery_timer);
	event_del(&c->roster_timer);
	roster_unref(c->roster);
	roster_unref(c->shown);
}
