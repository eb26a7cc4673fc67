/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/geo.h"

#include <ctype.h>
#include <math.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/filecopy.h"
#include "base/snapshot.h"
#include "base/text.h"
#include "base/utf8.h"

#define CENTROID_KM 500 /* an accuracy this bad says no more than the country */

struct database {
	MMDB_s mmdb;
	char *path;
	struct filecopy_id id;
};

struct geo {
	struct refcount refs;
	size_t n;
	struct database v[];
};

/* Where a value may lie in a record: MaxMind's schema first, then the flat one. */
static const char *const city_paths[][4] = { { "city", "names", "en" }, { "city" }, { NULL } };
static const char *const country_paths[][4] = { { "country", "iso_code" },
						{ "country_code" },
						{ NULL } };
static const char *const lat_paths[][4] = { { "location", "latitude" }, { "latitude" }, { NULL } };
static const char *const lon_paths[][4] = { { "location", "longitude" },
					    { "longitude" },
					    { NULL } };
static const char *const radius_paths[][4] = { { "location", "accuracy_radius" }, { NULL } };

#define TYPE(t)     (1U << MMDB_DATA_TYPE_##t)
#define TYPE_TEXT   TYPE(UTF8_STRING)
#define TYPE_NUMBER (TYPE(DOUBLE) | TYPE(FLOAT))
#define TYPE_COUNT  (TYPE(UINT16) | TYPE(UINT32))

/* The value at the first path that leads to one of the wanted types. */
static bool
record_get(MMDB_entry_s *record, const char *const (*paths)[4], unsigned types,
	   MMDB_entry_data_s *out)
{
	for (; (*paths)[0] != NULL; paths++) {
		if (MMDB_aget_value(record, out, *paths) == MMDB_SUCCESS && out->has_data &&
		    out->type < 32 && (1U << out->type & types) != 0)
			return true;
	}
	return false;
}

static bool
record_number(MMDB_entry_s *record, const char *const (*paths)[4], double limit, double *out)
{
	MMDB_entry_data_s d;

	if (!record_get(record, paths, TYPE_NUMBER, &d))
		return false;
	*out = d.type == MMDB_DATA_TYPE_FLOAT ? (double)d.float_value : d.double_value;
	return isfinite(*out) && fabs(*out) <= limit;
}

/* Read one record; false where it says nothing that we could use. Text in the file is not
 * terminated, and another program wrote it: it is taken only where it is clean. */
static bool
record_read(MMDB_entry_s *record, struct geo_answer *out)
{
	MMDB_entry_data_s d;
	struct geo_answer a = { 0 };
	double lat = 0, lon = 0;

	if (record_get(record, city_paths, TYPE_TEXT, &d)) {
		struct slice city = slice_trim(slice_of(d.utf8_string, d.data_size));
		bool clean = city.n < sizeof(a.city) && utf8_valid(city);

		for (size_t i = 0; i < city.n; i++)
			clean = clean && !iscntrl((unsigned char)city.p[i]);
		if (clean)
			text_copy(a.city, sizeof(a.city), city);
	}
	if (record_get(record, country_paths, TYPE_TEXT, &d) && d.data_size == 2 &&
	    isalpha((unsigned char)d.utf8_string[0]) && isalpha((unsigned char)d.utf8_string[1])) {
		a.country[0] = (char)toupper((unsigned char)d.utf8_string[0]);
		a.country[1] = (char)toupper((unsigned char)d.utf8_string[1]);
	}
	a.has_location = record_number(record, lat_paths, 90, &lat) &&
			 record_number(record, lon_paths, 180, &lon) &&
			 (fpclassify(lat) != FP_ZERO || fpclassify(lon) != FP_ZERO);
	if (a.has_location) {
		a.lat = lat;
		a.lon = lon;
		if (record_get(record, radius_paths, TYPE_COUNT, &d))
			a.accuracy_km = d.type == MMDB_DATA_TYPE_UINT16 ? d.uint16 : d.uint32;
	}
	if (a.city[0] == '\0' && a.country[0] == '\0' && !a.has_location)
		return false;
	a.country_only = a.city[0] == '\0' || a.accuracy_km >= CENTROID_KM;
	*out = a;
	return true;
}

#define VERIFY_DEPTH   128
#define VERIFY_NODES   65536
#define VERIFY_RECORDS 64

/* How far the verification may still look: nodes of the tree, and records decoded. */
struct verification {
	const MMDB_s *mmdb;
	unsigned nodes, records;
	bool bad;
};

static void
verify_record(struct verification *v, uint8_t type, MMDB_entry_s *entry)
{
	MMDB_entry_data_list_s *list = NULL;

	if (type == MMDB_RECORD_TYPE_INVALID) {
		v->bad = true;
		return;
	}
	if (type != MMDB_RECORD_TYPE_DATA)
		return;
	if (MMDB_get_entry_data_list(entry, &list) != MMDB_SUCCESS)
		v->bad = true;
	MMDB_free_entry_data_list(list);
	v->records++;
}

/* Walk the tree, left first, until enough records have been decoded or something is bad. */
static void
verify_tree(struct verification *v, uint32_t number, unsigned depth)
{
	MMDB_search_node_s node;

	if (v->bad || v->records >= VERIFY_RECORDS || v->nodes++ >= VERIFY_NODES)
		return;
	if (depth >= VERIFY_DEPTH || MMDB_read_node(v->mmdb, number, &node) != MMDB_SUCCESS) {
		v->bad = true;
		return;
	}
	verify_record(v, node.left_record_type, &node.left_record_entry);
	if (node.left_record_type == MMDB_RECORD_TYPE_SEARCH_NODE)
		verify_tree(v, (uint32_t)node.left_record, depth + 1);
	verify_record(v, node.right_record_type, &node.right_record_entry);
	if (node.right_record_type == MMDB_RECORD_TYPE_SEARCH_NODE)
		verify_tree(v, (uint32_t)node.right_record, depth + 1);
}

static int
database_open(struct database *db, const char *path, struct err *e)
{
	struct verification v = { .mmdb = &db->mmdb };
	char copy[64];
	int fd, status;
	unsigned version;

	db->path = xstrdup(path);
	fd = filecopy_open("geoip", path, &db->id, e);
	if (fd < 0)
		return -1;
	/* libmaxminddb takes names only */
	snprintf(copy, sizeof(copy), "/proc/self/fd/%d", fd);
	status = MMDB_open(copy, MMDB_MODE_MMAP, &db->mmdb);
	close(fd);
	if (status != MMDB_SUCCESS) {
		memset(&db->mmdb, 0, sizeof(db->mmdb));
		return err_set(e, "", "geoip file \"%s\": %s", path, MMDB_strerror(status));
	}
	version = db->mmdb.metadata.ip_version;
	if (version != 4 && version != 6)
		return err_set(e, "", "geoip file \"%s\" is of an unknown IP version %u", db->path,
			       version);
	verify_tree(&v, 0, 0);
	if (v.bad)
		return err_set(e, "", "geoip file \"%s\" is damaged", db->path);
	if (v.records == 0)
		return err_set(e, "", "geoip file \"%s\" holds no records", db->path);
	return 0;
}

struct geo *
geo_open(const struct strlist *files, struct err *e)
{
	struct geo *g;

	if (e != NULL)
		memset(e, 0, sizeof(*e));
	if (files->n == 0)
		return NULL;
	g = xcalloc(1, sizeof(*g) + files->n * sizeof(g->v[0]));
	refcount_init(&g->refs);
	for (size_t i = 0; i < files->n; i++) {
		g->n++;
		if (database_open(&g->v[i], files->v[i], e) < 0) {
			geo_unref(g);
			return NULL;
		}
	}
	return g;
}

struct geo *
geo_ref(struct geo *g)
{
	if (g != NULL)
		refcount_get(&g->refs);
	return g;
}

void
geo_unref(struct geo *g)
{
	if (g == NULL || !refcount_put(&g->refs))
		return;
	for (size_t i = 0; i < g->n; i++) {
		if (g->v[i].mmdb.file_content != NULL)
			MMDB_close(&g->v[i].mmdb);
		free(g->v[i].path);
	}
	free(g);
}

/* A file of version 4 is not asked for IPv6. */
static bool
database_lookup(const struct database *db, const struct addr *a, const struct sockaddr *sa,
		struct geo_answer *out)
{
	MMDB_lookup_result_s r;
	int status;

	if (a->family == ADDR_IPV6 && db->mmdb.metadata.ip_version == 4)
		return false;
	r = MMDB_lookup_sockaddr(&db->mmdb, sa, &status);
	return status == MMDB_SUCCESS && r.found_entry && record_read(&r.entry, out);
}

bool
geo_lookup(const struct geo *g, const struct addr *a, struct geo_answer *out)
{
	struct sockaddr_storage ss;
	struct geo_answer answer;
	bool found = false;

	if (g == NULL || addr_to_sockaddr(a, &ss) == 0)
		return false;
	/* the first database that knows a city, else the first that knows anything */
	for (size_t i = 0; i < g->n && (!found || out->country_only); i++) {
		if (!database_lookup(&g->v[i], a, (const struct sockaddr *)&ss, &answer) ||
		    (found && answer.country_only))
			continue;
		*out = answer;
		found = true;
	}
	return found;
}

bool
geo_changed(const struct geo *g, const struct strlist *files)
{
	if (files->n != (g != NULL ? g->n : 0))
		return true;
	for (size_t i = 0; i < files->n; i++) {
		const struct database *db = &g->v[i];

		/* one that is gone is no new version: what is open stays */
		if (strcmp(files->v[i], db->path) != 0 || filecopy_is_replaced(db->path, &db->id))
			return true;
	}
	return false;
}

size_t
geo_files(const struct geo *g, struct geo_file *out, size_t max)
{
	size_t n = g != NULL && g->n < max ? g->n : max;

	if (g == NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const MMDB_metadata_s *m = &g->v[i].mmdb.metadata;

		out[i] = (struct geo_file){ .path = g->v[i].path,
					    .type = m->database_type,
					    .build_epoch = (int64_t)m->build_epoch,
					    .ip_version = m->ip_version };
	}
	return n;
}
