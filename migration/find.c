/* SPDX-License-Identifier: PostgreSQL */
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

#define DATABASES_MAX "64"
#define LIST_AGE_US   (2 * USEC_PER_SEC)
#define FAILED_US     (3 * USEC_PER_SEC)
#define REF_UUID_MIN  6

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
		free(l);
		l = next;
	}
}

/* ---- looking ---- */

static PGconn *
open_db(struct migrations *ms, const struct site_node *node, const char *dbname, struct err *e)
{
	char *words = ms->site.ops->conninfo(ms->site.arg, node, dbname);
	PGconn *c = db_connect(words, 0, e);

	free(words);
	if (c == NULL)
		err_prefix(e, "%s", node->name);
	return c;
}

PGconn *
finding_open(struct migrations *ms, const struct finding *f, struct err *e)
{
	return open_db(ms, &f->node, f->dbname, e);
}

/* The databases of that server; where from does not matter. */
static PGresult *
databases_of(struct migrations *ms, const struct site_node *node, struct err *e)
{
	static const char *const doors[] = { "postgres", "template1", "defaultdb" };
	PGresult *r = NULL;

	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors) && r == NULL; i++) {
		PGconn *c = open_db(ms, node, doors[i], e);

		if (c == NULL && strcmp(e->sqlstate, "08006") == 0 &&
		    strstr(e->msg, "does not exist") == NULL)
			return NULL;
		if (c == NULL)
			continue;
		r = db_query(c, e,
			     "SELECT datname FROM pg_database WHERE datallowconn AND NOT "
			     "datistemplate ORDER BY 1 LIMIT " DATABASES_MAX,
			     0, NULL);
		PQfinish(c);
	}
	return r;
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

static int
look_at(struct migrations *ms, const struct site_node *node, struct findings *out, struct err *e)
{
	PGresult *r = databases_of(ms, node, e);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *dbname = PQgetvalue(r, i, 0);
		struct err why;
		PGconn *c = open_db(ms, node, dbname, &why);
		bool is_there = false;

		/* One that does not let us in has nothing of ours. */
		if (c != NULL && !is_standby(c) && store_exists(c, &is_there, &why) == 0 &&
		    is_there)
			findings_add(out, node, dbname);
		PQfinish(c);
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

int
migrations_look(struct migrations *ms, const char *region, int64_t age_us, struct findings *out,
		struct err *e)
{
	struct findings found = { 0 };
	struct site_node node;
	struct looked *l;

	if (writable_node(ms, region, &node, e) < 0)
		return -1;
	if (remembered(ms, region, &node, age_us, out))
		return 0;
	if (!node.is_usable && has_failed(ms, region))
		return err_set(e, "08006", "region %s: %s cannot be reached", region, node.name);
	if (look_at(ms, &node, &found, e) < 0) {
		findings_fini(&found);
		note_failure(ms, region);
		return -1;
	}
	findings_join(out, &found);
	pthread_mutex_lock(&ms->finding);
	l = looked_of(ms, region);
	findings_fini(&l->found);
	l->found = found;
	l->at_us = clock_us();
	pthread_mutex_unlock(&ms->finding);
	return 0;
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

static void
look_everywhere(struct migrations *ms, int64_t age_us, struct findings *out, struct err *e)
{
	struct strlist regions = { 0 };
	struct err why;

	e->msg[0] = '\0';
	ms->site.ops->regions(ms->site.arg, &regions);
	for (size_t i = 0; i < regions.n; i++)
		if (migrations_look(ms, regions.v[i], age_us, out, &why) < 0)
			*e = why;
	strlist_fini(&regions);
}

/* ---- migrations in them ---- */

struct rows {
	struct migration_at *v;
	size_t n;
	const struct finding *from;
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

/* The home rather than a copy, and the newer of two. */
static bool
is_better(const struct migration *a, const struct migration *b)
{
	return a->is_home != b->is_home ? a->is_home : a->rev > b->rev;
}

static void
add_row(void *to, const struct migration *m)
{
	struct rows *rows = to;
	struct migration_at *at = NULL;

	for (size_t i = 0; i < rows->n; i++)
		if (strcmp(rows->v[i].m.uuid, m->uuid) == 0) {
			at = &rows->v[i];
			if (!is_better(m, &at->m))
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
read_all(struct migrations *ms, int64_t age_us, struct rows *rows, struct err *e)
{
	struct findings places = { 0 };

	look_everywhere(ms, age_us, &places, e);
	for (size_t i = 0; i < places.n; i++) {
		struct err why;
		PGconn *c = finding_open(ms, &places.v[i], &why);

		rows->from = &places.v[i];
		if (c == NULL || store_list(c, add_row, rows, &why) < 0)
			*e = why;
		PQfinish(c);
	}
	findings_fini(&places);
	if (rows->n > 1)
		qsort(rows->v, rows->n, sizeof(*rows->v), by_number);
}

void
migrations_list(struct migrations *ms, void (*each)(void *to, const struct migration_at *at),
		void *to, struct err *e)
{
	struct rows rows = { 0 };

	read_all(ms, LIST_AGE_US, &rows, e);
	for (size_t i = 0; i < rows.n; i++)
		each(to, &rows.v[i]);
	rows_fini(&rows);
}

static bool
is_meant(const struct migration *m, const char *ref)
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

/* The one that is meant; of several of a name the one that is not over, then the newest. NULL and
 * *n: how many there are. */
static struct migration_at *
pick(struct rows *rows, const char *ref, size_t *n)
{
	struct migration_at *best = NULL;
	bool by_name = false;

	*n = 0;
	for (size_t i = 0; i < rows->n; i++) {
		struct migration_at *at = &rows->v[i];

		if (!is_meant(&at->m, ref))
			continue;
		(*n)++;
		by_name = strcmp(at->m.name, ref) == 0;
		if (best == NULL || (is_over(&best->m) && by_name))
			best = at;
	}
	return *n == 1 || by_name ? best : NULL;
}

static int
none(const char *ref, size_t n, const struct err *unreached, struct err *e)
{
	if (n > 1) {
		err_set(e, "42725", "more than one migration is meant by %s", ref);
		return err_hint(e, "The first digits of its uuid tell it from the others.");
	}
	err_set(e, "42704", "there is no migration %s", ref);
	if (*unreached->msg != '\0')
		err_detail(e, "Not every place could be asked: %s.", unreached->msg);
	return err_hint(e, "SHOW MIGRATIONS; lists them.");
}

int
migrations_find(struct migrations *ms, const char *ref, struct migration_at *out, struct err *e)
{
	struct migration_at *at = NULL;
	struct err unreached = { .msg = "" };
	size_t n = 0;

	for (int64_t age_us = LOOK_AGE_US; at == NULL && n == 0; age_us = 0) {
		struct rows rows = { 0 };

		read_all(ms, age_us, &rows, &unreached);
		at = pick(&rows, ref, &n);
		/* Its home may be where nothing was when we looked last. */
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
	if (at == NULL)
		return none(ref, n, &unreached, e);
	out->db = open_db(ms, &out->node, out->dbname, e);
	if (out->db != NULL)
		return 0;
	migration_at_fini(out);
	return -1;
}

/* ---- a new one ---- */

static int
next_id(struct migrations *ms)
{
	struct rows rows = { 0 };
	struct err e;
	int id = 0;

	read_all(ms, 0, &rows, &e);
	for (size_t i = 0; i < rows.n; i++)
		if (rows.v[i].m.id > id)
			id = rows.v[i].m.id;
	rows_fini(&rows);
	return id + 1;
}

static int
is_name_free(struct migrations *ms, const char *name, struct err *e)
{
	struct rows rows = { 0 };
	struct err ignored;
	int rc = 0;

	read_all(ms, LOOK_AGE_US, &rows, &ignored);
	for (size_t i = 0; i < rows.n && rc == 0; i++)
		if (strcmp(rows.v[i].m.name, name) == 0 && !is_over(&rows.v[i].m))
			rc = err_set(e, "42710", "migration %s exists already", name);
	rows_fini(&rows);
	return rc;
}

static int
insert_at_home(struct migrations *ms, struct job *j, struct migration *m, struct err *e)
{
	const char *place = job_first_place(j);
	PGconn *c = job_db(j, place, e);
	int rc = -1;

	if (c == NULL || store_create(c, e) < 0)
		return -1;
	for (int i = 0; i < 5 && rc < 0; i++, m->id++) {
		rc = store_insert(c, m, e);
		if (rc == 0 || strcmp(e->sqlstate, "42710") != 0)
			break;
	}
	if (rc == 0)
		migrations_note(ms, job_node(j, place), job_dbname(j, place));
	return rc;
}

int
migrations_create(struct migrations *ms, struct migration *m, const char *created_by, struct err *e)
{
	struct job *j;
	int rc;

	m->id = next_id(ms);
	free(m->created_by);
	m->created_by = xstrdup(created_by);
	if (*m->name != '\0' && is_name_free(ms, m->name, e) < 0)
		return -1;
	j = job_open(ms, m, e);
	if (j == NULL)
		return -1;
	rc = insert_at_home(ms, j, m, e);
	job_close(j);
	return rc;
}
