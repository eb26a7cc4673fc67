/* SPDX-License-Identifier: PostgreSQL
 *
 * Patroni clusters as a source of discovery: the REST API of each region with discover = patroni is
 * asked every discover_interval, and when the region has another primary. What it says goes the way
 * of what nodes say (discovery_hear()).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/control_int.h"
#include "routing/patroni.h"
#include "routing/watch/patroni_asker.h"

/* The cluster of one region. Askers have its address: it does not move. */
struct patroni_cluster {
	struct patroni_cluster *next;
	struct control *control;
	char *region;
	char *name; /* of the source in the roster: the first address */
	struct patroni_asker *asker;
	uint32_t primary; /* the region's, when that was last looked at; 0: none */
};

static void
on_heard(void *arg, const struct sightings *seen, const struct err *e)
{
	const struct patroni_cluster *p = arg;
	int region = topology_region_by_name(p->control->base, slice_str(p->region));

	if (region >= 0)
		discovery_hear(p->control, p->name, (unsigned)region, DISCOVER_PATRONI, 0, seen, e);
}

/* ---- which clusters are asked ---- */

/* Where to ask: what is configured, else Patroni's usual port of the region's nodes; nowhere where
 * the region does not want it. The caller frees the list. */
static void
apis_of(const struct config *config, const char *region, struct strlist *apis)
{
	const struct conf_region *r = NULL;
	char api[PATRONI_API_MAX];
	struct slice host, port;

	for (size_t i = 0; i < config->nregions && r == NULL; i++)
		if (strcmp(config->regions[i].name, region) == 0)
			r = &config->regions[i];
	if (r == NULL || (discover_bits(&r->discover) & DISCOVER_BIT(DISCOVER_PATRONI)) == 0)
		return;
	strlist_copy(apis, &r->patroni_api);
	for (size_t i = 0; r->patroni_api.n == 0 && i < r->nodes.n; i++)
		if (host_port_split(slice_str(r->nodes.v[i]), &host, &port) &&
		    patroni_api(host, api, sizeof(api)))
			strlist_add_once(apis, api);
}

/* Forget the clusters that the configuration does not want to be asked. */
static void
drop_clusters(struct control *c, const struct config *wanted)
{
	struct patroni_cluster **at = &c->patroni, *p;

	while ((p = *at) != NULL) {
		struct strlist apis = { 0 };

		if (wanted != NULL)
			apis_of(wanted, p->region, &apis);
		if (apis.n > 0) {
			at = &p->next;
		} else {
			*at = p->next;
			patroni_asker_free(p->asker);
			free(p->region);
			free(p->name);
			free(p);
		}
		strlist_fini(&apis);
	}
}

static struct patroni_cluster *
cluster_of(struct control *c, const char *region)
{
	struct patroni_cluster *p = c->patroni;

	while (p != NULL && strcmp(p->region, region) != 0)
		p = p->next;
	if (p != NULL)
		return p;
	p = xcalloc(1, sizeof(*p));
	*p = (struct patroni_cluster){ .next = c->patroni, .control = c };
	p->region = xstrdup(region);
	if (c->fetcher == NULL)
		c->fetcher = fetcher_new(c->loop);
	c->patroni = p;
	return p;
}

/* Begin to ask, or go on under another configuration. */
static void
ask(struct control *c, const struct conf_region *r, const struct strlist *apis)
{
	const struct patroni_conf conf = { .apis = apis,
					   .ca_file = r->patroni_ca_file,
					   .interval_us = c->config->main.discover_interval,
					   .timeout_us = c->config->main.probe_timeout };
	struct patroni_cluster *p = cluster_of(c, r->name);

	free(p->name);
	p->name = xstrdup(apis->v[0]);
	if (p->asker == NULL)
		p->asker = patroni_asker_new(c->fetcher, c->loop, &conf, on_heard, p);
	else
		patroni_asker_configure(p->asker, &conf);
}

void
patroni_watch(struct control *c)
{
	drop_clusters(c, c->config);
	for (size_t i = 0; i < c->config->nregions; i++) {
		const struct conf_region *r = &c->config->regions[i];
		struct strlist apis = { 0 };

		apis_of(c->config, r->name, &apis);
		if (apis.n > 0)
			ask(c, r, &apis);
		strlist_fini(&apis);
	}
}

bool
patroni_is_asked(const struct control *c, const char *name)
{
	const struct patroni_cluster *p = c->patroni;

	while (p != NULL && strcmp(p->name, name) != 0)
		p = p->next;
	return p != NULL;
}

void
patroni_fini(struct control *c)
{
	drop_clusters(c, NULL);
	fetcher_free(c->fetcher);
}

/* ---- fail-overs ---- */

static uint32_t
primary_of(const struct topology *t, const char *region)
{
	for (unsigned i = 0; i < t->nnodes; i++)
		if (t->nodes[i].role == ROLE_PRIMARY && t->nodes[i].state == NODE_UP &&
		    strcmp(t->regions[t->nodes[i].region].name, region) == 0)
			return t->nodes[i].live->id;
	return 0;
}

/* What Patroni said of its members was said of other roles: a new leader may be one that took no
 * queries as a replica. */
void
patroni_look(struct control *c, const struct topology *t)
{
	for (struct patroni_cluster *p = c->patroni; p != NULL; p = p->next) {
		uint32_t primary = primary_of(t, p->region);

		if (primary != p->primary)
			patroni_asker_now(p->asker);
		p->primary = primary;
	}
}
