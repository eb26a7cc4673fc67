/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/tlvs.h"

#include <ctype.h>
#include <stdio.h>

#include "base/text.h"
#include "routing/headers.h"
#include "routing/place_parts.h"

const char *const unique_id_words[] = { "off", "pairs", "city", NULL };

#define AWS_PREFIX "vpce-"

/* How the clouds of proxyhdr_endpoint() are written. */
static const struct {
	const char *cloud, *prefix;
} clouds[] = {
	{ "aws", "" },
	{ "gcp", "psc:" },
	{ "azure", "azure:" },
};
#define CLOUDS (sizeof(clouds) / sizeof(clouds[0]))

bool
tlvs_type_is_free(unsigned type)
{
	return type > PROXYHDR_CUSTOM_MIN && type <= 0xf7 && type != PROXYHDR_AWS &&
	       type != PROXYHDR_AZURE;
}

static bool
all_of(struct slice s, int (*is)(int), const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!is(c) && (c == '\0' || strchr(others, c) == NULL))
			return false;
	}
	return s.n > 0;
}

bool
endpoint_parse(struct slice text, char to[ENDPOINT_MAX])
{
	struct slice s = slice_trim(text);
	bool good = false;

	if (s.n >= ENDPOINT_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		to[i] = (char)tolower((unsigned char)s.p[i]);
	to[s.n] = '\0';
	s = slice_of(to, s.n);
	if (slice_starts(s, AWS_PREFIX))
		good = all_of(slice_skip(s, strlen(AWS_PREFIX)), isalnum, "-");
	for (size_t i = 0; i < CLOUDS; i++) {
		if (clouds[i].prefix[0] != '\0' && slice_starts(s, clouds[i].prefix))
			good = all_of(slice_skip(s, strlen(clouds[i].prefix)), isdigit, "");
	}
	return good;
}

/* "name=value", the name being a part of a place or a header that says one. */
static void
put_named(struct place_parts *s, struct slice pair)
{
	struct slice value = pair, name = slice_trim(slice_cut(&value, '='));
	int part = headers_part(name);

	if (value.p != NULL && part >= 0)
		place_parts_put(s, (enum place_part)part, value);
}

void
tlvs_claim(const struct tlv_rules *r, const struct proxyhdr *h, struct claims *to)
{
	const struct {
		int type;
		enum place_part part;
	} own[] = {
		{ r->city, PLACE_CITY },
		{ r->location, PLACE_LOCATION },
		{ r->country, PLACE_COUNTRY },
		{ r->region, PLACE_REGION },
	};
	struct slice rest = h->tlvs, id = h->unique_id;
	struct place_parts said = { 0 };
	struct proxyhdr_tlv tlv;
	char text[PROXYHDR_ENDPOINT_MAX + 16], endpoint[ENDPOINT_MAX];
	struct proxyhdr_endpoint e;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (own[i].type > 0 && proxyhdr_tlv_find(h, (uint8_t)own[i].type, &tlv.value))
			place_parts_put(&said, own[i].part, tlv.value);
	}
	while (proxyhdr_tlv_next(&rest, &tlv)) {
		if (r->pairs > 0 && tlv.type == r->pairs)
			put_named(&said, tlv.value);
	}
	/* pairs, and nothing but pairs; or where the operator says so, a city */
	if (r->unique_id != UNIQUE_ID_OFF && id.n > 0 && memchr(id.p, '=', id.n) != NULL)
		place_parts_put_pairs(&said, id, ';', true);
	else if (r->unique_id == UNIQUE_ID_CITY && id.n > 0)
		place_parts_put(&said, PLACE_CITY, id);
	place_parts_claim(&said, SOURCE_TLV, true, to);
	if (!proxyhdr_endpoint(h, &e))
		return;
	for (size_t i = 0; i < CLOUDS; i++) {
		if (strcmp(clouds[i].cloud, e.cloud) == 0)
			snprintf(text, sizeof(text), "%s%s", clouds[i].prefix, e.id);
	}
	if (endpoint_parse(slice_str(text), endpoint))
		claims_add(to, SOURCE_TLV, CLAIM_ENDPOINT, true, slice_str(endpoint));
}
