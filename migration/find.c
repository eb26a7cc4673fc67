/* SPDX-License-Identifier: PostgreSQL
 *
 * Where control schemas are, and the migrations in them. The databases of each region's node that
 * takes writes are looked into, one connection each. One that was found without a control schema is
 * looked into again after a minute, or when one of our connections is seen in it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/lease.h"
#include "migration/migrations_int.h"
#include "migration/number.h"

#define DATABASES_MAX "64"
#define EMPTY_AGE_US  (60 * USEC_PER_SEC)
#define FAILED_US     (3 * USEC_PER_SEC)
#define LIST_AGE_US   (2 * USEC_PER_SEC)
#define REF_UUID_MIN  6

/* ---- lists ---- */

static void
control_dbs_add(struct control_dbs *f, const struct site_node *node, const char *dbname)
{
	f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct control_db){ .node = *node, .dbname = xstrdup(dbname) };
}

void
control_dbs_fini(struct control_dbs *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].dbname);
	free(f->v);
	*f = (struct control_dbs){ 0 };
}

bool
control_dbs_have(const struct control_dbs *f, const struct site_node *node, const char *dbname)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].node.name, node->name) == 0 &&
		    strcmp(f->v[i].dbname, dbname) == 0)
			return true;
	return false;
}

static void
control_dbs_join(struct control_dbs *to, const struct control_dbs *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (!control_dbs_have(to, &from->v[i].node, from->v[i].dbname))
			control_dbs_add(to, &from->v[i].node, from->v[i].dbname);
}

void
region_dbs_free(struct region_dbs *l)
{
	while (l != NULL) {
		struct region_dbs *next = l->next;

		control_dbs_fini(&l->found);
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

/* A connection on which every statement has ANSWER_US. */
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
control_db_open(struct migrations *ms, const struct control_db *f, struct err *e)
{
	return open_briefly(ms, &f->node, f->dbname, e);
}

/* The databases of that server, and whether a connection of a migration is in it. Any database that
 * is always there can be asked. */
static PGresult *
databases_of(struct migrations *ms, const struct site_node *node, struct err *e)
{
	static const char *const entries[] = { "postgres", "template1", "defaultdb" };
	PGresult *r = NULL;

	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries) && r == NULL; i++) {
		PGconn *c = open_briefly(ms, node, entries[i], e);

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
	struct control_dbs before;
	struct strlist empty_before; /* none of these is opened again now */
	struct control_dbs found;
	struct strlist empty;
};

/* A standby has the rows of its primary, which is asked itself. */
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
	/* A database that refuses the login has no control schema, unless one was seen in it. */
	if (c == NULL || store_exists(c, &is_there, &why) < 0)
		is_there = control_dbs_have(&k->before, k->node, dbname);
	if (is_there)
		control_dbs_add(&k->found, k->node, dbname);
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

		if (strlist_has(&k->empty_before, dbname) && PQgetvalue(r, i, 1)[0] != 't' &&
		    !control_dbs_have(&k->before, k->node, dbname))
			strlist_add(&k->empty, dbname);
		else
			look_into(k, dbname);
	}
	PQclear(r);
	return 0;
}

static struct region_dbs *
region_dbs_of(struct migrations *ms, const char *region)
{
	struct region_dbs *l = ms->dbs;

	while (l != NULL && strcmp(l->region, region) != 0)
		l = l->next;
	if (l == NULL) {
		l = xcalloc(1, sizeof(*l));
		snprintf(l->region, sizeof(l->region), "%s", region);
		l->next = ms->dbs;
		ms->dbs = l;
	}
	return l;
}

/* What was found there before; true: it is new enough. */
static bool
remembered(struct migrations *ms, const char *region, const struct site_node *node, int64_t age_us,
	   struct control_dbs *out)
{
	struct region_dbs *l;
	bool is_new;

	pthread_mutex_lock(&ms->dbs_lock);
	l = region_dbs_of(ms, region);
	is_new = l->at_us > 0 && clock_us() - l->at_us < age_us;
	for (size_t i = 0; i < l->found.n && is_new; i++)
		is_new = strcmp(l->found.v[i].node.name, node->name) == 0;
	if (is_new)
		control_dbs_join(out, &l->found);
	pthread_mutex_unlock(&ms->dbs_lock);
	return is_new;
}

/* Whether a look there has failed just now. A node that is said to be unusable is tried all the
 * same (it may not have been probed yet), but not by all threads at once. */
static bool
has_failed(struct migrations *ms, const char *region)
{
	int64_t at;

	pthread_mutex_lock(&ms->dbs_lock);
	at = region_dbs_of(ms, region)->failed_us;
	pthread_mutex_unlock(&ms->dbs_lock);
	return at > 0 && clock_us() - at < FAILED_US;
}

/* What other threads have noted or found while this look was under way is newer than it. */
static void
look_end(struct look *k, const char *region)
{
	struct region_dbs *l;

	pthread_mutex_lock(&k->ms->dbs_lock);
	l = region_dbs_of(k->ms, region);
	for (size_t i = 0; i < l->found.n; i++) {
		const struct control_db *f = &l->found.v[i];

		if (!control_dbs_have(&k->before, &f->node, f->dbname) &&
		    !control_dbs_have(&k->found, &f->node, f->dbname))
			control_dbs_add(&k->found, &f->node, f->dbname);
	}
	if (k->empty_before.n == 0)
		l->emptied_us = clock_us();
	l->at_us = clock_us();
	control_dbs_fini(&l->found);
	strlist_fini(&l->empty);
	l->found = k->found;
	l->empty = k->empty;
	pthread_mutex_unlock(&k->ms->dbs_lock);
}

int
control_dbs_of_region(struct migrations *ms, const char *region, int64_t age_us,
		      struct control_dbs *out, struct err *e)
{
	struct site_node v[SITE_NODES_MAX]; /* those that take writes come first */
	struct look k = { .ms = ms, .node = v };
	int rc = ms->site.ops->nodes(ms->site.arg, region, v, e);
	struct region_dbs *l;

	if (rc <= 0)
		return rc < 0 ? -1 : err_set(e, "08006", "region %s has no node", region);
	if (remembered(ms, region, v, age_us, out))
		return 0;
	if (!v->is_usable && has_failed(ms, region))
		return err_set(e, "08006", "region %s: %s cannot be reached", region, v->name);
	/* What is known of the node, for a look; which databases were empty only where that is not
	 * too long ago. */
	pthread_mutex_lock(&k.ms->dbs_lock);
	l = region_dbs_of(k.ms, region);
	control_dbs_join(&k.before, &l->found);
	if (age_us > 0 && clock_us() - l->emptied_us < EMPTY_AGE_US)
		strlist_copy(&k.empty_before, &l->empty);
	pthread_mutex_unlock(&k.ms->dbs_lock);
	rc = look_at(&k, e);
	if (rc == 0) {
		control_dbs_join(out, &k.found);
		look_end(&k, region);
	} else {
		pthread_mutex_lock(&ms->dbs_lock);
		region_dbs_of(ms, region)->failed_us = clock_us();
		pthread_mutex_unlock(&ms->dbs_lock);
	}
	control_dbs_fini(&k.before);
	strlist_fini(&k.empty_before);
	return rc;
}

void
control_dbs_everywhere(struct migrations *ms, int64_t age_us, struct control_dbs *out,
		       struct strlist *unasked, struct err *e)
{
	struct strlist regions = { 0 };
	struct err why;

	e->msg[0] = '\0';
	ms->site.ops->regions(ms->site.arg, &regions);
	for (size_t i = 0; i < regions.n; i++)
		if (control_dbs_of_region(ms, regions.v[i], age_us, out, &why) < 0) {
			*e = why;
			if (unasked != NULL)
				strlist_add(unasked, regions.v[i]);
		}
	strlist_fini(&regions);
}

void
control_dbs_note(struct migrations *ms, const struct site_node *node, const char *dbname)
{
	struct region_dbs *l;

	pthread_mutex_lock(&ms->dbs_lock);
	l = region_dbs_of(ms, node->region);
	if (!control_dbs_have(&l->found, node, dbname))
		control_dbs_add(&l->found, node, dbname);
	pthread_mutex_unlock(&ms->dbs_lock);
}

/* ---- migrations in them ---- */

struct rows {
	struct migration_at *v;
	size_t n;
	const struct control_db *from;
};

void
migration_at_fini(struct migration_at *at)
{
	migration_fini(&at->m);
	free(at->dbname);
	PQfinish(at->db);
	*at = (struct migration_at){ 0 };
}

static void
rows_fini(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		migration_at_fini(&rows->v[i]);
	free(rows->v);
}

static void
add_row(void *to, const struct migration *m)
{
	struct rows *rows = to;
	struct migration_at *at = NULL;

	for (size_t i = 0; i < rows->n; i++)
		if (strcmp(rows->v[i].m.uuid, m->uuid) == 0) {
			at = &rows->v[i];
			/* The home counts more than a copy, the newer copy more than the older. */
			if (m->is_home != at->m.is_home ? at->m.is_home : m->rev <= at->m.rev)
				return;
			migration_at_fini(at);
		}
	if (at == NULL) {
		rows->v = xreallocarray(rows->v, rows->n + 1, sizeof(*rows->v));
		at = &rows->v[rows->n++];
	}
	*at = (struct migration_at){ .node = rows->from->node,
				     .dbname = xstrdup(rows->from->dbname) };
	migration_copy(&at->m, m);
}

static int
by_number(const void *a, const void *b)
{
	const struct migration_at *x = a, *y = b;

	return x->m.id != y->m.id ? (x->m.id > y->m.id) - (x->m.id < y->m.id)
				  : strcmp(x->m.uuid, y->m.uuid);
}

static void
read_all(struct migrations *ms, int64_t age_us, struct rows *rows, struct strlist *unasked,
	 struct err *e)
{
	struct control_dbs places = { 0 };

	control_dbs_everywhere(ms, age_us, &places, unasked, e);
	for (size_t i = 0; i < places.n; i++) {
		struct err why;
		PGconn *c = control_db_open(ms, &places.v[i], &why);

		rows->from = &places.v[i];
		if (c == NULL || store_list(c, add_row, rows, &why) < 0) {
			*e = why;
			if (unasked != NULL)
				strlist_add(unasked, places.v[i].node.region);
		}
		PQfinish(c);
	}
	control_dbs_fini(&places);
	if (rows->n > 1)
		qsort(rows->v, rows->n, sizeof(*rows->v), by_number);
}

void
migrations_list(struct migrations *ms, void (*each)(void *to, const struct migration_at *at),
		void *to, struct err *e)
{
	struct rows rows = { 0 };

	read_all(ms, LIST_AGE_US, &rows, NULL, e);
	for (size_t i = 0; i < rows.n; i++)
		each(to, &rows.v[i]);
	rows_fini(&rows);
}

static bool
is_named_by(const struct migration *m, const char *ref)
{
	int64_t id;

	if (text_to_int(slice_str(ref), 0, INT32_MAX, &id) && m->id == id)
		return true;
	if (*m->name != '\0' && strcmp(m->name, ref) == 0)
		return true;
	return strlen(ref) >= REF_UUID_MIN && strncmp(m->uuid, ref, strlen(ref)) == 0;
}

static bool
is_over(const struct migration *m)
{
	return m->state == STATE_DONE || m->state == STATE_ABORTED || m->state == STATE_REVERSED;
}

/* The one that `ref` names; of several of a name the one that is not over, then the newest. NULL
 * and *n: how many there are. */
static struct migration_at *
pick(struct rows *rows, const char *ref, size_t *n)
{
	struct migration_at *best = NULL;
	bool by_name = false;

	*n = 0;
	for (size_t i = 0; i < rows->n; i++) {
		struct migration_at *at = &rows->v[i];

		if (!is_named_by(&at->m, ref))
			continue;
		(*n)++;
		by_name = strcmp(at->m.name, ref) == 0;
		if (best == NULL || (is_over(&best->m) && by_name))
			best = at;
	}
	return *n == 1 || by_name ? best : NULL;
}

int
migrations_find(struct migrations *ms, const char *ref, struct migration_at *out, struct err *e)
{
	struct migration_at *at = NULL;
	struct err unreached = { .msg = "" };
	size_t n = 0;

	for (int64_t age_us = LOOK_AGE_US; at == NULL && n == 0; age_us = 0) {
		struct rows rows = { 0 };

		read_all(ms, age_us, &rows, NULL, &unreached);
		at = pick(&rows, ref, &n);
		/* Its home may be in a control schema that was made since the last look. */
		if (age_us > 0 && at != NULL && !at->m.is_home) {
			at = NULL;
			n = 0;
		}
		if (at != NULL) {
			*out = *at;
			*at = (struct migration_at){ 0 };
			at = out;
		}
		rows_fini(&rows);
		if (age_us == 0)
			break;
	}
	if (at == NULL) {
		if (n > 1) {
			err_set(e, "42725", "more than one migration is meant by %s", ref);
			return err_hint(e, "The first digits of its uuid tell it from the others.");
		}
		err_set(e, "42704", "there is no migration %s", ref);
		if (*unreached.msg != '\0')
			err_detail(e, "Not every place could be asked: %s.", unreached.msg);
		return err_hint(e, "SHOW MIGRATIONS; lists them.");
	}
	out->db = migrations_open(ms, &out->node, out->dbname, e);
	if (out->db != NULL)
		return 0;
	migration_at_fini(out);
	return -1;
}

/* ---- a new one ---- */

/* Where the numbers begin from which a migration with its home in that region takes one; -1 and *e.
 */
static int
first_number(const char *region, const struct strlist *unasked, const struct err *why,
	     struct err *e)
{
	for (size_t i = 0; i < unasked->n; i++) {
		if (number_block(unasked->v[i]) != number_block(region))
			continue;
		err_set(e, "08006", "which numbers are in use in region %s is not known",
			unasked->v[i]);
		return err_detail(e, "%s", why->msg);
	}
	return unasked->n > 0 ? number_block(region) : NUMBER_FIRST;
}

/* A number that is in use nowhere, for a migration with its home in that region. */
static int
take_number(struct migrations *ms, const char *region, int *out, struct err *e)
{
	struct rows rows = { 0 };
	struct strlist unasked = { 0 };
	struct err why;
	int *used, first;

	read_all(ms, 0, &rows, &unasked, &why);
	used = xcalloc(rows.n + 1, sizeof(*used));
	for (size_t i = 0; i < rows.n; i++)
		used[i] = rows.v[i].m.id;
	first = first_number(region, &unasked, &why, e);
	*out = first > 0 ? number_next(first, used, rows.n) : 0;
	if (first > 0 && *out == 0)
		err_set(e, "53400", "no number is left for a migration");
	free(used);
	rows_fini(&rows);
	strlist_fini(&unasked);
	return *out > 0 ? 0 : -1;
}

static int
is_name_free(struct migrations *ms, const char *name, struct err *e)
{
	struct rows rows = { 0 };
	struct err ignored;
	int rc = 0;

	read_all(ms, LOOK_AGE_US, &rows, NULL, &ignored);
	for (size_t i = 0; i < rows.n && rc == 0; i++)
		if (strcmp(rows.v[i].m.name, name) == 0 && !is_over(&rows.v[i].m))
			rc = err_set(e, "42710", "migration %s exists already", name);
	rows_fini(&rows);
	return rc;
}

int
migrations_create(struct migrations *ms, struct migration *m, const char *created_by, struct err *e)
{
	const char *place;
	struct job *j;
	PGconn *c;
	int rc;

	free(m->created_by);
	m->created_by = xstrdup(created_by);
	if (*m->name != '\0' && is_name_free(ms, m->name, e) < 0)
		return -1;
	j = job_open(ms, m, e);
	if (j == NULL)
		return -1;
	place = job_first_place(j);
	rc = take_number(ms, job_node(j, place)->region, &m->id, e);
	c = rc == 0 ? job_db(j, place, e) : NULL;
	rc = c != NULL ? store_create(c, e) : -1;
	if (rc == 0)
		rc = store_insert(c, m, e);
	/* Another proxy may have taken the number meanwhile. */
	for (int i = 0; i < 4 && rc < 0 && strcmp(e->sqlstate, "42710") == 0; i++) {
		m->id++;
		rc = store_insert(c, m, e);
	}
	if (rc == 0)
		control_dbs_note(ms, job_node(j, place), job_dbname(j, place));
	job_close(j);
	return rc;
}
