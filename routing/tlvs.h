/* SPDX-License-Identifier: PostgreSQL
 *
 * What the TLVs of a PROXY v2 header say of a caller's place: types of the custom range with a
 * meaning that the operator configures, name=value pairs, the unique id where it carries pairs
 * (HAProxy before 2.9 can send nothing else of its own), and the private endpoint of a cloud.
 *
 * Such a header is read from trusted peers only, so what it says is believed, except for the server
 * name: that is the client's own word, and the caller's business (see preface.c).
 */
#ifndef ROUTING_TLVS_H
#define ROUTING_TLVS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "protocol/proxyhdr.h"
#include "routing/locality.h"

enum unique_id {
	UNIQUE_ID_OFF,
	UNIQUE_ID_PAIRS, /* "city=paris;src=192.0.2.1", and nothing else */
	UNIQUE_ID_CITY,  /* the same, or a bare city */
};

extern const char *const unique_id_words[];

/* Types of TLVs; 0: none. */
struct tlv_rules {
	int city, location, country, region;
	int pairs; /* "name=value", as often as wanted */
	enum unique_id unique_id;
};

void tlvs_claim(const struct tlv_rules *r, const struct proxyhdr *h, struct claims *to);

/* Whether a type may be configured: of the custom range (or the experimental one), and none that a
 * cloud uses. */
bool tlvs_type_is_free(unsigned type);

/* A private endpoint as it is written in `networks`: "vpce-…" (AWS), "psc:123" (Google Cloud's
 * Private Service Connect), "azure:123" (the link's number). Writes the normal form; false where it
 * is none. */
#define ENDPOINT_MAX 128
bool endpoint_parse(struct slice text, char to[ENDPOINT_MAX]);

#endif
