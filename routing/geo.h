/* SPDX-License-Identifier: PostgreSQL
 *
 * Address to place, by a list of MaxMind DB files (libmaxminddb). Knows both record schemas:
 * MaxMind's (city.names.en, location.latitude …) and the flat one of DB-IP (city, latitude …). A
 * struct geo is immutable and refcounted: reload opens anew and swaps; a file that does not open or
 * does not answer one lookup leaves the old one in place.
 *
 * Files are read into memory when they are opened: nothing that happens to a file on disk reaches
 * what is open, and no lookup waits for a disk.
 */
#ifndef ROUTING_GEO_H
#define ROUTING_GEO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

struct geo;

struct geo_answer {
	char city[128];  /* "" unknown */
	char country[3]; /* "" unknown */
	bool has_location;
	double lat, lon;
	unsigned accuracy_km; /* 0 unknown */
	bool country_only;    /* no city, or accuracy ≥ 500 km: the coordinates are a centroid */
};

/* Open every file of the list; NULL and *e on the first that fails. An empty list gives NULL
 * without an error (e->msg is ""). Files are verified: metadata, and the first records of the tree.
 */
struct geo *geo_open(const struct strlist *files, struct err *e);
struct geo *geo_ref(struct geo *g);
void geo_unref(struct geo *g); /* accepts NULL */
/* False where no database of the list knows the address (or g is NULL). The first database that
 * knows a city answers, else the first that knows anything. Thread-safe. */
bool geo_lookup(const struct geo *g, const struct addr *a, struct geo_answer *out);
/* Whether a file on disk differs (device, inode, mtime, size) from what is open, or the list does.
 * A file that is gone does not count: there is nothing to open instead. */
bool geo_changed(const struct geo *g, const struct strlist *files);

/* One row per open file, for SHOW LOCALITY SOURCES. */
struct geo_file {
	const char *path, *type;
	int64_t build_epoch; /* seconds since 1970 */
	unsigned ip_version;
};
size_t geo_files(const struct geo *g, struct geo_file *out, size_t max);

#endif
