/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/routes.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "migration/json.h"

#define FROM_FILE "" /* no region has that name */

struct known {
	char region[64];
	struct route_row row;
};

struct routes {
	struct site site;
	char file[256];
	pthread_mutex_t lock;
	struct known *known;
	size_t nknown;
	struct route_row *served; /* what is in force; place "": as configured */
	size_t nserved;
};

void
route_row_fini(struct route_row *r)
{
	free(r->database);
	free(r->place);
	free(r->newdb);
}

struct routes *
routes_new(const struct site *site)
{
	struct routes *r = xcalloc(1, sizeof(*r));
	struct site_settings settings = { 0 };

	r->site = *site;
	site->ops->settings(site->arg, &settings);
	snprintf(r->file, sizeof(r->file), "%s", settings.authority_file);
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
routes_free(struct routes *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->nknown; i++)
		route_row_fini(&r->known[i].row);
	for (size_t i = 0; i < r->nserved; i++)
		route_row_fini(&r->served[i]);
	free(r->known);
	free(r->served);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- what is known ---- */

static bool
is_known_better(const struct route_row *old, const char *region, const struct route_row *rows,
		size_t n)
{
	if (strcmp(old->place, region) == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (strcmp(old->database, rows[i].database) == 0 && rows[i].epoch >= old->epoch)
			return true;
	return false;
}

/* The newest decision; *is_known: there are rows at all. */
static const struct route_row *
newest(const struct routes *r, const char *database, bool *is_known)
{
	const struct route_row *best = NULL;

	*is_known = false;
	for (size_t i = 0; i < r->nknown; i++) {
		const struct route_row *row = &r->known[i].row;

		if (strcmp(row->database, database) != 0)
			continue;
		*is_known = true;
		if (*row->place != '\0' && (best == NULL || row->epoch > best->epoch))
			best = row;
	}
	return best;
}

static struct route_row *
served_of(struct routes *r, const char *database)
{
	for (size_t i = 0; i < r->nserved; i++)
		if (strcmp(r->served[i].database, database) == 0)
			return &r->served[i];
	r->served = xreallocarray(r->served, r->nserved + 1, sizeof(*r->served));
	r->served[r->nserved] = (struct route_row){ .database = xstrdup(database),
						    .place = xstrdup(""),
						    .newdb = xstrdup("") };
	return &r->served[r->nserved++];
}

/* ---- the file ---- */

static void
save(const struct routes *r)
{
	json_t *list;
	char *tmp;

	if (*r->file == '\0')
		return;
	list = json_array();
	for (size_t i = 0; i < r->nserved; i++) {
		const struct route_row *s = &r->served[i];

		if (*s->place != '\0')
			json_array_append_new(list,
					      json_pack("{ss,ss,ss,sI}", "database", s->database,
							"place", s->place, "newdb", s->newdb,
							"epoch", (json_int_t)s->epoch));
	}
	tmp = xasprintf("%s.new", r->file);
	if (json_dump_file(list, tmp, JSON_INDENT(1)) < 0 || rename(tmp, r->file) < 0)
		log_msg(LOG_LEVEL_WARNING, "%s cannot be written: %s", r->file, strerror(errno));
	free(tmp);
	json_decref(list);
}

/* ---- in force ---- */

/* True: the file has to say so. */
static bool
put_in_force(struct routes *r, const char *database)
{
	bool is_known;
	const struct route_row *best = newest(r, database, &is_known);
	struct route_row *now = served_of(r, database);
	int64_t epoch = best != NULL ? best->epoch : now->epoch + 1;
	const char *place = best != NULL ? best->place : "",
		   *newdb = best != NULL ? best->newdb : "";

	if (best != NULL ? epoch < now->epoch : is_known)
		return false;
	if (strcmp(place, now->place) == 0 && strcmp(newdb, now->newdb) == 0) {
		bool is_newer = best != NULL && epoch > now->epoch;

		now->epoch = is_newer ? epoch : now->epoch;
		return is_newer;
	}
	log_msg(LOG_LEVEL_INFO, "database %s is served %s%s", database,
		*place != '\0' ? "by " : "as configured", place);
	r->site.ops->serve(r->site.arg, database, place, newdb, epoch);
	free(now->place);
	free(now->newdb);
	now->place = xstrdup(place);
	now->newdb = xstrdup(newdb);
	now->epoch = epoch;
	return true;
}

void
routes_update(struct routes *r, const char *region, const struct route_row *rows, size_t n)
{
	struct strlist names = { 0 };
	bool is_file = strcmp(region, FROM_FILE) == 0, changed = false;
	size_t kept = 0;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nserved; i++)
		strlist_add(&names, r->served[i].database);
	for (size_t i = 0; i < r->nknown; i++) {
		struct known *k = &r->known[i];

		/* A row of the file ends where the region that it names was read itself. */
		if (strcmp(k->region, region) == 0 ||
		    (!is_file && strcmp(k->region, FROM_FILE) == 0 &&
		     is_known_better(&k->row, region, rows, n)))
			route_row_fini(&k->row);
		else
			r->known[kept++] = *k;
	}
	r->nknown = kept;
	for (size_t i = 0; i < n; i++) {
		struct known *k;

		r->known = xreallocarray(r->known, r->nknown + 1, sizeof(*r->known));
		k = &r->known[r->nknown++];
		*k = (struct known){ .row = { .database = xstrdup(rows[i].database),
					      .place = xstrdup(rows[i].place),
					      .newdb = xstrdup(rows[i].newdb),
					      .epoch = rows[i].epoch } };
		snprintf(k->region, sizeof(k->region), "%s", region);
		strlist_add(&names, rows[i].database);
	}
	for (size_t i = 0; i < names.n; i++)
		changed = put_in_force(r, names.v[i]) || changed;
	if (changed && !is_file)
		save(r);
	pthread_mutex_unlock(&r->lock);
	strlist_fini(&names);
}

void
routes_read(struct routes *r)
{
	json_error_t why;
	json_t *list, *v;
	struct route_row *rows;
	size_t i, n;

	if (*r->file == '\0' || access(r->file, R_OK) < 0)
		return;
	list = json_load_file(r->file, 0, &why);
	n = json_array_size(list);
	if (list == NULL)
		log_msg(LOG_LEVEL_WARNING, "%s cannot be read: %s", r->file, why.text);
	rows = xcalloc(n + 1, sizeof(*rows));
	json_array_foreach(list, i, v)
	{
		rows[i] =
		    (struct route_row){ .database = (char *)(uintptr_t)json_member(v, "database"),
					.place = (char *)(uintptr_t)json_member(v, "place"),
					.newdb = (char *)(uintptr_t)json_member(v, "newdb"),
					.epoch = json_integer_value(json_object_get(v, "epoch")) };
	}
	routes_update(r, FROM_FILE, rows, n);
	free(rows);
	json_decref(list);
}
