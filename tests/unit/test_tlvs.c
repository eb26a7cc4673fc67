/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/tlvs.h"

#include "tests/unit/heads.h"
#include "tests/unit/proxyhdr_put.h"

#include "tests/unit/unit.h"

static const struct tlv_rules usual = { 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, UNIQUE_ID_PAIRS };
static char said[4096];

struct tlv {
	uint8_t type;
	const char *value;
	size_t n; /* 0: a string */
};

/* What a header with these TLVs claims; they end with a type of 0. */
static const char *
claims_of(const struct tlv_rules *r, const struct tlv *tlvs)
{
	struct buf body = { .cap = 65536 }, wire = { .cap = 65536 };
	struct proxyhdr_out out = { .crc32c = true };
	struct claims claims = { 0 };
	struct proxyhdr h;
	struct err e;
	size_t used;

	assert_true(addr_parse(slice_str("192.0.2.1"), &out.src));
	assert_true(addr_parse(slice_str("192.0.2.2"), &out.dst));
	for (; tlvs->type != 0; tlvs++)
		proxyhdr_put_tlv(&body, tlvs->type,
				 tlvs->n > 0 ? slice_of(tlvs->value, tlvs->n)
					     : slice_str(tlvs->value));
	out.tlvs = buf_view(&body);
	proxyhdr_put_v2(&wire, &out);
	assert_int_equal(proxyhdr_parse(buf_view(&wire), &h, &used, &e), PARSE_DONE);
	tlvs_claim(r, &h, &claims);
	for (unsigned i = 0; i < claims.n; i++)
		assert_int_equal(claims_get(&claims, i).source, SOURCE_TLV);
	claims_text(&claims, said);
	claims_fini(&claims);
	buf_fini(&body);
	buf_fini(&wire);
	return said;
}

#define CLAIMS(rules, ...) claims_of(rules, (const struct tlv[]){ __VA_ARGS__, { 0, NULL, 0 } })

static void
types_mean_what_was_configured(void **state)
{
	static const struct tlv_rules other = { .city = 0xf1, .country = 0xe4 };

	(void)state;
	assert_string_equal(CLAIMS(&usual, { 0xe4, "Paris", 0 }, { 0xe6, "FR", 0 }),
			    "city=Paris country=FR");
	assert_string_equal(CLAIMS(&usual, { 0xe5, "48.85,2.35", 0 }), "location=48.85,2.35");
	assert_string_equal(CLAIMS(&usual, { 0xe7, "gcp-us-east1", 0 }), "region=gcp-us-east1");
	assert_string_equal(CLAIMS(&other, { 0xf1, "Paris", 0 }, { 0xe4, "FR", 0 }),
			    "city=Paris country=FR");
	assert_string_equal(CLAIMS(&other, { 0xe5, "48.85,2.35", 0 }, { 0xe8, "city=Rome", 0 }),
			    "");
}

static void
what_is_unknown_is_not_claimed(void **state)
{
	(void)state;
	assert_string_equal(
	    CLAIMS(&usual, { 0xe4, "unknown", 0 }, { 0xe5, "0,0", 0 }, { 0xe6, "ZZ", 0 }), "");
}

static void
pairs_are_parts_or_headers(void **state)
{
	(void)state;
	assert_string_equal(CLAIMS(&usual, { 0xe8, "city=Austin", 0 },
				   { 0xe8, "region_code=TX", 0 }, { 0xe8, "country=US", 0 },
				   { 0xe8, "src=192.0.2.1", 0 }, { 0xe8, "nonsense", 0 }),
			    "city=Austin, TX, US country=US");
	assert_string_equal(CLAIMS(&usual, { 0xe8, "lat=48.85", 0 }, { 0xe8, "long=2.35", 0 }),
			    "location=48.85,2.35");
	assert_string_equal(CLAIMS(&usual, { 0xe8, "X-City=Paris", 0 }), "city=Paris");
	assert_string_equal(CLAIMS(&usual, { 0xe8, "CF-IPCountry = FR", 0 }), "country=FR");
	assert_string_equal(CLAIMS(&usual, { 0xe8, "X-Forwarded-For=192.0.2.1", 0 }), "");
	/* pairs within pairs end there */
	assert_string_equal(CLAIMS(&usual, { 0xe8, "pairs=city=Paris", 0 }), "city=Paris");
	assert_string_equal(CLAIMS(&usual, { 0xe8, "pairs=pairs=city=Paris", 0 }), "");
	/* its own type wins over a pair */
	assert_string_equal(CLAIMS(&usual, { 0xe8, "city=Rome", 0 }, { 0xe4, "Paris", 0 }),
			    "city=Paris");
}

static void
a_unique_id_of_pairs_says_where(void **state)
{
	(void)state;
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_UNIQUE_ID, "city=paris;src=127.0.0.1", 0 }),
			    "city=paris");
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_UNIQUE_ID, "id=7; city=Sao%20Paulo ;", 0 }),
			    "city=Sao Paulo");
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_UNIQUE_ID, "city=unknown;src=1.2.3.4", 0 }),
			    "");
}

static void
an_opaque_unique_id_says_nothing(void **state)
{
	static const char *const ids[] = {
		"7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790E",
		"paris",
		"3f2504e0-4f89-11d3-9a0c-0305e82c3301",
		"dGhlIGNpdHk=",
		"city=paris;opaque",
		"city=paris;=x",
		"x;city=paris",
		"city",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		assert_string_equal(CLAIMS(&usual, { PROXYHDR_UNIQUE_ID, ids[i], 0 }), "");
}

static void
a_bare_city_counts_where_the_operator_says_so(void **state)
{
	struct tlv_rules r = usual;

	(void)state;
	r.unique_id = UNIQUE_ID_CITY;
	assert_string_equal(CLAIMS(&r, { PROXYHDR_UNIQUE_ID, "paris", 0 }), "city=paris");
	assert_string_equal(CLAIMS(&r, { PROXYHDR_UNIQUE_ID, "city=rome;a=b", 0 }), "city=rome");
	r.unique_id = UNIQUE_ID_OFF;
	assert_string_equal(CLAIMS(&r, { PROXYHDR_UNIQUE_ID, "city=rome", 0 }), "");
}

static void
private_endpoints_are_claimed(void **state)
{
	(void)state;
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_AWS, "\1vpce-08D2bf15fac5001c9", 0 }),
			    "endpoint=vpce-08d2bf15fac5001c9");
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_GCP, "\0\0\0\0\0\1\xe2\x40", 8 }),
			    "endpoint=psc:123456");
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_AZURE, "\1\x40\xe2\1\0", 5 }),
			    "endpoint=azure:123456");
	assert_string_equal(CLAIMS(&usual, { PROXYHDR_AWS, "\1vpce-0 drop", 0 }), "");
	assert_string_equal(CLAIMS(&usual, { 0xe4, "Paris", 0 }, { PROXYHDR_AWS, "\1vpce-1", 0 }),
			    "city=Paris endpoint=vpce-1");
}

static void
endpoints_have_a_normal_form(void **state)
{
	static const struct {
		const char *text, *normal;
	} rows[] = {
		{ "vpce-0AbC-1", "vpce-0abc-1" },
		{ " PSC:123 ", "psc:123" },
		{ "azure:4294967295", "azure:4294967295" },
		{ "vpce-", NULL },
		{ "vpce-x y", NULL },
		{ "psc:", NULL },
		{ "psc:12x", NULL },
		{ "aws:123", NULL },
		{ "10.0.0.0/8", NULL },
		{ "", NULL },
	};
	char to[ENDPOINT_MAX], longest[ENDPOINT_MAX + 1] = "vpce-";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(endpoint_parse(slice_str(rows[i].text), to),
				 rows[i].normal != NULL);
		if (rows[i].normal != NULL)
			assert_string_equal(to, rows[i].normal);
	}
	memset(longest + 5, '1', ENDPOINT_MAX - 5);
	assert_false(endpoint_parse(slice_str(longest), to));
	longest[ENDPOINT_MAX - 1] = '\0';
	assert_true(endpoint_parse(slice_str(longest), to));
}

static void
types_of_clouds_are_taken(void **state)
{
	static const unsigned taken[] = { 0, 1, 5, 0xdf, 0xe0, 0xea, 0xee, 0xf8, 0xff, 256 };
	static const unsigned free_ones[] = { 0xe1, 0xe4, 0xe9, 0xeb, 0xef, 0xf0, 0xf7 };

	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		assert_false(tlvs_type_is_free(taken[i]));
	for (size_t i = 0; i < sizeof(free_ones) / sizeof(free_ones[0]); i++)
		assert_true(tlvs_type_is_free(free_ones[i]));
}

/* Three regions, of which the second lists an endpoint; what is claimed leads where? */
static struct locality
decided(struct topology *t, const struct claims *claims, struct locality_evidence *first)
{
	static const enum locality_source order[] = { SOURCE_OVERRIDE, SOURCE_TLV, SOURCE_GEOIP,
						      SOURCE_SELF };
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	struct locality_input in = {
		.claims = claims, .topology = t, .order = order, .norder = 4, .now_us = 1
	};
	struct locality l;
	size_t n;

	locality_decide(&in, &l, evidence, &n);
	*first = evidence[0];
	return l;
}

static struct topology *
three_regions(void)
{
	struct topology *t = topology_new();

	(void)topology_add_region(t, "a");
	(void)topology_add_region(t, "b");
	(void)topology_add_region(t, "c");
	strlist_add(&t->regions[1].endpoints, "vpce-0b");
	t->self_region = 0;
	return t;
}

static void
an_endpoint_belongs_to_the_region_that_lists_it(void **state)
{
	struct topology *t = three_regions();
	struct claims claims = { 0 };
	struct locality_evidence row;
	struct locality l;

	(void)state;
	claims_add(&claims, SOURCE_TLV, CLAIM_ENDPOINT, true, slice_str("vpce-0b"));
	l = decided(t, &claims, &row);
	assert_int_equal(l.region, 1);
	assert_int_equal(l.source, SOURCE_TLV);
	assert_string_equal(row.outcome, "endpoint of region b");
	claims_fini(&claims);
	claims_add(&claims, SOURCE_TLV, CLAIM_ENDPOINT, true, slice_str("psc:1"));
	l = decided(t, &claims, &row);
	assert_int_equal(l.source, SOURCE_SELF);
	assert_string_equal(row.outcome, "endpoint of no region");
	claims_fini(&claims);
	topology_unref(t);
}

static void
an_override_of_an_endpoint_is_the_most_specific(void **state)
{
	struct topology *t = three_regions();
	struct claims claims = { 0 };
	struct locality_evidence row;

	(void)state;
	topology_add_override(t, OVERRIDE_NETWORK, "psc:77", 2, 0);
	topology_add_override(t, OVERRIDE_NETWORK, "192.0.2.1/32", 1, 0);
	claims_add(&claims, SOURCE_GEOIP, CLAIM_ADDRESS, true, slice_str("192.0.2.1"));
	assert_int_equal(decided(t, &claims, &row).region, 1);
	claims_add(&claims, SOURCE_TLV, CLAIM_ENDPOINT, true, slice_str("psc:77"));
	assert_int_equal(decided(t, &claims, &row).region, 2);
	assert_int_equal(row.source, SOURCE_OVERRIDE);
	assert_int_equal(row.kind, CLAIM_ENDPOINT);
	claims_fini(&claims);
	claims_add(&claims, SOURCE_TLV, CLAIM_ENDPOINT, false, slice_str("psc:77"));
	assert_int_equal(decided(t, &claims, &row).source, SOURCE_SELF);
	claims_fini(&claims);
	topology_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_mean_what_was_configured),
		cmocka_unit_test(what_is_unknown_is_not_claimed),
		cmocka_unit_test(pairs_are_parts_or_headers),
		cmocka_unit_test(a_unique_id_of_pairs_says_where),
		cmocka_unit_test(an_opaque_unique_id_says_nothing),
		cmocka_unit_test(a_bare_city_counts_where_the_operator_says_so),
		cmocka_unit_test(private_endpoints_are_claimed),
		cmocka_unit_test(endpoints_have_a_normal_form),
		cmocka_unit_test(types_of_clouds_are_taken),
		cmocka_unit_test(an_endpoint_belongs_to_the_region_that_lists_it),
		cmocka_unit_test(an_override_of_an_endpoint_is_the_most_specific),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
