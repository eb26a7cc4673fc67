/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "routing/topology.h"
#include "routing/watch/resolve.h"

/* ---- peers ---- */

static struct peer *
peer_new(uint16_t id, const char *name)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	refcount_init(&p->refs);
	p->id = id;
	p->name = xstrdup(name);
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static struct peer *
peer_ref(struct peer *p)
{
	refcount_get(&p->refs);
	return p;
}

static void
peer_unref(struct peer *p)
{
	if (!refcount_put(&p->refs))
		return;
	pthread_mutex_destroy(&p->lock);
	free(p->name);
	free(p);
}

void
peer_succeeded(struct peer *p)
{
	atomic_fetch_add(&p->forwarded, 1);
	atomic_store(&p->state, PEER_UP);
}

void
peer_failed(struct peer *p, const char *reason, int64_t hung_at_us)
{
	atomic_fetch_add(&p->failed, 1);
	if (atomic_exchange(&p->state, PEER_DOWN) != PEER_DOWN)
		log_msg(LOG_LEVEL_WARNING, "peer %u (%s) was handed a cancel request: %s", p->id,
			p->name, reason);
	if (hung_at_us > 0)
		atomic_store(&p->hung_at_us, hung_at_us);
	pthread_mutex_lock(&p->lock);
	(void)text_copy(p->last_error, sizeof(p->last_error), slice_str(reason));
	pthread_mutex_unlock(&p->lock);
}

void
peer_last_error(struct peer *p, char to[PEER_ERROR_MAX])
{
	pthread_mutex_lock(&p->lock);
	memcpy(to, p->last_error, PEER_ERROR_MAX);
	pthread_mutex_unlock(&p->lock);
}

const char *
peer_state_name(enum peer_state s)
{
	static const char *const names[] = {
		[PEER_UNKNOWN] = "unknown",
		[PEER_UP] = "up",
		[PEER_DOWN] = "down",
	};

	return names[s];
}

/* ---- the fleet ---- */

static struct fleet *
fleet_of(size_t n, struct topology *take_nodes)
{
	struct fleet *f = xcalloc(1, sizeof(*f));

	refcount_init(&f->refs);
	f->nodes = take_nodes;
	f->n = n;
	f->peers = xcalloc(n + 1, sizeof(struct peer *));
	return f;
}

struct fleet *
fleet_new(const struct strlist *items, const struct fleet *old, uint32_t *last_node_id)
{
	struct fleet *f = fleet_of(items->n, topology_new());

	(void)topology_add_region(f->nodes, "peers");
	for (size_t i = 0; i < items->n; i++) {
		struct slice name = slice_str(items->v[i]), number = slice_cut(&name, '=');
		int64_t id = 0;
		struct node_live *live;
		uint16_t port;
		char *host;
		int at;

		(void)text_to_int(number, 1, UINT16_MAX, &id);
		at = fleet_find(old, (uint16_t)id);
		if (at >= 0 && strcmp(old->peers[at]->name, name.p) == 0) {
			f->peers[i] = peer_ref(old->peers[at]);
			live = node_live_ref(old->nodes->nodes[at].live);
		} else {
			f->peers[i] = peer_new((uint16_t)id, name.p);
			live = node_live_new(++*last_node_id, "", name.p);
		}
		host = node_name_host(name.p, &port);
		(void)topology_add_node(f->nodes, host, port, live);
		node_live_unref(live);
		free(host);
	}
	return f;
}

struct fleet *
fleet_resolved(const struct fleet *f, const struct resolver *r)
{
	struct fleet *copy = fleet_of(f->n, topology_dup(f->nodes));

	resolver_fill(r, copy->nodes);
	for (size_t i = 0; i < f->n; i++)
		copy->peers[i] = peer_ref(f->peers[i]);
	return copy;
}

REFCOUNT_REF(fleet_ref, struct fleet)

void
fleet_unref(struct fleet *f)
{
	if (f == NULL || !refcount_put(&f->refs))
		return;
	for (size_t i = 0; i < f->n; i++)
		peer_unref(f->peers[i]);
	topology_unref(f->nodes);
	free(f->peers);
	free(f);
}

int
fleet_find(const struct fleet *f, uint16_t id)
{
	for (size_t i = 0; f != NULL && i < f->n; i++) {
		if (f->peers[i]->id == id)
			return (int)i;
	}
	return -1;
}
