/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/sightings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* A row of an answer as "name|host|port|place|serves|state"; an empty column is null. */
static int
add(struct sightings *list, const char *row, struct err *e)
{
	struct slice rest = slice_str(row), columns[SIGHTING_COLUMNS];

	for (int c = 0; c < SIGHTING_COLUMNS; c++) {
		columns[c] = slice_cut(&rest, '|');
		if (columns[c].n == 0)
			columns[c].p = NULL;
	}
	return sightings_add(list, columns, e);
}

static void
rows_are_read(void **state)
{
	static const struct {
		const char *row, *name, *host;
		unsigned port;
		const char *place;
		bool serves;
	} table[] = {
		/* replication: a standby, one on a unix socket, what a standby streams from */
		{ "paris|10.2.0.7|||t|streaming", "paris", "10.2.0.7", 0, "", true },
		{ "paris||||t|streaming", "paris", "", 0, "", true },
		{ "|db1.example|5433||t|streaming", "", "db1.example", 5433, "", true },
		{ "x|/run/postgresql|5432||t|streaming", "x", "", 5432, "", true },
		{ "six|2001:db8::7|||t|streaming", "six", "2001:db8::7", 0, "", true },
		/* cockroachdb: one column for host and port */
		{ "3|roach3:26257||us-east1|true|live", "3", "roach3", 26257, "us-east1", true },
		{ "4|[2001:db8::4]:26257||us-east1|false|dead", "4", "2001:db8::4", 26257,
		  "us-east1", false },
		/* citus: without metadata it takes no queries; null is false */
		{ "|worker-1|5432||f|without metadata", "", "worker-1", 5432, "", false },
		{ "|worker-1|5432|||", "", "worker-1", 5432, "", false },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		struct sightings list = { 0 };
		struct err e = { 0 };

		assert_int_equal(add(&list, table[i].row, &e), 0);
		assert_int_equal(list.n, 1);
		assert_string_equal(list.v[0].name, table[i].name);
		assert_string_equal(list.v[0].host, table[i].host);
		assert_int_equal(list.v[0].port, table[i].port);
		assert_string_equal(list.v[0].place, table[i].place);
		assert_int_equal(list.v[0].serves, table[i].serves);
		sightings_fini(&list);
	}
}

static void
nonsense_is_refused(void **state)
{
	static const struct {
		const char *row, *why;
	} table[] = {
		{ "x|10.0.0.1|0||t|", "a port" },
		{ "x|10.0.0.1|65536||t|", "a port" },
		{ "x|10.0.0.1|-1||t|", "a port" },
		{ "x|10.0.0.1|five||t|", "a port" },
		{ "x|10.0.0.1|5432||perhaps|", "a truth value" },
		{ "x|host name|5432||t|", "a host" },
		{ "x|a;b|5432||t|", "a host" },
		{ "x|-rf|5432||t|", "a host" },
		{ "x|.|5432||t|", "a host" },
		{ "x|host:port|||t|", "a host" },
		{ "x|[::1|||t|", "a host" },
		{ "x|[10.0.0.1:5432|||t|", "a host" },
		{ "x|:5432|||t|", "a host" },
		{ "x|10.0.0.1|5432||t|a state that nobody would call a state", "a state" },
		{ "a name that is longer than the sixty-three bytes that PostgreSQL gives to one|"
		  "10.0.0.1|5432||t|",
		  "a name" },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		struct sightings list = { 0 };
		struct err e = { 0 };

		assert_int_equal(add(&list, table[i].row, &e), -1);
		assert_non_null(strstr(e.msg, table[i].why));
		assert_int_equal(list.n, 0);
		sightings_fini(&list);
	}
}

static void
a_row_that_says_nothing_or_the_same_again_is_left_out(void **state)
{
	struct sightings list = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(add(&list, "||||t|streaming", &e), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(add(&list, "a|db1|5432||t|streaming", &e), 0);
	assert_int_equal(add(&list, "a|DB1|5432||t|catchup", &e), 0);
	assert_int_equal(list.n, 1);
	assert_int_equal(add(&list, "a|db1|5433||t|streaming", &e), 0);
	assert_int_equal(add(&list, "b|db1|5432||t|streaming", &e), 0);
	assert_int_equal(list.n, 3);
	sightings_fini(&list);
}

static void
an_answer_is_bounded(void **state)
{
	struct sightings list = { 0 };
	struct err e = { 0 };
	char row[64];

	(void)state;
	for (int i = 0; i < SIGHTINGS_MAX; i++) {
		snprintf(row, sizeof(row), "|n%d|5432||t|", i);
		assert_int_equal(add(&list, row, &e), 0);
	}
	assert_int_equal(add(&list, "|one-more|5432||t|", &e), -1);
	assert_string_equal(e.sqlstate, "54000");
	sightings_fini(&list);
}

static struct strlist
list_of(const char *items)
{
	struct strlist l = { 0 };
	struct slice rest = slice_str(items), item;

	while (rest.n > 0) {
		item = slice_cut(&rest, ' ');
		strlist_add_slice(&l, item.p, item.n);
	}
	return l;
}

static void
addresses_are_mapped(void **state)
{
	static const struct {
		const char *row, *map, *address; /* NULL: none */
	} table[] = {
		{ "paris|10.2.0.7|||t|", "", "10.2.0.7 5432" },
		{ "paris|10.2.0.7|5433||t|", "", "10.2.0.7 5433" },
		{ "db7.example:5439|10.2.0.7|||t|", "", "db7.example 5439" },
		{ "db7.example|10.2.0.7|||t|", "", "10.2.0.7 5432" }, /* a name that says no port */
		{ "paris||||t|", "", NULL },
		{ "paris||||t|", "PARIS=db9", "db9 5432" },
		{ "paris|10.2.0.7|5433||t|", "par*=db9", "db9 5433" },
		{ "paris|10.2.0.7|5433||t|", "rome=db8 *=db9:6000", "db9 6000" },
		{ "paris|10.2.0.7|5433||t|", "10.2.0.0/16=db9", "db9 5433" },
		{ "paris|10.3.0.7|5433||t|", "10.2.0.0/16=db9", "10.3.0.7 5433" },
		{ "|worker-1|5432||t|", "worker-1:5432=edge:6001", "edge 6001" },
		{ "|worker-1|5433||t|", "worker-1:5432=edge:6001", "worker-1 5433" },
		{ "|worker-1|5433||t|", "worker-?=[2001:db8::1]:6001", "2001:db8::1 6001" },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		struct sightings list = { 0 };
		struct strlist map = list_of(table[i].map);
		char host[SIGHTING_HOST_MAX], text[SIGHTING_HOST_MAX + 8];
		struct err e = { 0 };
		uint16_t port;
		bool known;

		assert_int_equal(add(&list, table[i].row, &e), 0);
		known = sighting_address(&list.v[0], &map, host, &port);
		assert_int_equal(known, table[i].address != NULL);
		if (known) {
			snprintf(text, sizeof(text), "%s %u", host, (unsigned)port);
			assert_string_equal(text, table[i].address);
		}
		sightings_fini(&list);
		strlist_fini(&map);
	}
}

static void
places_are_mapped(void **state)
{
	static const struct {
		const char *row, *map, *place;
	} table[] = {
		{ "paris|10.2.0.7|||t|", "", NULL },
		{ "3|roach3:26257||us-east1|t|", "", "us-east1" },
		{ "3|roach3:26257||us-east1|t|", "us-*=near", "near" },
		{ "paris|10.2.0.7|||t|", "10.1.0.0/16=a 10.2.0.0/16=b *=c", "b" },
		{ "paris|10.2.0.7|||t|", "rome=a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		struct sightings list = { 0 };
		struct strlist map = list_of(table[i].map);
		struct err e = { 0 };
		const char *place;

		assert_int_equal(add(&list, table[i].row, &e), 0);
		place = sighting_place(&list.v[0], &map);
		if (table[i].place == NULL)
			assert_null(place);
		else
			assert_string_equal(place, table[i].place);
		sightings_fini(&list);
		strlist_fini(&map);
	}
}

static void
words_name_sources(void **state)
{
	struct strlist words = list_of("replication CITUS off");

	(void)state;
	assert_int_equal(discover_bits(&words),
			 DISCOVER_BIT(DISCOVER_REPLICATION) | DISCOVER_BIT(DISCOVER_CITUS));
	assert_true(discover_is_word(SLICE_LITERAL("auto")));
	assert_true(discover_is_word(SLICE_LITERAL("off")));
	assert_false(discover_is_word(SLICE_LITERAL("everything")));
	strlist_fini(&words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_read),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_row_that_says_nothing_or_the_same_again_is_left_out),
		cmocka_unit_test(an_answer_is_bounded),
		cmocka_unit_test(addresses_are_mapped),
		cmocka_unit_test(places_are_mapped),
		cmocka_unit_test(words_name_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
