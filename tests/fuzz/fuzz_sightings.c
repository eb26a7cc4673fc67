/* SPDX-License-Identifier: PostgreSQL
 *
 * Answers of servers about other nodes, one row a line with its columns separated by '|', an answer
 * ended by an empty line; the first line has the maps. What is read is an address or nothing, and
 * however the answers change, each node of the roster is told by a source, or waits to be
 * forgotten.
 */
#include "config.h"

#include <stdlib.h>

#include "routing/roster.h"
#include "tests/fuzz/fuzz.h"

static struct strlist map;
static int64_t now_us;

static bool
no_sessions(void *arg, const struct found_node *f)
{
	(void)arg;
	(void)f;
	return false;
}

static void
check_roster(const struct roster *r)
{
	for (size_t i = 0; i < r->nfound; i++) {
		const struct found_node *f = &r->found[i];
		unsigned tellers = 0;

		for (size_t j = 0; j < r->nsources; j++) {
			bool told = false;

			for (size_t k = 0; k < r->sources[j].ntold && !told; k++)
				told = strcasecmp(r->sources[j].told[k].name, f->is.name) == 0;
			tellers += told;
		}
		FUZZ_ASSERT(tellers == f->tellers);
		FUZZ_ASSERT((tellers > 0) == (f->state == FOUND_NEW || f->state == FOUND_USED));
		FUZZ_ASSERT(roster_find(r, f->is.name) == f);
	}
}

/* One answer, mapped as control does, with the address as the name. */
static void
take(struct roster *r, const struct sightings *seen)
{
	static const struct roster_conf conf = { .min_keep_pct = 50, .grace_us = 3 };
	struct told_node *told = calloc(seen->n + 1, sizeof(*told));
	static char hosts[SIGHTINGS_MAX][SIGHTING_HOST_MAX], names[SIGHTINGS_MAX][300];
	size_t n = 0;

	FUZZ_ASSERT(told != NULL && seen->n <= SIGHTINGS_MAX);
	for (size_t i = 0; i < seen->n; i++) {
		const char *place = sighting_place(&seen->v[i], &map);

		FUZZ_ASSERT(place == NULL || place[0] != '\0');
		if (!sighting_address(&seen->v[i], &map, hosts[n], &told[n].port))
			continue;
		FUZZ_ASSERT(hosts[n][0] != '\0' && hosts[n][0] != '/' && told[n].port != 0);
		snprintf(names[n], sizeof(names[n]), "%s:%u", hosts[n], (unsigned)told[n].port);
		told[n].name = names[n];
		told[n].host = hosts[n];
		told[n].region = names[n];
		told[n++].serves = seen->v[i].serves;
	}
	if (roster_take(r, &conf, n % 2 == 0 ? "a" : "b", DISCOVER_REPLICATION, 7, told, n,
			++now_us) == ROSTER_REFUSED)
		FUZZ_ASSERT(roster_alarm(r, n % 2 == 0 ? "a" : "b", DISCOVER_REPLICATION)[0] !=
			    '\0');
	check_roster(r);
	if (n > 0)
		(void)roster_probed(r, names[0], true, 7);
	(void)roster_tick(r, &conf, now_us, no_sessions, NULL);
	check_roster(r);
	free(told);
}

static bool
add_row(struct sightings *seen, struct slice row)
{
	struct slice columns[SIGHTING_COLUMNS];
	struct err e = { 0 };
	size_t had = seen->n;

	for (int c = 0; c < SIGHTING_COLUMNS; c++)
		columns[c] = slice_cut(&row, '|');
	if (sightings_add(seen, columns, &e) == 0)
		return true;
	FUZZ_ASSERT(seen->n == had && e.msg[0] != '\0' && e.sqlstate[0] != '\0');
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size), line = slice_cut(&in, '\n'), item;
	struct roster *r = roster_new(), *copy;
	struct sightings seen = { 0 };

	now_us = 0;
	while (line.n > 0) {
		item = slice_cut(&line, ' ');
		if (item.n > 2 && memchr(item.p + 1, '=', item.n - 2) != NULL &&
		    memchr(item.p, '\0', item.n) == NULL)
			strlist_add_slice(&map, item.p, item.n);
	}
	while (in.n > 0) {
		line = slice_cut(&in, '\n');
		if (line.n > 0 && add_row(&seen, line))
			continue;
		take(r, &seen);
		sightings_fini(&seen);
	}
	sightings_fini(&seen);
	copy = roster_dup(r);
	FUZZ_ASSERT(copy->nfound == r->nfound && copy->nsources == r->nsources);
	roster_unref(r);
	check_roster(copy);
	roster_unref(copy);
	strlist_fini(&map);
	return 0;
}
