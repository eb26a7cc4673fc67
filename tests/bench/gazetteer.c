/* SPDX-License-Identifier: PostgreSQL
 *
 * What the gazetteer costs: the time to open its file, to look a name up, and to decide where the
 * caller is who says it. Part of `make bench`; alone:
 *
 *   tests/bench/gazetteer routing/gazetteer.dat
 *
 * Lookups go round all the names of the file in an order that no cache foresees, folding included:
 * what a session pays for "São Paulo".
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "routing/gazetteer.h"
#include "routing/locality.h"

#define OPENINGS 50
#define LOOKUPS  2000000
#define STEP     7919 /* prime: hops over the names */

/* CPU time: what else the machine does is not counted. */
static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct gazetteer *
time_openings(const char *path)
{
	struct gazetteer *g = NULL;
	double least = 1e18;
	struct err e;

	for (int i = 0; i < OPENINGS; i++) {
		double begin = cpu_ns(), took;

		gazetteer_unref(g);
		g = gazetteer_open(path, &e);
		took = cpu_ns() - begin;
		least = took < least ? took : least;
		if (g == NULL) {
			fprintf(stderr, "%s\n", e.msg);
			exit(1);
		}
	}
	printf("gazetteer: %zu places, %zu names, open and check %.2f ms\n",
	       gazetteer_size(g).places, gazetteer_size(g).names, least / 1e6);
	return g;
}

static void
time_lookups(const struct gazetteer *g)
{
	size_t names = gazetteer_size(g).names, found = 0, at = 0;
	char folded[PLACE_NAME_MAX];
	struct place p;
	double begin = cpu_ns(), find, fold;

	for (size_t i = 0; i < LOOKUPS; i++, at = (at + STEP) % names)
		found += gazetteer_find(g, gazetteer_name(g, at), &p, 1);
	find = (cpu_ns() - begin) / LOOKUPS;
	begin = cpu_ns();
	for (size_t i = 0; i < LOOKUPS; i++, at = (at + STEP) % names) {
		places_fold(slice_str(gazetteer_name(g, at)), folded);
		found += gazetteer_find(g, folded, &p, 1);
	}
	fold = (cpu_ns() - begin) / LOOKUPS;
	printf("gazetteer: lookup %.0f ns, with folding %.0f ns%s\n", find, fold,
	       found == (size_t)2 * LOOKUPS ? "" : " (NOT ALL FOUND)");
}

/* All that a claim costs: cleaning, parsing, lookup, choice, nearest region. */
static void
time_decisions(const struct gazetteer *g)
{
	static const char *const regions[] = { "gcp-us-east1", "gcp-us-west1", "gcp-europe-west1" };
	static const enum locality_source order[] = { SOURCE_HEADER, SOURCE_SELF };
	static const char *const said[] = { "paris", "São Paulo", "San José", "Paris, US",
					    "London, CA-ON" };
	struct topology *t = topology_new();

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		double lat, lon;
		uint16_t r = topology_add_region(t, regions[i]);

		if (places_region(slice_str(regions[i]), &lat, &lon))
			region_set_location(&t->regions[r], lat, lon);
	}
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		struct claims claims = { 0 };
		struct locality_input in = { .claims = &claims,
					     .topology = t,
					     .gazetteer = g,
					     .order = order,
					     .norder = 2,
					     .now_us = 1 };
		struct locality l;
		double begin;

		claims_add(&claims, SOURCE_HEADER, CLAIM_CITY, true, slice_str(said[i]));
		begin = cpu_ns();
		for (int k = 0; k < LOOKUPS / 10; k++)
			locality_decide(&in, &l, NULL, NULL);
		printf("gazetteer: a decision on \"%s\" %.0f ns (%s %s)\n", said[i],
		       (cpu_ns() - begin) / (LOOKUPS / 10.0), locality_source_name(l.source),
		       l.country);
		claims_fini(&claims);
	}
	topology_unref(t);
}

int
main(int argc, char **argv)
{
	struct gazetteer *g;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FILE\n", argv[0]);
		return 2;
	}
	g = time_openings(argv[1]);
	time_lookups(g);
	time_decisions(g);
	gazetteer_unref(g);
	return 0;
}
