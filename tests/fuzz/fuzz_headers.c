/* SPDX-License-Identifier: PostgreSQL
 *
 * What a balancer says of a caller: the first line is a list of items of header_names, the others
 * are headers; the same bytes are also TLVs behind a PROXY header, a unique id, and an item by
 * themselves. Whatever they are, claims are few and bounded, a stranger's count for nothing, and an
 * item's normal form is its own.
 */
#include "config.h"

#include <string.h>

#include "routing/forwarded.h"
#include "routing/headers.h"
#include "routing/locality_int.h"
#include "routing/place_parts.h"
#include "routing/tlvs.h"
#include "tests/fuzz/fuzz.h"

#define CLAIMS_OF_A_HEAD 16

/* A configuration that says an item twice is refused. */
static bool
is_named(const struct strlist *names, const char *item)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i], item) == 0)
			return true;
	return false;
}

static void
take_items(struct slice line, struct strlist *names)
{
	char item[HEADERS_ITEM_MAX], again[HEADERS_ITEM_MAX];

	while (line.n > 0) {
		struct slice s = slice_trim(slice_cut(&line, ','));

		if (!headers_item(s, item))
			continue;
		FUZZ_ASSERT(headers_item(slice_str(item), again) && strcmp(item, again) == 0);
		if (names->n < 20 && !is_named(names, item))
			strlist_add(names, item);
	}
	if (names->n > 0)
		return;
	strlist_add(names, "gcp");
	strlist_add(names, "cloudflare");
	strlist_add(names, "akamai");
	strlist_add(names, "generic");
}

static void
check_claims(const struct claims *c, enum locality_source source, bool trusted)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct claim k = claims_get(c, i);
		double lat, lon;

		FUZZ_ASSERT(k.source == source && k.trusted == trusted && k.value.n <= 128);
		FUZZ_ASSERT((unsigned)k.kind < CLAIM_KIND_COUNT);
		FUZZ_ASSERT(k.kind != CLAIM_LOCATION || claim_location(k.value, &lat, &lon));
		FUZZ_ASSERT(k.kind == CLAIM_ADDRESS || k.kind == CLAIM_LOCATION ||
			    !place_part_is_unknown(k.value));
	}
}

static bool
same_claims(const struct claims *a, const struct claims *b)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct claim x = claims_get(a, i), y = claims_get(b, i);

		if (x.kind != y.kind || x.value.n != y.value.n ||
		    memcmp(x.value.p, y.value.p, x.value.n) != 0)
			return false;
	}
	return true;
}

/* Believed and not believed: the same is said, but only the former moves the address. */
static void
check_head(const struct http_head *h, const struct strlist *names, const struct cidrlist *trusted)
{
	struct header_rules rules = { names, trusted, (unsigned)names->n % 3 };
	struct claims good = { 0 }, bad = { 0 };
	struct addr found = { 0 }, kept = { 0 };

	headers_claim(&rules, h, true, &good, &found);
	headers_claim(&rules, h, false, &bad, &kept);
	FUZZ_ASSERT(good.n <= CLAIMS_OF_A_HEAD && bad.n <= CLAIMS_OF_A_HEAD + 1);
	FUZZ_ASSERT(kept.family == ADDR_NONE);
	FUZZ_ASSERT(bad.n >= good.n && same_claims(&good, &bad));
	check_claims(&good, SOURCE_HEADER, true);
	check_claims(&bad, SOURCE_HEADER, false);
	FUZZ_ASSERT((good.n == 0 && found.family == ADDR_NONE) || headers_count(&rules, h) > 0);
	claims_fini(&good);
	claims_fini(&bad);
}

/* Whoever writes more to the left of a list changes nothing of what its right end says. */
static void
check_forged(const struct http_head *h, const struct cidrlist *trusted)
{
	struct forwarded f = { .trusted = trusted };
	struct http_head last = { 0 };
	struct addr alone, whole;

	for (size_t i = h->nheaders; i-- > 0 && last.nheaders == 0;) {
		if (slice_is_nocase(h->headers[i].name, "forwarded"))
			last.headers[last.nheaders++] = h->headers[i];
	}
	if (!forwarded_rfc7239(&f, &last, "forwarded", &alone) || cidrlist_has(trusted, &alone))
		return;
	FUZZ_ASSERT(forwarded_rfc7239(&f, h, "forwarded", &whole));
	FUZZ_ASSERT(addr_same_ip(&alone, &whole));
}

static void
check_lines(struct slice lines, const struct strlist *names)
{
	struct buf text = { .cap = 1 << 20 };
	struct cidrlist trusted = { 0 };
	struct http_error he;
	struct http_head h;
	size_t used;

	buf_str(&text, "GET / HTTP/1.1\r\nHost: x\r\n");
	while (lines.n > 0) {
		buf_slice(&text, slice_trim(slice_cut(&lines, '\n')));
		buf_str(&text, "\r\n");
	}
	buf_str(&text, "\r\n");
	FUZZ_ASSERT(cidrlist_add(&trusted, slice_str("10.0.0.0/8")));
	if (http_parse_head(buf_view(&text), 65536, &h, &used, &he) == PARSE_DONE) {
		check_head(&h, names, &trusted);
		check_forged(&h, &trusted);
	}
	cidrlist_fini(&trusted);
	buf_fini(&text);
}

static void
check_tlvs(struct slice bytes)
{
	static const struct tlv_rules rules = { 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, UNIQUE_ID_CITY };
	struct proxyhdr h = { .version = 2, .tlvs = bytes, .unique_id = bytes };
	struct claims claims = { 0 };
	char endpoint[ENDPOINT_MAX], again[ENDPOINT_MAX];

	tlvs_claim(&rules, &h, &claims);
	FUZZ_ASSERT(claims.n <= 5);
	check_claims(&claims, SOURCE_TLV, true);
	claims_fini(&claims);
	if (endpoint_parse(bytes, endpoint))
		FUZZ_ASSERT(endpoint_parse(slice_str(endpoint), again) &&
			    strcmp(endpoint, again) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size), first;
	struct strlist names = { 0 };

	check_tlvs(rest);
	first = slice_cut(&rest, '\n');
	take_items(first, &names);
	check_lines(rest, &names);
	strlist_fini(&names);
	return 0;
}
