/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/places.h"

#include <math.h>

#include "base/utf8.h"
#include "routing/places_int.h"

#include "tests/unit/unit.h"

static void
assert_folds(const char *name, size_t n, const char *expected)
{
	char to[PLACE_NAME_MAX];

	assert_int_equal(places_fold(slice_of(name, n), to), strlen(expected));
	assert_string_equal(to, expected);
}

static void
spellings_meet(void **state)
{
	static const struct {
		const char *name, *folded;
	} v[] = {
		{ "Washington, D.C.", "washington dc" },
		{ "washington dc", "washington dc" },
		{ "WASHINGTON_DC", "washington dc" },
		{ "São Paulo", "sao paulo" },
		{ "Sa\xcc\x83o Paulo", "sao paulo" }, /* decomposed */
		{ "Köln", "koln" },
		{ "München", "munchen" },
		{ "Zürich", "zurich" },
		{ "Straße", "strasse" },
		{ "STRASSE \xe1\xba\x9e", "strasse ss" },
		{ "Tromsø", "tromso" },
		{ "Ærø", "aero" },
		{ "Œuvre", "oeuvre" },
		{ "Łódź", "lodz" },
		{ "Đà Nẵng", "da nang" },
		{ "Borgarfjörður Þ", "borgarfjordur th" },
		{ "İzmir", "izmir" },
		{ "Diyarbakır", "diyarbakir" },
		{ "L’Aquila", "laquila" },
		{ "L'Aquila", "laquila" },
		{ "Nuku‘alofa", "nukualofa" },
		{ "Nukuʻalofa", "nukualofa" },
		{ "N`Djamena", "ndjamena" },
		{ "St. Louis", "st louis" },
		{ "new-york", "new york" },
		{ "  Rio   de\tJaneiro  ", "rio de janeiro" },
		{ "Frankfurt (Oder)", "frankfurt oder" },
		{ "Tokyo 東京", "tokyo" },
		{ "東京", "" },
		{ "Ｐａｒｉｓ", "paris" },
		{ "6th of October City", "6th of october city" },
		{ "...", "" },
		{ "", "" },
		{ " - ", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_folds(v[i].name, strlen(v[i].name), v[i].folded);
}

static void
what_is_not_utf8_is_read_as_latin1(void **state)
{
	(void)state;
	assert_folds("S\xe3o Paulo", 9, "sao paulo");
	assert_folds("K\xf6ln", 4, "koln");
	assert_folds("\xff", 1, "y");
	assert_folds("\xc3", 1, "a");     /* cut in the middle */
	assert_folds("\xc0\xaf", 2, "a"); /* overlong: À and ¯ */
	assert_folds("a\0b", 3, "a b");
	assert_true(utf8_valid(SLICE_LITERAL("K\xc3\xb6ln \xe6\x9d\xb1 \xf0\x9f\x97\xbc")));
	assert_false(utf8_valid(SLICE_LITERAL("\xed\xa0\x80"))); /* a surrogate */
	assert_false(utf8_valid(SLICE_LITERAL("\xf4\x90\x80\x80")));
	assert_false(utf8_valid(SLICE_LITERAL("\xe0\x80\x80")));
	assert_false(utf8_valid(SLICE_LITERAL("\xe6\x9d")));
	assert_false(utf8_valid(SLICE_LITERAL("\x80")));
}

static void
long_names_are_cut_and_terminated(void **state)
{
	char name[400], to[PLACE_NAME_MAX];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(places_fold(slice_of(name, sizeof(name)), to), PLACE_NAME_MAX - 1);
	/* no room for a separator and what follows it: neither is written, nor anything after */
	name[PLACE_NAME_MAX - 2] = ' ';
	assert_int_equal(places_fold(slice_of(name, sizeof(name)), to), PLACE_NAME_MAX - 2);
	assert_int_equal(to[PLACE_NAME_MAX - 2], '\0');
}

static void
every_key_folds_to_itself_and_tables_are_sorted(void **state)
{
	char to[PLACE_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < places_ncountries; i++) {
		places_fold(slice_str(places_countries[i].key), to);
		assert_string_equal(to, places_countries[i].key);
		assert_true(i == 0 ||
			    strcmp(places_countries[i - 1].key, places_countries[i].key) < 0);
	}
	for (size_t i = 0; i < places_ndivisions; i++) {
		places_fold(slice_str(places_divisions[i].key), to);
		assert_string_equal(to, places_divisions[i].key);
		assert_true(i == 0 ||
			    strcmp(places_divisions[i - 1].key, places_divisions[i].key) < 0);
	}
	for (size_t i = 1; i < places_nfolds; i++)
		assert_true(places_folds[i - 1].code < places_folds[i].code);
}

static void
regions_of_clouds_are_known_with_and_without_provider(void **state)
{
	static const struct {
		const char *name;
		double lat, lon;
	} v[] = {
		{ "us-east1", 33.1963, -80.0143 },       { "gcp-us-east1", 33.1963, -80.0143 },
		{ "GCP-US-EAST1", 33.1963, -80.0143 },   { "us-west1", 45.5946, -121.1787 },
		{ "europe-west1", 50.4482, 3.8189 },     { "us-east-1", 39.0437, -77.4875 },
		{ "eu-west-3", 48.8534, 2.3488 },        { "azure-westeurope", 52.3667, 4.9 },
		{ "az-westeurope", 52.3667, 4.9 },       { "cdg", 48.8609, 2.3535 },
		{ "fly-cdg", 48.8609, 2.3535 },          { "osc-fr1", 48.8534, 2.3488 },
		{ "scalingo-osc-fr1", 48.8534, 2.3488 },
	};
	static const char *const bad[] = {
		"",         "gcp-", "us-east", "aws-us-east1", "fly-us-east1", "gcp-gcp-us-east1",
		"us-east11"
	};
	double lat, lon;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_true(places_region(slice_str(v[i].name), &lat, &lon));
		assert_true(fabs(lat - v[i].lat) < 1e-9 && fabs(lon - v[i].lon) < 1e-9);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(places_region(slice_str(bad[i]), &lat, &lon));
	assert_int_equal(places_nregions, 179);
}

static void
providers_are_stripped_once(void **state)
{
	(void)state;
	assert_true(slice_is(places_strip_provider(slice_str("gcp-us-east1")), "us-east1"));
	assert_true(slice_is(places_strip_provider(slice_str("Fly-cdg")), "cdg"));
	assert_true(slice_is(places_strip_provider(slice_str("us-east1")), "us-east1"));
	assert_true(slice_is(places_strip_provider(slice_str("gcp-")), "gcp-"));
	assert_true(slice_is(places_strip_provider(slice_str("gcpx-a")), "gcpx-a"));
	assert_true(slice_is(places_strip_provider(slice_str("")), ""));
}

static void
countries_go_by_code_and_by_name(void **state)
{
	static const struct {
		const char *text, *code;
	} v[] = { { "FR", "FR" },
		  { "fr", "FR" },
		  { "France", "FR" },
		  { "USA", "US" },
		  { "united states", "US" },
		  { "U.S.A.", "US" },
		  { "uk", "GB" },
		  { "Türkiye", "TR" },
		  { "Côte d’Ivoire", "CI" },
		  { "holland", "NL" },
		  { "Deutschland", "DE" } };
	static const char *const bad[] = { "", "ZZ", "XX", "T1", "F", "Francia", "??" };

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_string_equal(places_country(slice_str(v[i].text)), v[i].code);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(places_country(slice_str(bad[i])));
}

static void
states_go_by_their_names(void **state)
{
	static const struct {
		const char *text, *country, *code;
	} v[] = { { "Texas", "US", "TX" },
		  { "new york", "US", "NY" },
		  { "Québec", "CA", "QC" },
		  { "New South Wales", "AU", "NSW" },
		  { "Nordrhein-Westfalen", "DE", "NW" },
		  { "São Paulo", "BR", "SP" },
		  { "scotland", "GB", "SCT" } };
	static const char *const bad[] = { "", "TX", "Texass", "Bretagne" };
	const char *country;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_string_equal(places_division(slice_str(v[i].text), &country), v[i].code);
		assert_string_equal(country, v[i].country);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(places_division(slice_str(bad[i]), &country));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings_meet),
		cmocka_unit_test(what_is_not_utf8_is_read_as_latin1),
		cmocka_unit_test(long_names_are_cut_and_terminated),
		cmocka_unit_test(every_key_folds_to_itself_and_tables_are_sorted),
		cmocka_unit_test(regions_of_clouds_are_known_with_and_without_provider),
		cmocka_unit_test(providers_are_stripped_once),
		cmocka_unit_test(countries_go_by_code_and_by_name),
		cmocka_unit_test(states_go_by_their_names),
	};

	return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
