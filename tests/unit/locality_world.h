/* SPDX-License-Identifier: PostgreSQL
 *
 * One decision about a caller's place, with everything around it. All that fails is a failed test.
 */
#ifndef TESTS_UNIT_LOCALITY_WORLD_H
#define TESTS_UNIT_LOCALITY_WORLD_H

#include "routing/geo.h"
#include "routing/locality.h"

enum { EAST, WEST, EUROPE, NREGIONS };

struct world {
	struct topology *topology;
	struct gazetteer *gazetteer;
	struct geo *geo;
	struct claims claims;
	struct locality_input in;
	struct locality out;
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	size_t nevidence;
};

/* Fixture: MovR's three regions, the gazetteer, a database of addresses, no claims. */
int set_up(void **state);
int tear_down(void **state);
/* A claim; trusted, unless it is of a source that is not. */
void say(struct world *w, enum locality_source source, enum claim_kind kind, const char *value);
/* With and without evidence: the answers are one. */
void decide(struct world *w);
/* The region that the answer leads to. */
int lands_in(const struct world *w);
/* No claims any more. */
void forget(struct world *w);
/* On one claim alone. */
void decide_on(struct world *w, enum locality_source source, enum claim_kind kind,
	       const char *value);
/* What the evidence says of a source. */
const char *outcome_of(const struct world *w, enum locality_source source);
void assert_decided(const struct world *w, enum locality_source source, int region,
		    enum confidence confidence);

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
