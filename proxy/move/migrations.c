/* SPDX-License-Identifier: PostgreSQL
 *
 * What migrations need to know of this process (migration/site.h), and when they start and stop in
 * it.
 */
#include "config.h"

#include "proxy/move/migrations.h"

#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "migration/migrations.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/authfile.h"
#include "proxy/auth/credential.h"
#include "proxy/config/conninfo.h"
#include "proxy/move/gate.h"
#include "proxy/move/migrations_int.h"
#include "proxy/move/redirects.h"
#include "proxy/move/subscriber.h"
#include "proxy/process/listener.h"
#include "proxy/process/meridian.h"
#include "proxy/process/world.h"
#include "routing/locality.h"

/* ---- the world, for threads that have no loop ---- */

static struct world *
current_world(struct meridian *m)
{
	struct proxy_migrations *pm = m->migrations;
	struct world *w;

	pthread_mutex_lock(&pm->lock);
	w = world_ref(pm->world);
	pthread_mutex_unlock(&pm->lock);
	return w;
}

void
proxy_migrations_publish(struct proxy_migrations *pm, struct world *take_world)
{
	struct world *old;

	if (pm == NULL) {
		world_unref(take_world);
		return;
	}
	pthread_mutex_lock(&pm->lock);
	old = pm->world;
	pm->world = take_world;
	pthread_mutex_unlock(&pm->lock);
	world_unref(old);
}

/* ---- nodes ---- */

static bool
takes_writes(const struct node *n)
{
	return (n->role == ROLE_PRIMARY || n->role == ROLE_MULTI) && !n->read_only;
}

static void
fill_node(const struct topology *t, const struct node *n, struct site_node *out)
{
	*out = (struct site_node){ .port = n->port,
				   .is_primary = takes_writes(n),
				   .is_usable = node_usable(t, n, clock_us()) };
	(void)text_copy(out->region, sizeof(out->region), slice_str(t->regions[n->region].name));
	(void)text_copy(out->name, sizeof(out->name), slice_str(n->name));
	(void)text_copy(out->host, sizeof(out->host), slice_str(n->host));
	(void)text_copy(out->kind, sizeof(out->kind), slice_str(node_kind_name(n->kind)));
}

/* Nodes that take writes first, then those whose role is not known. */
static int
rank(const struct node *n)
{
	if (takes_writes(n))
		return 0;
	return n->role == ROLE_UNKNOWN ? 1 : 2;
}

static int
nodes_of_region(const struct topology *t, const struct region *r, struct site_node *v)
{
	int n = 0;

	for (int wanted = 0; wanted <= 2; wanted++)
		for (int i = r->first_node; i < r->first_node + r->nnodes; i++)
			if (rank(&t->nodes[i]) == wanted && n < SITE_NODES_MAX)
				fill_node(t, &t->nodes[i], &v[n++]);
	return n;
}

static int
site_nodes(void *arg, const char *place, struct site_node v[SITE_NODES_MAX], struct err *e)
{
	struct world *w = current_world(arg);
	int region = topology_region_by_name(w->topology, slice_str(place));
	const struct node *node = topology_node_by_name(w->topology, slice_str(place));
	int n = 1;

	if (region >= 0)
		n = nodes_of_region(w->topology, &w->topology->regions[region], v);
	else if (node != NULL)
		fill_node(w->topology, node, v);
	else
		n = err_set(e, SQLSTATE_UNDEFINED_OBJECT,
			    "region or node \"%.128s\" does not exist", place);
	if (n < 0)
		err_hint(e, "SHOW REGIONS and SHOW NODES list them.");
	world_unref(w);
	return n;
}

static void
site_regions(void *arg, struct strlist *out)
{
	struct world *w = current_world(arg);

	*out = (struct strlist){ 0 };
	for (int i = 0; i < w->topology->nregions; i++)
		strlist_add(out, w->topology->regions[i].name);
	world_unref(w);
}

/* ---- connections ---- */

/* Copy the words of a conninfo; with `only`, those that it names. */
static void
put_words(struct buf *out, const char *conninfo, const char *const *only)
{
	PQconninfoOption *words = conninfo != NULL ? PQconninfoParse(conninfo, NULL) : NULL;

	for (const PQconninfoOption *w = words; w != NULL && w->keyword != NULL; w++) {
		bool wanted = only == NULL;

		for (const char *const *o = only; o != NULL && *o != NULL; o++)
			wanted = wanted || strcmp(*o, w->keyword) == 0;
		if (wanted)
			conninfo_put(out, w->keyword, w->val);
	}
	PQconninfoFree(words);
}

/* The password of migration_conninfo's role, if auth_file has it in plain text. */
static void
put_own_password(struct buf *out, const struct config *config)
{
	PQconninfoOption *words = PQconninfoParse(
	    config->main.migration_conninfo != NULL ? config->main.migration_conninfo : "", NULL);
	const struct authfile_user *u = NULL;

	for (const PQconninfoOption *w = words; w != NULL && w->keyword != NULL; w++)
		if (strcmp(w->keyword, "user") == 0 && w->val != NULL && config->auth != NULL)
			u = authfile_find(config->auth, slice_str(w->val));
	PQconninfoFree(words);
	if (u != NULL && u->credential->kind == CREDENTIAL_PASSWORD)
		conninfo_put(out, "password", u->credential->password);
}

static void
put_address(struct buf *out, const struct site_node *n)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", n->port);
	conninfo_put(out, "host", n->host);
	conninfo_put(out, "port", port);
}

static char *
site_conninfo(void *arg, const struct site_node *n, const char *dbname)
{
	struct world *w = current_world(arg);
	int region = config_region(w->config, slice_str(n->region));
	char *tls = region >= 0 ? conninfo_of_region(&w->config->regions[region]) : NULL;
	struct buf b = { .cap = 65536 };

	put_own_password(&b, w->config);
	put_words(&b, w->config->main.migration_conninfo, NULL);
	buf_str(&b, tls != NULL ? tls : "");
	put_address(&b, n);
	conninfo_put(&b, "dbname", dbname);
	free(tls);
	world_unref(w);
	return buf_take_text(&b);
}

static const char *const who[] = { "user", "password", NULL };

/* Options that name files are left out: they are this proxy's. migration_peer_conninfo names the
 * files that the servers use. */
static char *
site_peer_conninfo(void *arg, const struct site_node *n, const char *dbname)
{
	struct world *w = current_world(arg);
	int region = config_region(w->config, slice_str(n->region));
	struct buf b = { .cap = 65536 };

	put_own_password(&b, w->config);
	put_words(&b, w->config->main.migration_conninfo, who);
	put_address(&b, n);
	if (region >= 0) {
		const struct conf_region *r = &w->config->regions[region];

		conninfo_put(&b, "sslmode", sslmode_words[r->sslmode]);
		put_words(&b, r->migration_peer_conninfo, NULL);
	}
	conninfo_put(&b, "dbname", dbname);
	world_unref(w);
	return buf_take_text(&b);
}

/* The role is the one that would log in at the node itself: Meridian takes that login and routes it
 * there. */
static char *
site_through_conninfo(void *arg, const struct site_node *to, const struct site_node *n,
		      const char *place, const char *dbname)
{
	struct world *w = current_world(arg);
	int at = config_region(w->config, slice_str(to->region));
	int from = config_region(w->config, slice_str(n->region));
	const char *way = at >= 0 ? w->config->regions[at].migration_through_conninfo : NULL;
	struct buf b = { .cap = 65536 }, name = { .cap = 1024 };

	if (way != NULL) {
		put_own_password(&b, w->config);
		put_words(&b, w->config->main.migration_conninfo, who);
		if (from >= 0)
			put_words(&b, w->config->regions[from].migration_peer_conninfo, who);
		put_words(&b, way, NULL);
		subscriber_put_name(&name, place, dbname);
		conninfo_put(&b, "dbname", buf_text(&name));
		buf_fini(&name);
	}
	world_unref(w);
	return way != NULL ? buf_take_text(&b) : NULL;
}

/* ---- who we are ---- */

static void
site_settings(void *arg, struct site_settings *out)
{
	struct meridian *m = arg;
	struct world *w = current_world(m);
	const struct conf_main *conf = &w->config->main;

	*out = (struct site_settings){ .lease_us = conf->migration_lease,
				       .crash_points = m->migrations->crash_points };
	if (conf->migration_bindir != NULL)
		(void)text_copy(out->bindir, sizeof(out->bindir),
				slice_str(conf->migration_bindir));
	if (conf->authority_file != NULL)
		(void)text_copy(out->authority_file, sizeof(out->authority_file),
				slice_str(conf->authority_file));
	world_unref(w);
}

static const char *
site_proxy_id(void *arg)
{
	return ((struct meridian *)arg)->migrations->id;
}

static const char *
site_proxy_address(void *arg)
{
	const struct listeners *l = ((struct meridian *)arg)->listeners;

	return l->shown.n > 0 ? l->shown.v[0] : "";
}

static const char *
site_proxy_region(void *arg)
{
	return ((struct meridian *)arg)->migrations->region;
}

static void
site_serve(void *arg, const char *database, const char *place, const char *newdb, int64_t epoch)
{
	gate_serve(arg, database, place, newdb, epoch);
}

static char *
site_region_of_city(void *arg, const char *city)
{
	struct world *w = current_world(arg);
	int region = locality_region_of_city(w->topology, w->gazetteer, slice_str(city));
	char *name = region >= 0 ? xstrdup(w->topology->regions[region].name) : NULL;

	world_unref(w);
	return name;
}

/* ---- who has left ---- */

static void
site_set_redirects(void *arg, const char *told_by, const struct redirect *v, size_t n)
{
	redirections_set(((struct meridian *)arg)->redirections, told_by, v, n);
}

static bool
site_is_entrance(void *arg, const char *from, const char *to)
{
	struct world *w = current_world(arg);
	bool is_so = redirections_is_entrance(w->topology, from, to);

	world_unref(w);
	return is_so;
}

static char *
site_entry(void *arg, const char *place)
{
	struct world *w = current_world(arg);
	const char *entry = world_entry(w, place);
	char *copy = entry != NULL ? xstrdup(entry) : NULL;

	world_unref(w);
	return copy;
}

static void
site_take_callers(void *arg, const char *uuid,
		  void (*each)(void *to, const struct redirect_caller *c), void *to)
{
	redirections_take(((struct meridian *)arg)->redirections, uuid, each, to);
}

static void
site_put_caller(void *arg, const char *uuid, const struct redirect_caller *c)
{
	redirections_put(((struct meridian *)arg)->redirections, uuid, c);
}

static const struct redirect_ops redirects = {
	.set = site_set_redirects,
	.is_entrance = site_is_entrance,
	.entry = site_entry,
	.take = site_take_callers,
	.put = site_put_caller,
};

static const struct site_ops ops = {
	.nodes = site_nodes,
	.regions = site_regions,
	.conninfo = site_conninfo,
	.peer_conninfo = site_peer_conninfo,
	.through_conninfo = site_through_conninfo,
	.settings = site_settings,
	.proxy_id = site_proxy_id,
	.proxy_address = site_proxy_address,
	.proxy_region = site_proxy_region,
	.serve = site_serve,
	.region_of_city = site_region_of_city,
	.traffic = proxy_migrations_traffic,
	.gate = &proxy_gate_ops,
	.redirects = &redirects,
};

/* ---- life ---- */

struct proxy_migrations *
proxy_migrations_new(struct meridian *m, bool crash_points)
{
	struct proxy_migrations *pm = xcalloc(1, sizeof(*pm));
	char host[48] = "";

	pm->process = m;
	pm->site = (struct site){ &ops, m };
	pm->crash_points = crash_points;
	pthread_mutex_init(&pm->lock, NULL);
	pthread_mutex_init(&pm->starting, NULL);
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(pm->id, sizeof(pm->id), "%s-%ld-%08x", host, (long)getpid(), m->life);
	calls_init(&pm->calls);
	return pm;
}

/* Whether migrations are possible: without migration_conninfo no login to a node can be made. */
static bool
is_configured(struct proxy_migrations *pm)
{
	bool configured;

	pthread_mutex_lock(&pm->lock);
	configured = pm->world->config->main.migration_conninfo != NULL;
	pthread_mutex_unlock(&pm->lock);
	return configured;
}

int
proxy_migrations_ready(struct proxy_migrations *pm, struct err *e)
{
	if (!is_configured(pm)) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "migrations are not configured");
		return err_hint(e, "Set migration_conninfo: what to log in to the nodes with.");
	}
	pthread_mutex_lock(&pm->starting);
	if (pm->migrations == NULL) {
		pm->migrations = migrations_new(&pm->site);
		migrations_start(pm->migrations);
	}
	pthread_mutex_unlock(&pm->starting);
	return 0;
}

int
proxy_migrations_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* A function that waits for the loops runs on a thread of its own, while the calling thread turns
 * the loops. */
struct side_thread {
	struct proxy_migrations *pm;
	void (*what)(struct proxy_migrations *pm);
	atomic_bool over;
};

static void *
run_side_thread(void *arg)
{
	struct side_thread *b = arg;

	b->what(b->pm);
	atomic_store(&b->over, true);
	return NULL;
}

static void
run_while_turning(struct proxy_migrations *pm, void (*what)(struct proxy_migrations *pm),
		  void (*turn)(struct meridian *m))
{
	struct side_thread b = { .pm = pm, .what = what };
	pthread_t thread;

	if (proxy_migrations_thread(&thread, run_side_thread, &b) != 0) {
		log_msg(LOG_LEVEL_FATAL, "could not start a thread: %s", strerror(errno));
		exit(1);
	}
	while (!atomic_load(&b.over)) {
		turn(pm->process);
		(void)usleep(1000);
	}
	(void)pthread_join(thread, NULL);
}

static void
look_first(struct proxy_migrations *pm)
{
	struct err e = { 0 };

	(void)proxy_migrations_ready(pm, &e);
}

static void
stop_all(struct proxy_migrations *pm)
{
	calls_stop(&pm->calls);
	/* a call may wait for an executor that waits for a lock */
	if (pm->migrations != NULL)
		migrations_stop(pm->migrations);
	calls_join(&pm->calls);
	if (pm->migrations != NULL)
		migrations_free(pm->migrations);
	pm->migrations = NULL;
}

void
proxy_migrations_start(struct proxy_migrations *pm, void (*turn)(struct meridian *m))
{
	const char *region = pm->world->config->main.region;

	(void)text_copy(pm->region, sizeof(pm->region), slice_str(region));
	if (is_configured(pm))
		run_while_turning(pm, look_first, turn);
}

void
proxy_migrations_stop(struct proxy_migrations *pm, void (*turn)(struct meridian *m))
{
	run_while_turning(pm, stop_all, turn);
}

void
proxy_migrations_free(struct proxy_migrations *pm)
{
	if (pm == NULL)
		return;
	calls_fini(&pm->calls);
	pthread_mutex_destroy(&pm->lock);
	pthread_mutex_destroy(&pm->starting);
	world_unref(pm->world);
	free(pm);
}
