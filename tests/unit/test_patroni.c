/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/patroni.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* As Patroni 3.0 writes it; the second replica as Patroni 4 does. */
static const char cluster[] =
    "{\"members\": ["
    "{\"name\": \"pg-a\", \"role\": \"leader\", \"state\": \"running\","
    " \"api_url\": \"http://10.0.0.1:8008/patroni\", \"host\": \"10.0.0.1\", \"port\": 5432,"
    " \"timeline\": 3, \"tags\": {\"region\": \"us-east1\", \"noloadbalance\": true}},"
    "{\"name\": \"pg-b\", \"role\": \"sync_standby\", \"state\": \"running\","
    " \"api_url\": \"http://10.0.0.2:8008/patroni\", \"host\": \"10.0.0.2\", \"port\": 5433,"
    " \"timeline\": 3, \"lag\": 0},"
    "{\"name\": \"pg-c\", \"role\": \"replica\", \"state\": \"streaming\","
    " \"api_url\": \"https://[2001:db8::3]:8009/patroni\", \"host\": \"2001:db8::3\","
    " \"port\": 5432, \"timeline\": 3, \"lag\": \"unknown\", \"tags\": {\"noloadbalance\": true}},"
    "{\"name\": \"pg-d\", \"role\": \"replica\", \"state\": \"start failed\","
    " \"api_url\": \"http://10.0.0.2:8008/patroni\", \"host\": null, \"lag\": \"unknown\"}"
    "], \"pause\": true, \"scope\": \"movr\"}";

static void
members_are_read(void **state)
{
	static const struct {
		const char *name, *host;
		unsigned port;
		const char *place;
		bool serves;
		const char *state;
	} want[] = {
		/* the tag is about replicas */
		{ "pg-a", "10.0.0.1", 5432, "us-east1", true, "leader" },
		{ "pg-b", "10.0.0.2", 5433, "", true, "sync_standby" },
		{ "pg-c", "2001:db8::3", 5432, "", false, "noloadbalance" },
		{ "pg-d", "", 0, "", false, "start failed" },
	};
	static const char *const apis[] = { "http://10.0.0.1:8008", "http://10.0.0.2:8008",
					    "https://[2001:db8::3]:8009" };
	struct sightings seen;
	struct strlist said;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(patroni_read(slice_str(cluster), &seen, &said, &e), 0);
	assert_int_equal(seen.n, N(want));
	for (size_t i = 0; i < N(want); i++) {
		assert_string_equal(seen.v[i].name, want[i].name);
		assert_string_equal(seen.v[i].host, want[i].host);
		assert_int_equal(seen.v[i].port, want[i].port);
		assert_string_equal(seen.v[i].place, want[i].place);
		assert_int_equal(seen.v[i].serves, want[i].serves);
		assert_string_equal(seen.v[i].state, want[i].state);
	}
	assert_int_equal(said.n, N(apis));
	for (size_t i = 0; i < N(apis); i++)
		assert_string_equal(said.v[i], apis[i]);
	sightings_fini(&seen);
	strlist_fini(&said);
}

/* One replica with those tags. */
static bool
serves(const char *tags)
{
	char text[256];
	struct sightings seen;
	struct strlist said;
	struct err e = { 0 };
	bool does;

	snprintf(text, sizeof(text),
		 "{\"members\":[{\"name\":\"a\",\"role\":\"replica\",\"state\":\"running\","
		 "\"host\":\"h\",\"port\":5432,\"tags\":{%s}}]}",
		 tags);
	assert_int_equal(patroni_read(slice_str(text), &seen, &said, &e), 0);
	does = seen.v[0].serves;
	sightings_fini(&seen);
	strlist_fini(&said);
	return does;
}

static void
tags_are_written_by_hand(void **state)
{
	static const struct {
		const char *tags;
		bool serves;
	} table[] = {
		{ "", true },
		{ "\"nofailover\":true", true },
		{ "\"noloadbalance\":true", false },
		{ "\"noloadbalance\":false", true },
		{ "\"noloadbalance\":null", true },
		{ "\"noloadbalance\":1", false },
		{ "\"noloadbalance\":0", true },
		{ "\"noloadbalance\":\"on\"", false },
		{ "\"noloadbalance\":\"off\"", true },
		{ "\"noloadbalance\":\"surely\"", false },
		{ "\"noloadbalance\":{}", true },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++)
		assert_int_equal(serves(table[i].tags), table[i].serves);
}

#define MEMBER(words) "{\"members\":[{" words "}]}"
#define GOOD          "\"name\":\"a\",\"role\":\"leader\",\"state\":\"running\""

static void
nonsense_is_refused(void **state)
{
	static const char *const table[] = {
		"",
		"no JSON",
		"{",
		"[]",
		"null",
		"{}",
		"{\"members\":{}}",
		"{\"members\":null}",
		"{\"members\":[],\"members\":[]}",
		"{\"members\":[7]}",
		"{\"members\":[{}]}",
		MEMBER("\"name\":7,\"role\":\"leader\",\"state\":\"running\""),
		MEMBER("\"name\":\"\",\"role\":\"leader\",\"state\":\"running\""),
		MEMBER("\"name\":\"a\",\"state\":\"running\""),
		MEMBER("\"name\":\"a\",\"role\":\"leader\""),
		MEMBER(GOOD ",\"host\":[]"),
		MEMBER(GOOD ",\"host\":\"a b\""),
		MEMBER(GOOD ",\"host\":\"a\\u0000b\""),
		MEMBER(GOOD ",\"host\":\"h\",\"port\":\"5432\""),
		MEMBER(GOOD ",\"host\":\"h\",\"port\":0"),
		MEMBER(GOOD ",\"host\":\"h\",\"port\":65536"),
		MEMBER(GOOD ",\"host\":\"h\",\"port\":-1"),
		MEMBER(GOOD ",\"host\":\"h\",\"port\":9223372036854775807"),
		MEMBER(GOOD ",\"api_url\":8008"),
		MEMBER(GOOD ",\"tags\":[]"),
		MEMBER(GOOD ",\"tags\":{\"region\":7}"),
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		struct sightings seen;
		struct strlist said;
		struct err e = { 0 };

		assert_int_equal(patroni_read(slice_str(table[i]), &seen, &said, &e), -1);
		assert_string_equal(e.sqlstate, "08P01");
		assert_int_equal(seen.n + said.n, 0);
	}
}

/* Cut at each byte there is no answer, and none is made up. */
static void
half_an_answer_is_none(void **state)
{
	struct sightings seen;
	struct strlist said;
	struct err e;

	(void)state;
	for (size_t n = 0; n < strlen(cluster); n++)
		assert_int_equal(patroni_read(slice_of(cluster, n), &seen, &said, &e), -1);
}

static void
an_address_has_one_spelling(void **state)
{
	static const struct {
		const char *text, *api; /* NULL: it is none */
	} table[] = {
		{ "db1", "http://db1:8008" },
		{ "db1:80", "http://db1:80" },
		{ "10.0.0.1", "http://10.0.0.1:8008" },
		{ "http://db1", "http://db1:8008" },
		{ "http://db1:8008/", "http://db1:8008" },
		{ "https://db1.example:443", "https://db1.example:443" },
		{ "2001:db8::1", "http://[2001:db8::1]:8008" },
		{ "https://[2001:db8::1]", "https://[2001:db8::1]:8008" },
		{ "", NULL },
		{ "http://", NULL },
		{ "https:///", NULL },
		{ "ftp://db1", NULL },
		{ "http://db1/patroni", NULL },
		{ "http://db1:8008//", NULL },
		{ "http://db1:0", NULL },
		{ "http://db1:65536", NULL },
		{ "http://user@db1", NULL },
		{ "http://db1?x=/", NULL },
		{ "http://db 1", NULL },
		{ "/run/patroni", NULL },
	};
	char api[PATRONI_API_MAX], small[16];

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		bool is = patroni_api(slice_str(table[i].text), api, sizeof(api));

		assert_int_equal(is, table[i].api != NULL);
		if (is)
			assert_string_equal(api, table[i].api);
	}
	assert_false(patroni_api(SLICE_LITERAL("db1.example"), small, sizeof(small)));
	assert_true(patroni_api(SLICE_LITERAL("db"), small, sizeof(small)));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_read),
		cmocka_unit_test(tags_are_written_by_hand),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(half_an_answer_is_none),
		cmocka_unit_test(an_address_has_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
