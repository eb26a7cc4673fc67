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
#include "migration/number.h"

#define LIST_AGE_US  (2 * USEC_PER_SEC)
#define REF_UUID_MIN 6

/* `unasked`: regions whose migrations are not all known by that; may be NULL. */
static void
look_everywhere(struct migrations *ms, int64_t age_us, struct findings *out,
		struct strlist *unasked, struct err *e)
{
	struct strlist regions = { 0 };
	struct err why;

	e->msg[0] = '\0';
	ms->site.ops->regions(ms->site.arg, &regions);
	for (size_t i = 0; i < regions.n; i++)
		if (migrations_look(ms, regions.v[i], age_us, out, &why) < 0) {
			*e = why;
			if (unasked != NULL)
				strlist_add(unasked, regions.v[i]);
		}
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
read_all(struct migrations *ms, int64_t age_us, struct rows *rows, struct strlist *unasked,
	 struct err *e)
{
	struct findings places = { 0 };

	look_everywhere(ms, age_us, &places, unasked, e);
	for (size_t i = 0; i < places.n; i++) {
		struct err why;
		PGconn *c = finding_open(ms, &places.v[i], &why);

		rows->from = &places.v[i];
		if (c == NULL || store_list(c, add_row, rows, &why) < 0) {
			*e = why;
			if (unasked != NULL)
				strlist_add(unasked, places.v[i].node.region);
		}
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

	read_all(ms, LIST_AGE_US, &rows, NULL, e);
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

		read_all(ms, age_us, &rows, NULL, &unreached);
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
	out->db = migrations_open(ms, &out->node, out->dbname, e);
	if (out->db != NULL)
		return 0;
	migration_at_fini(out);
	return -1;
}

/* ---- a new one ---- */

/* The first of the numbers from which a migration that is at home there has one; -1 and *e. */
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

/* One that is in use nowhere, for a migration that is at home in that region. */
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

	free(m->created_by);
	m->created_by = xstrdup(created_by);
	if (*m->name != '\0' && is_name_free(ms, m->name, e) < 0)
		return -1;
	j = job_open(ms, m, e);
	if (j == NULL)
		return -1;
	rc = take_number(ms, job_node(j, job_first_place(j))->region, &m->id, e);
	if (rc == 0)
		rc = insert_at_home(ms, j, m, e);
	job_close(j);
	return rc;
}
