/* SPDX-License-Identifier: PostgreSQL
 *
 * Where control schemas are: the databases of each region's node that takes writes are looked into,
 * one connection each. What was found empty is looked into again after a minute, or when somebody
 * of ours is connected to it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/lease.h"
#include "migration/migrations_int.h"

#define DATABASES_MAX "64"
#define EMPTY_AGE_US  (60 * USEC_PER_SEC)
#define FAILED_US     (3 * USEC_PER_SEC)

/* ---- lists ---- */

static void
findings_add(struct findings *f, const struct site_node *node, const char *dbname)
{
	f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct finding){ .node = *node, .dbname = xstrdup(dbname) };
}

void
findings_fini(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].dbname);
	free(f->v);
	*f = (struct findings){ 0 };
}

static bool
findings_have(const struct findings *f, const struct site_node *node, const char *dbname)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].node.name, node->name) == 0 &&
		    strcmp(f->v[i].dbname, dbname) == 0)
			return true;
	return false;
}

static void
findings_join(struct findings *to, const struct findings *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (!findings_have(to, &from->v[i].node, from->v[i].dbname))
			findings_add(to, &from->v[i].node, from->v[i].dbname);
}

void
looked_free(struct looked *l)
{
	while (l != NULL) {
		struct looked *next = l->next;

		findings_fini(&l->found);
		strlist_fini(&l->empty);
		free(l);
		l = next;
	}
}

/* ---- looking ---- */

PGconn *
migrations_open(struct migrations *ms, const struct site_node *node, const char *dbname,
		struct err *e)
{
	char *words = ms->site.ops->conninfo(ms->site.arg, node, dbname);
	PGconn *c = db_connect(words, 0, e);

	free(words);
	if (c == NULL)
		err_prefix(e, "%s", node->name);
	return c;
}

/* For a look. */
static PGconn *
open_briefly(struct migrations *ms, const struct site_node *node, const char *dbname, struct err *e)
{
	PGconn *c = migrations_open(ms, node, dbname, e);

	if (c == NULL || db_limit_waits(c, ANSWER_US, e) == 0)
		return c;
	PQfinish(c);
	return NULL;
}

PGconn *
finding_open(struct migrations *ms, const struct finding *f, struct err *e)
{
	return open_briefly(ms, &f->node, f->dbname, e);
}

/* The databases of that server, and whether somebody of ours works there; where from does not
 * matter. */
static PGresult *
databases_of(struct migrations *ms, const struct site_node *node, struct err *e)
{
	static const char *const doors[] = { "postgres", "template1", "defaultdb" };
	PGresult *r = NULL;

	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors) && r == NULL; i++) {
		PGconn *c = open_briefly(ms, node, doors[i], e);

		if (c == NULL && strcmp(e->sqlstate, "08006") == 0 &&
		    strstr(e->msg, "does not exist") == NULL)
			return NULL;
		if (c == NULL)
			continue;
		r = db_query(
		    c, e,
		    "SELECT d.datname, EXISTS (SELECT 1 FROM pg_stat_activity a WHERE "
		    "a.datname = d.datname AND a.application_name LIKE 'meridian-%' AND a.pid "
		    "<> pg_backend_pid()) FROM pg_database d WHERE d.datallowconn AND NOT "
		    "d.datistemplate ORDER BY 1 LIMIT " DATABASES_MAX,
		    0, NULL);
		PQfinish(c);
	}
	return r;
}

/* One look at a node: what was known before, and what is found. */
struct look {
	struct migrations *ms;
	const struct site_node *node;
	struct findings before;
	struct strlist empty_before; /* none of these is opened again now */
	struct findings found;
	struct strlist empty;
};

static bool
is_listed(const struct strlist *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], name) == 0)
			return true;
	return false;
}

/* It has what another server has: that one is asked. */
static bool
is_standby(PGconn *c)
{
	const char *says = PQparameterStatus(c, "in_hot_standby");
	struct err ignored;
	bool is_so = false;

	if (says != NULL)
		return strcmp(says, "on") == 0;
	if (lease_has_locks(c))
		(void)db_is(c, &is_so, &ignored, "SELECT pg_is_in_recovery()", 0, NULL);
	return is_so;
}

static void
look_into(struct look *k, const char *dbname)
{
	struct err why;
	PGconn *c = open_briefly(k->ms, k->node, dbname, &why);
	bool is_there = false;

	if (c != NULL && is_standby(c)) {
		PQfinish(c);
		return;
	}
	/* One that does not let us in has nothing of ours, unless we have seen it. */
	if (c == NULL || store_exists(c, &is_there, &why) < 0)
		is_there = findings_have(&k->before, k->node, dbname);
	if (is_there)
		findings_add(&k->found, k->node, dbname);
	else
		strlist_add(&k->empty, dbname);
	PQfinish(c);
}

static int
look_at(struct look *k, struct err *e)
{
	PGresult *r = databases_of(k->ms, k->node, e);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *dbname = PQgetvalue(r, i, 0);

		if (is_listed(&k->empty_before, dbname) && PQgetvalue(r, i, 1)[0] != 't' &&
		    !findings_have(&k->before, k->node, dbname))
			strlist_add(&k->empty, dbname);
		else
			look_into(k, dbname);
	}
	PQclear(r);
	return 0;
}

/* The first of a region that takes writes. */
static int
writable_node(struct migrations *ms, const char *region, struct site_node *out, struct err *e)
{
	struct site_node v[SITE_NODES_MAX];
	int n = ms->site.ops->nodes(ms->site.arg, region, v, e);

	if (n <= 0)
		return n < 0 ? -1 : err_set(e, "08006", "region %s has no node", region);
	*out = v[0];
	return 0;
}

static struct looked *
looked_of(struct migrations *ms, const char *region)
{
	struct looked *l = ms->looked;

	while (l != NULL && strcmp(l->region, region) != 0)
		l = l->next;
	if (l == NULL) {
		l = xcalloc(1, sizeof(*l));
		snprintf(l->region, sizeof(l->region), "%s", region);
		l->next = ms->looked;
		ms->looked = l;
	}
	return l;
}

/* What was found there before; true: it is new enough. */
static bool
remembered(struct migrations *ms, const char *region, const struct site_node *node, int64_t age_us,
	   struct findings *out)
{
	struct looked *l;
	bool is_new;

	pthread_mutex_lock(&ms->finding);
	l = looked_of(ms, region);
	is_new = l->at_us > 0 && clock_us() - l->at_us < age_us;
	for (size_t i = 0; i < l->found.n && is_new; i++)
		is_new = strcmp(l->found.v[i].node.name, node->name) == 0;
	if (is_new)
		findings_join(out, &l->found);
	pthread_mutex_unlock(&ms->finding);
	return is_new;
}

/* A node that is said to be unusable is tried all the same (nobody may have probed it yet), but not
 * by everybody at once. */
static bool
has_failed(struct migrations *ms, const char *region)
{
	int64_t at;

	pthread_mutex_lock(&ms->finding);
	at = looked_of(ms, region)->failed_us;
	pthread_mutex_unlock(&ms->finding);
	return at > 0 && clock_us() - at < FAILED_US;
}

static void
note_failure(struct migrations *ms, const char *region)
{
	pthread_mutex_lock(&ms->finding);
	looked_of(ms, region)->failed_us = clock_us();
	pthread_mutex_unlock(&ms->finding);
}

/* What is known of the node, for a look; what was empty only where that is not too long ago. */
static void
look_begin(struct look *k, const char *region, int64_t age_us)
{
	struct looked *l;

	pthread_mutex_lock(&k->ms->finding);
	l = looked_of(k->ms, region);
	findings_join(&k->before, &l->found);
	if (age_us > 0 && clock_us() - l->emptied_us < EMPTY_AGE_US)
		strlist_copy(&k->empty_before, &l->empty);
	pthread_mutex_unlock(&k->ms->finding);
}

/* What somebody has noted, or found, while this look was under way is newer than it. */
static void
look_end(struct look *k, const char *region)
{
	struct looked *l;

	pthread_mutex_lock(&k->ms->finding);
	l = looked_of(k->ms, region);
	for (size_t i = 0; i < l->found.n; i++) {
		const struct finding *f = &l->found.v[i];

		if (!findings_have(&k->before, &f->node, f->dbname) &&
		    !findings_have(&k->found, &f->node, f->dbname))
			findings_add(&k->found, &f->node, f->dbname);
	}
	if (k->empty_before.n == 0)
		l->emptied_us = clock_us();
	l->at_us = clock_us();
	findings_fini(&l->found);
	strlist_fini(&l->empty);
	l->found = k->found;
	l->empty = k->empty;
	pthread_mutex_unlock(&k->ms->finding);
}

int
migrations_look(struct migrations *ms, const char *region, int64_t age_us, struct findings *out,
		struct err *e)
{
	struct site_node node;
	struct look k = { .ms = ms, .node = &node };
	int rc;

	if (writable_node(ms, region, &node, e) < 0)
		return -1;
	if (remembered(ms, region, &node, age_us, out))
		return 0;
	if (!node.is_usable && has_failed(ms, region))
		return err_set(e, "08006", "region %s: %s cannot be reached", region, node.name);
	look_begin(&k, region, age_us);
	rc = look_at(&k, e);
	if (rc == 0) {
		findings_join(out, &k.found);
		look_end(&k, region);
	} else {
		note_failure(ms, region);
	}
	findings_fini(&k.before);
	strlist_fini(&k.empty_before);
	return rc;
}

void
migrations_note(struct migrations *ms, const struct site_node *node, const char *dbname)
{
	struct looked *l;

	pthread_mutex_lock(&ms->finding);
	l = looked_of(ms, node->region);
	if (!findings_have(&l->found, node, dbname))
		findings_add(&l->found, node, dbname);
	pthread_mutex_unlock(&ms->finding);
}
