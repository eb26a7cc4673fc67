/* SPDX-License-Identifier: PostgreSQL
 *
 * Claims about a caller's place, one a line: source, kind and trust in one character each, then the
 * value. Whatever is claimed, there is one answer, with or without evidence; names come out folded,
 * clean and within bounds; what an untrusted peer relays changes nothing.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "routing/locality_int.h"
#include "tests/fuzz/fuzz.h"

static struct topology *
make_world(void)
{
	static const char *const names[] = { "gcp-us-east1", "gcp-us-west1", "gcp-europe-west1" };
	static const char *const cities[] = { "washington dc", "seattle", "paris" };
	static const char *const networks[] = { "10.0.0.0/8", "2001:db8::/32", "10.1.0.0/16" };
	struct topology *t = topology_new();
	double lat = 0, lon = 0;

	for (size_t i = 0; i < 3; i++) {
		uint16_t r = topology_add_region(t, names[i]);

		FUZZ_ASSERT(places_region(slice_str(names[i]), &lat, &lon));
		region_set_location(&t->regions[r], lat, lon);
		strlist_add(&t->regions[r].cities, cities[i]);
		FUZZ_ASSERT(cidrlist_add(&t->regions[r].networks, slice_str(networks[i])));
	}
	strlist_add(&t->regions[0].countries, "US");
	topology_add_override(t, OVERRIDE_CITY, "atlantis", 1, 0);
	topology_add_override(t, OVERRIDE_COUNTRY, "JP", 2, 5);
	topology_add_override(t, OVERRIDE_NETWORK, "127.0.0.0/8", 0, 0);
	t->self_region = 0;
	return t;
}

static void
check_fold(struct slice value)
{
	char once[PLACE_NAME_MAX], twice[PLACE_NAME_MAX];
	size_t n = places_fold(value, once);

	FUZZ_ASSERT(n < PLACE_NAME_MAX && strlen(once) == n);
	FUZZ_ASSERT(strspn(once, "abcdefghijklmnopqrstuvwxyz0123456789 ") == n);
	FUZZ_ASSERT(strstr(once, "  ") == NULL);
	FUZZ_ASSERT(n == 0 || (once[0] != ' ' && once[n - 1] != ' '));
	FUZZ_ASSERT(places_fold(slice_of(once, n), twice) == n && strcmp(once, twice) == 0);
}

static void
check_clean(struct slice value)
{
	char clean[PLACE_NAME_MAX];
	size_t n = claim_clean(value, clean);

	FUZZ_ASSERT(n < PLACE_NAME_MAX && strlen(clean) == n);
	FUZZ_ASSERT(utf8_valid(slice_of(clean, n)));
	for (size_t i = 0; i < n; i++)
		FUZZ_ASSERT((unsigned char)clean[i] >= 0x20 && clean[i] != 0x7f);
}

static void
check_answer(const struct topology *t, const struct locality *l)
{
	size_t n = strlen(l->country);

	FUZZ_ASSERT((unsigned)l->source < SOURCE_COUNT);
	FUZZ_ASSERT(l->region >= -1 && l->region < t->nregions);
	FUZZ_ASSERT(l->region >= 0 || l->has_location);
	FUZZ_ASSERT(!l->has_location || (fabs(l->lat) <= 90 && fabs(l->lon) <= 180));
	FUZZ_ASSERT(l->confidence > CONFIDENCE_NONE && l->confidence <= CONFIDENCE_EXACT);
	FUZZ_ASSERT(utf8_valid(slice_str(l->city)));
	FUZZ_ASSERT(n == 0 || (n == 2 && strspn(l->country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2));
}

static bool
same_answer(const struct locality *a, const struct locality *b)
{
	return a->source == b->source && a->region == b->region && a->confidence == b->confidence &&
	       a->has_location == b->has_location &&
	       memcmp(&a->lat, &b->lat, sizeof(a->lat)) == 0 &&
	       memcmp(&a->lon, &b->lon, sizeof(a->lon)) == 0 && strcmp(a->city, b->city) == 0 &&
	       strcmp(a->country, b->country) == 0;
}

/* Lines to claims; without those that an untrusted peer relayed where `trusted_only` says so. */
static void
add_claims(struct claims *c, struct slice text, bool trusted_only)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');
		enum locality_source source;
		bool trusted;

		if (line.n < 3)
			continue;
		source = (enum locality_source)((unsigned char)line.p[0] % SOURCE_COUNT);
		trusted = (line.p[2] & 1) != 0;
		if (trusted_only && !trusted && (source == SOURCE_HEADER || source == SOURCE_TLV))
			continue;
		claims_add(c, source,
			   (enum claim_kind)((unsigned char)line.p[1] % CLAIM_KIND_COUNT), trusted,
			   slice_skip(line, 3));
	}
}

static void
check_evidence(const struct locality_evidence *v, size_t n, const struct locality *l)
{
	size_t won = 0;

	FUZZ_ASSERT(n >= 1 && n <= LOCALITY_EVIDENCE_MAX);
	for (size_t i = 0; i < n; i++) {
		FUZZ_ASSERT(v[i].outcome[0] != '\0' && strlen(v[i].outcome) < sizeof(v[i].outcome));
		FUZZ_ASSERT(!v[i].won || v[i].source == l->source);
		won += v[i].won;
	}
	FUZZ_ASSERT(won == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum locality_source order[] = { SOURCE_OVERRIDE, SOURCE_STARTUP, SOURCE_SNI,
						      SOURCE_HEADER,   SOURCE_TLV,     SOURCE_GEOIP,
						      SOURCE_SELF };
	static struct topology *t;
	static struct gazetteer *gazetteer;
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	struct claims all = { 0 }, trusted = { 0 };
	struct locality told, quiet, alone;
	struct slice text = slice_of((const char *)data, size);
	size_t n;

	if (t == NULL) {
		t = make_world();
		gazetteer = gazetteer_open(TEST_GAZETTEER, NULL);
		FUZZ_ASSERT(gazetteer != NULL);
	}
	check_fold(text);
	check_clean(text);
	add_claims(&all, text, false);
	add_claims(&trusted, text, true);
	struct locality_input in = { .claims = &all,
				     .topology = t,
				     .gazetteer = gazetteer,
				     .order = order,
				     .norder = SOURCE_COUNT,
				     .strict = size > 0 && (data[size - 1] & 0x80) != 0,
				     .now_us = 1 };
	locality_decide(&in, &told, evidence, &n);
	locality_decide(&in, &quiet, NULL, NULL);
	check_answer(t, &told);
	check_evidence(evidence, n, &told);
	FUZZ_ASSERT(same_answer(&told, &quiet));
	if (all.n < 32) {
		in.claims = &trusted;
		locality_decide(&in, &alone, NULL, NULL);
		FUZZ_ASSERT(same_answer(&told, &alone));
	}
	claims_fini(&all);
	claims_fini(&trusted);
	return 0;
}
