/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/headers.h"

#include "tests/unit/heads.h"

#include "tests/unit/unit.h"

static const char *const all_sets[] = { "gcp",    "appengine", "cloudflare", "cloudfront",
					"vercel", "fastly",    "fly",        "akamai",
					"azure",  "generic",   NULL };

/* What was read from a head. */
struct read {
	char claims[4096];
	char address[ADDR_TEXT_MAX];
	unsigned count;
};

struct how {
	const char *const *names; /* NULL: all sets */
	const char *trusted;      /* networks of proxies, or NULL */
	unsigned hops;
	bool untrusted;
};

static struct read
read_head(const char *lines, const struct how *how)
{
	struct strlist names = { 0 };
	struct cidrlist trusted = { 0 };
	struct header_rules rules = { .names = &names, .trusted = &trusted, .hops = how->hops };
	struct claims claims = { 0 };
	struct addr address = { 0 };
	struct http_head h;
	char item[HEADERS_ITEM_MAX];
	const char *text = head_of(lines, &h);
	struct read r;

	for (const char *const *p = how->names != NULL ? how->names : all_sets; *p != NULL; p++) {
		assert_true(headers_item(slice_str(*p), item));
		strlist_add(&names, item);
	}
	if (how->trusted != NULL)
		assert_true(cidrlist_add(&trusted, slice_str(how->trusted)));
	headers_claim(&rules, &h, !how->untrusted, &claims, &address);
	claims_text(&claims, r.claims);
	addr_print_ip(&address, r.address);
	r.count = headers_count(&rules, &h);
	for (unsigned i = 0; i < claims.n; i++)
		assert_int_equal(claims_get(&claims, i).source, SOURCE_HEADER);
	claims_fini(&claims);
	strlist_fini(&names);
	cidrlist_fini(&trusted);
	free((char *)(uintptr_t)text);
	return r;
}

static struct read
read_plain(const char *lines)
{
	return read_head(lines, &(struct how){ 0 });
}

/* Every row of what clouds and CDNs send, as it was seen or is documented. */
static const struct {
	const char *lines, *claims;
} sent_by_clouds[] = {
	/* Google Cloud: names are the operator's */
	{ "X-City: Paris\r\n", "city=Paris" },
	{ "x-city: paris\r\n", "city=paris" },
	{ "X-City: \r\n", "" },
	{ "X-Client-City: New York\r\n", "city=New York" },
	{ "X-Client-City-Lat-Long: 37.386051,-122.083851\r\n", "location=37.386051,-122.083851" },
	{ "X-Client-CityLatLong: 37.386051,-122.083851\r\n", "location=37.386051,-122.083851" },
	{ "X-Client-City: Mountain View\r\nX-Client-Region: US\r\n"
	  "X-Client-Region-Subdivision: USCA\r\n",
	  "city=Mountain View, CA, US country=US" },
	{ "X-Client-City: Mountain View\r\nX-Client-Region-Subdivision: USCA\r\n",
	  "city=Mountain View, CA, US country=US" },
	{ "X-Client-City: Paris\r\nX-Client-Region: FR\r\n"
	  "X-Client-Region-Subdivision: FRIDF\r\n",
	  "city=Paris, IDF, FR country=FR" },
	{ "X-Client-City: Paris\r\nX-Client-Region: US\r\n"
	  "X-Client-Region-Subdivision: FRIDF\r\n",
	  "city=Paris country=US" },
	{ "X-Client-Geo-Location: FR,Paris\r\n", "city=Paris country=FR" },
	{ "X-Client-Geo-Location: US,Springfield\r\nX-Client-Region-Subdivision: USIL\r\n",
	  "city=Springfield, IL, US country=US" },
	{ "X-Client-Geo-Location: US,\r\n", "country=US" },
	{ "X-Client-Geo-Location: ,\r\n", "" },
	{ "X-PLACE: paris,48.85,2.35\r\n", "city=paris location=48.85,2.35" },
	{ "X-PLACE: paris,\r\n", "city=paris" },
	{ "X-PLACE: ,48.85,2.35\r\n", "location=48.85,2.35" },
	{ "X-PLACE: 48.85,2.35\r\n", "location=48.85,2.35" },
	{ "X-PLACE: paris,0.000000,0.000000\r\n", "city=paris" },
	/* App Engine */
	{ "X-Appengine-City: mountain view\r\nX-Appengine-CityLatLong: "
	  "37.386051,-122.083851\r\nX-Appengine-Country: US\r\nX-Appengine-Region: ca\r\n",
	  "city=mountain view, ca, US country=US location=37.386051,-122.083851" },
	{ "X-Appengine-City: ?\r\nX-Appengine-CityLatLong: 0.000000,0.000000\r\n"
	  "X-Appengine-Country: ZZ\r\nX-Appengine-Region: ?\r\n",
	  "" },
	/* Cloudflare */
	{ "cf-ipcity: Z\xc3\xbcrich\r\ncf-ipcountry: CH\r\ncf-ipcontinent: EU\r\n"
	  "cf-iplatitude: 47.36667\r\ncf-iplongitude: 8.55000\r\ncf-region: Zurich\r\n"
	  "cf-region-code: ZH\r\ncf-timezone: Europe/Zurich\r\n",
	  "city=Z\xc3\xbcrich, ZH, CH country=CH location=47.36667,8.55000" },
	{ "cf-ipcity: Z\xfcrich\r\n", "city=Z\xc3\xbcrich" },
	{ "CF-IPCountry: XX\r\n", "" },
	{ "CF-IPCountry: T1\r\n", "" },
	{ "CF-IPCity: Austin\r\nCF-IPCountry: US\r\nCF-Region-Code: TX\r\n",
	  "city=Austin, TX, US country=US" },
	{ "CF-IPLatitude: 47.4\r\n", "" },
	/* CloudFront */
	{ "CloudFront-Viewer-City: Ann Arbor\r\nCloudFront-Viewer-Country: US\r\n"
	  "CloudFront-Viewer-Country-Region: MI\r\n"
	  "CloudFront-Viewer-Latitude: 42.30680\r\n"
	  "CloudFront-Viewer-Longitude: -83.70590\r\n",
	  "city=Ann Arbor, MI, US country=US location=42.30680,-83.70590" },
	{ "CloudFront-Viewer-City: S%C3%A3o%20Paulo\r\nCloudFront-Viewer-Country: BR\r\n",
	  "city=S\xc3\xa3o Paulo country=BR" },
	{ "CloudFront-Viewer-City: Stoke+on+Trent\r\n", "city=Stoke+on+Trent" },
	/* Vercel */
	{ "x-vercel-ip-city: San%20Francisco\r\nx-vercel-ip-country: US\r\n"
	  "x-vercel-ip-country-region: CA\r\nx-vercel-ip-latitude: 37.7749\r\n"
	  "x-vercel-ip-longitude: -122.4194\r\n",
	  "city=San Francisco, CA, US country=US location=37.7749,-122.4194" },
	/* Fly.io, Akamai */
	{ "Fly-Region: cdg\r\n", "region=cdg" },
	{ "X-Akamai-Edgescape: georegion=246,country_code=US,region_code=CA,"
	  "city=SANFRANCISCO,dma=807,lat=40.6397,long=-73.7789,areacode=415+510\r\n",
	  "city=SANFRANCISCO, CA, US country=US location=40.6397,-73.7789" },
	{ "X-Akamai-Edgescape: georegion=246\r\n", "" },
	/* others */
	{ "x-city: Oslo\r\nx-country: NO\r\n", "city=Oslo" },
	{ "X-Country: NO\r\n", "country=NO" },
	{ "X-Unheard-Of: Oslo\r\n", "" },
};

static void
what_clouds_send_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sent_by_clouds) / sizeof(sent_by_clouds[0]); i++) {
		struct read r = read_plain(sent_by_clouds[i].lines);

		if (strcmp(r.claims, sent_by_clouds[i].claims) != 0)
			print_error("%s", sent_by_clouds[i].lines);
		assert_string_equal(r.claims, sent_by_clouds[i].claims);
		assert_string_equal(r.address, "-");
	}
}

static void
values_that_stand_for_unknown_are_absent(void **state)
{
	static const char *const values[] = { "",     "?",   "-",       "unknown", "Unknown",
					      "null", "%3F", " \t ",    ",",       "ZZ",
					      "xx",   "%20", "\xc2\x85" };
	char line[200];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(line, sizeof(line), "X-City: %s\r\n", values[i]);
		assert_string_equal(read_plain(line).claims, "");
	}
}

static void
coordinates_that_are_none_are_absent(void **state)
{
	static const char *const lines[] = {
		"X-Client-City-Lat-Long: 0,0\r\n",
		"X-Client-City-Lat-Long: 0.000000,-0.0\r\n",
		"X-Client-City-Lat-Long: 999.0,999.0\r\n",
		"X-Client-City-Lat-Long: 48.85\r\n",
		"X-Client-City-Lat-Long: 90.1,0\r\n",
		"X-Client-City-Lat-Long: 10,180.5\r\n",
		"X-Client-City-Lat-Long: nan,1\r\n",
		"CF-IPLatitude: 999.0\r\nCF-IPLongitude: 999.0\r\n",
		"CF-IPLatitude: 0\r\nCF-IPLongitude: 0.0\r\n",
		"CF-IPLatitude: 1e400\r\nCF-IPLongitude: 2\r\n",
		"CF-IPLongitude: 2.35\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_string_equal(read_plain(lines[i]).claims, "");
	assert_string_equal(read_plain("CF-IPLatitude: 0\r\nCF-IPLongitude: 32.6\r\n").claims,
			    "location=0,32.6");
}

static void
halves_of_two_senders_make_no_location(void **state)
{
	(void)state;
	assert_string_equal(
	    read_plain("CF-IPLatitude: 48.85\r\nX-Vercel-IP-Longitude: 2.35\r\n").claims, "");
}

static void
the_last_of_two_headers_wins(void **state)
{
	(void)state;
	assert_string_equal(read_plain("X-City: rome\r\nX-City: paris\r\n").claims, "city=paris");
	assert_string_equal(read_plain("X-City: rome\r\nx-CITY: ?\r\n").claims, "");
}

static void
sets_are_asked_in_the_order_of_the_list(void **state)
{
	static const char *const edge_first[] = { "cloudflare", "gcp", NULL };
	static const char *const balancer_first[] = { "gcp", "cloudflare", NULL };
	static const char both[] = "X-City: Frankfurt\r\nCF-IPCity: Oslo\r\nCF-IPCountry: NO\r\n";
	static const char country[] = "X-City: Frankfurt\r\nCF-IPCountry: NO\r\n";

	(void)state;
	assert_string_equal(read_head(both, &(struct how){ .names = edge_first }).claims,
			    "city=Oslo country=NO");
	assert_string_equal(read_head(both, &(struct how){ .names = balancer_first }).claims,
			    "city=Frankfurt");
	/* a country alone is not the last word */
	assert_string_equal(read_head(country, &(struct how){ .names = edge_first }).claims,
			    "country=NO city=Frankfurt");
}

static void
sets_that_are_not_listed_are_not_read(void **state)
{
	static const char *const gcp[] = { "gcp", NULL };
	struct read r = read_head("CF-IPCity: Oslo\r\nCF-Connecting-IP: 192.0.2.1\r\n",
				  &(struct how){ .names = gcp });

	(void)state;
	assert_string_equal(r.claims, "");
	assert_string_equal(r.address, "-");
	assert_int_equal(r.count, 0);
}

static void
headers_of_ones_own_are_one_set(void **state)
{
	static const char *const own[] = { "X-Town:city",     "gcp",          "x-lat: latitude",
					   "X-Lon:longitude", "CF-IPCountry", NULL };
	struct how how = { .names = own };

	(void)state;
	assert_string_equal(read_head("X-Town: Graz\r\nX-LAT: 47.07\r\nX-Lon: 15.43\r\n"
				      "CF-IPCountry: AT\r\nX-City: Rome\r\n",
				      &how)
				.claims,
			    "city=Graz country=AT location=47.07,15.43");
	assert_string_equal(read_head("X-City: Rome\r\n", &how).claims, "city=Rome");
	assert_string_equal(read_head("CF-IPCountry: AT\r\n", &how).claims, "country=AT");
	assert_string_equal(read_head("CF-IPCountry: AT\r\nX-City: Rome\r\n", &how).claims,
			    "country=AT city=Rome");
	assert_int_equal(read_head("X-Town: a\r\nX-City: b\r\nX-Else: c\r\n", &how).count, 2);
}

static void
items_are_checked_and_normalised(void **state)
{
	static const struct {
		const char *item, *normal; /* NULL: refused */
	} rows[] = {
		{ "gcp", "gcp" },
		{ "CloudFlare", "cloudflare" },
		{ "X-City", "x-city:city" },
		{ "X-Client-Region", "x-client-region:country" },
		{ "Forwarded", "forwarded:forwarded" },
		{ "X-Town : City", "x-town:city" },
		{ "X-Hops:forwarded-for", "x-hops:forwarded-for" },
		{ "gcp:city", "gcp:city" },
		{ "X-Town", NULL },
		{ "X-Town:", NULL },
		{ "X-Town:town", NULL },
		{ ":city", NULL },
		{ "X Town:city", NULL },
		{ "X-Town:city:city", NULL },
		{ "", NULL },
	};
	char to[HEADERS_ITEM_MAX], again[HEADERS_ITEM_MAX], longest[HEADERS_ITEM_MAX + 8];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(headers_item(slice_str(rows[i].item), to), rows[i].normal != NULL);
		if (rows[i].normal == NULL)
			continue;
		assert_string_equal(to, rows[i].normal);
		assert_true(headers_item(slice_str(to), again));
		assert_string_equal(to, again);
	}
	memset(longest, 'x', sizeof(longest));
	for (size_t n = 1; n <= HEADERS_ITEM_MAX; n++) {
		memcpy(longest + n, ":city", 6);
		assert_int_equal(headers_item(slice_str(longest), to), n < HEADERS_ITEM_MAX - 16);
		longest[n] = 'x';
	}
}

static void
addresses_are_read_as_each_writes_them(void **state)
{
	static const struct {
		const char *lines, *address;
	} rows[] = {
		{ "X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9" },
		{ "CF-Connecting-IP: 2001:db8::9\r\n", "2001:db8::9" },
		{ "CloudFront-Viewer-Address: 198.51.100.10:46532\r\n", "198.51.100.10" },
		{ "CloudFront-Viewer-Address: 2001:db8:85a3::7334:46532\r\n",
		  "2001:db8:85a3::7334" },
		{ "Fly-Client-IP: 192.0.2.7\r\n", "192.0.2.7" },
		{ "Fastly-Client-IP: 192.0.2.8\r\n", "192.0.2.8" },
		{ "X-Azure-ClientIP: 192.0.2.1\r\nX-Azure-SocketIP: 192.0.2.2\r\n", "192.0.2.2" },
		{ "X-Appengine-User-IP: 192.0.2.3\r\n", "192.0.2.3" },
		{ "x-real-ip: ::ffff:192.0.2.4\r\n", "192.0.2.4" },
		{ "True-Client-IP: 192.0.2.5\r\n", "192.0.2.5" },
		{ "Forwarded: for=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1\r\n",
		  "2001:db8::1" },
		{ "X-Real-IP: unknown\r\n", "-" },
		{ "X-Real-IP: localhost\r\n", "-" },
		/* what a chain appended is worth more than what somebody wrote */
		{ "CF-Connecting-IP: 192.0.2.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
		  "203.0.113.9" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct read r = read_head(rows[i].lines, &(struct how){ .trusted = "10.0.0.0/8" });

		assert_string_equal(r.address, rows[i].address);
		assert_string_equal(r.claims, "");
	}
}

static void
what_a_stranger_says_is_shown_and_does_not_count(void **state)
{
	struct read r = read_head("X-City: Paris\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n"
				  "Accept: */*\r\n",
				  &(struct how){ .untrusted = true });

	(void)state;
	assert_string_equal(r.claims, "~city=Paris ~address=192.0.2.1, 192.0.2.2");
	assert_string_equal(r.address, "-");
	assert_int_equal(r.count, 2);
}

static void
a_head_makes_few_claims(void **state)
{
	static const char lines[] =
	    "X-City: a\r\nX-Client-City: b\r\nX-Client-Region: FR\r\nX-Appengine-Country: FR\r\n"
	    "CF-IPCountry: FR\r\nCloudFront-Viewer-Country: FR\r\nX-Vercel-IP-Country: FR\r\n"
	    "X-Akamai-Edgescape: country_code=FR\r\nX-Country: FR\r\nFly-Region: cdg\r\n";

	(void)state;
	assert_string_equal(read_plain(lines).claims, "city=a country=FR");
	assert_string_equal(read_plain(strchr(lines, '\n') + 1).claims, "city=b country=FR");
}

static void
names_in_pairs_are_parts_or_headers(void **state)
{
	(void)state;
	assert_int_equal(headers_part(slice_str("city")), headers_part(slice_str("X-City")));
	assert_int_equal(headers_part(slice_str("lat")), headers_part(slice_str("latitude")));
	assert_int_equal(headers_part(slice_str("X-Forwarded-For")), -1);
	assert_int_equal(headers_part(slice_str("src")), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_clouds_send_is_read),
		cmocka_unit_test(values_that_stand_for_unknown_are_absent),
		cmocka_unit_test(coordinates_that_are_none_are_absent),
		cmocka_unit_test(halves_of_two_senders_make_no_location),
		cmocka_unit_test(the_last_of_two_headers_wins),
		cmocka_unit_test(sets_are_asked_in_the_order_of_the_list),
		cmocka_unit_test(sets_that_are_not_listed_are_not_read),
		cmocka_unit_test(headers_of_ones_own_are_one_set),
		cmocka_unit_test(items_are_checked_and_normalised),
		cmocka_unit_test(addresses_are_read_as_each_writes_them),
		cmocka_unit_test(what_a_stranger_says_is_shown_and_does_not_count),
		cmocka_unit_test(a_head_makes_few_claims),
		cmocka_unit_test(names_in_pairs_are_parts_or_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
