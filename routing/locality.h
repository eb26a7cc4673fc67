/* SPDX-License-Identifier: PostgreSQL
 *
 * Where a caller is. Sources make claims (what was said, by whom, whether that may be believed);
 * locality_decide() turns claims into one locality, and can say of each claim what came of it.
 * Pure: claims, configuration and snapshots in, answer out; the same input gives the same answer
 * (INV-15).
 */
#ifndef ROUTING_LOCALITY_H
#define ROUTING_LOCALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/slice.h"
#include "routing/places.h"
#include "routing/topology.h"

struct gazetteer;
struct geo;

enum locality_source {
	SOURCE_OVERRIDE, /* the console */
	SOURCE_STARTUP,  /* meridian.region, .city, .country, .location */
	SOURCE_SNI,      /* the name the client put into its ClientHello */
	SOURCE_HEADER,   /* HTTP and WebSocket listeners */
	SOURCE_TLV,      /* PROXY v2 */
	SOURCE_GEOIP,    /* the true client address */
	SOURCE_SELF,     /* the proxy's own region */
	SOURCE_COUNT
};

const char *locality_source_name(enum locality_source s); /* "override", "startup", … */
extern const char *const locality_source_words[];

enum claim_kind {
	CLAIM_CITY,     /* any spelling; also "city, country" */
	CLAIM_COUNTRY,  /* ISO 3166 alpha-2 */
	CLAIM_REGION,   /* a region of ours, or any known cloud region */
	CLAIM_LOCATION, /* "lat,long" in degrees */
	CLAIM_ADDRESS,  /* the true client address, for geoip, networks and overrides */
	CLAIM_NAME,     /* a label of the server name (SNI): a city or a region */
	CLAIM_ENDPOINT, /* the private endpoint of a cloud that the caller came through */
	CLAIM_KIND_COUNT
};

const char *claim_kind_name(enum claim_kind k);

/* The claims of one session, packed into one allocation that grows with each; all zero is empty. A
 * claim is bounded: values over 128 bytes are cut, more than 32 claims are ignored. */
struct claims {
	uint8_t *packed;
	uint16_t size;
	uint8_t n;
	uint8_t nlater; /* of these, said later: claims_set() */
};

struct claim {
	enum locality_source source;
	enum claim_kind kind;
	bool trusted; /* not merely self-declared: counts under residency = strict */
	bool later;   /* claims_set() */
	struct slice value;
};

void claims_add(struct claims *c, enum locality_source source, enum claim_kind kind, bool trusted,
		struct slice value);
/* The i-th claim; its value points into the packed memory. */
struct claim claims_get(const struct claims *c, unsigned i);
/* Drop every claim of a source. */
void claims_drop(struct claims *c, enum locality_source source);
/* SET meridian.city, in a session that lives: a claim of SOURCE_STARTUP that replaces what was said
 * later of this kind before. As long as anything was said later, what the startup packet said does
 * not count; RESET takes back, and with the last of it the startup packet's word counts again. */
void claims_set(struct claims *c, enum claim_kind kind, struct slice value);
void claims_reset(struct claims *c, enum claim_kind kind);
void claims_reset_all(struct claims *c);
/* False: the value can be nothing of this kind (a location that is no pair of degrees, a country
 * that there is not). One that stands for "unknown" is sound. */
bool claim_is_sound(enum claim_kind kind, struct slice value);
void claims_fini(struct claims *c);

enum confidence { CONFIDENCE_NONE, CONFIDENCE_COUNTRY, CONFIDENCE_CITY, CONFIDENCE_EXACT };

const char *confidence_name(enum confidence c); /* "none", "country", "city", "exact" */

struct locality {
	enum locality_source source;
	enum confidence confidence;
	int region; /* a region named outright (index), or -1 */
	bool has_location;
	double lat, lon;
	char city[PLACE_NAME_MAX]; /* as it will be shown; "" unknown */
	char country[3];           /* "" unknown */
};

/* Everything that locality_decide() looks at. */
struct locality_input {
	const struct claims *claims;
	const struct topology *topology;
	const struct gazetteer *gazetteer; /* may be NULL */
	const struct geo *geo;             /* may be NULL */
	const enum locality_source *order;
	size_t norder;
	bool strict; /* residency = strict: claims that are not trusted do not count */
	int64_t now_us;
};

/* What came of one source: EXPLAIN LOCALITY and SHOW SESSION print these. */
struct locality_evidence {
	enum locality_source source;
	enum claim_kind kind;
	struct slice value; /* points into the claims, or into the topology (an override) */
	bool trusted;
	bool won;
	char outcome[160]; /* "city of region us-east1", "no such city", "address is in no database"
			      … */
};

#define LOCALITY_EVIDENCE_MAX 40

/* Decide. `evidence` may be NULL; otherwise gets up to LOCALITY_EVIDENCE_MAX rows in the order in
 * which they were weighed, and *nevidence how many. Always gives an answer: `self` is the last
 * resort (confidence none where the proxy does not know its own region). */
void locality_decide(const struct locality_input *in, struct locality *out,
		     struct locality_evidence *evidence, size_t *nevidence);

/* The region (index) that callers of this city belong to: the one that lists it, else the nearest;
 * health does not count. -1: the city is not known. `gazetteer` may be NULL. */
int locality_region_of_city(const struct topology *t, const struct gazetteer *gazetteer,
			    struct slice city);

#endif
