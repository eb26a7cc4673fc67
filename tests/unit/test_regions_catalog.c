/* SPDX-License-Identifier: PostgreSQL
 *
 * Texts of CockroachDB: localities, SHOW CREATE TABLE, statements of changefeeds.
 */
#include "config.h"

#include "migration/regions/catalog.h"

#include <stdlib.h>

#include "migration/regions/feeds.h"
#include "tests/unit/unit.h"

/* ---- localities ---- */

static const struct {
	const char *text;
	enum home_kind kind;
	const char *name;
} homes[] = {
	{ NULL, HOME_NONE, NULL },
	{ "", HOME_NONE, NULL },
	{ "GLOBAL", HOME_GLOBAL, NULL },
	{ "REGIONAL BY TABLE IN PRIMARY REGION", HOME_TABLE, NULL },
	{ "REGIONAL IN PRIMARY REGION", HOME_TABLE, NULL },
	{ "REGIONAL BY TABLE", HOME_TABLE, NULL },
	{ "REGIONAL BY TABLE IN \"us-east-1\"", HOME_TABLE, "us-east-1" },
	{ "REGIONAL BY TABLE IN east", HOME_TABLE, "east" },
	{ "REGIONAL BY ROW", HOME_ROW, NULL },
	{ "REGIONAL BY ROW AS crdb_region", HOME_ROW, NULL },
	{ "REGIONAL BY ROW AS \"region\"", HOME_ROW, "region" },
	{ "regional by row as region", HOME_ROW, "region" },
	{ "SOMETHING NEW", HOME_NONE, NULL },
};

static void
localities_are_read_as_show_tables_writes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
		struct table_home h;

		home_parse(homes[i].text, &h);
		assert_int_equal(h.kind, homes[i].kind);
		if (homes[i].name == NULL)
			assert_null(h.name);
		else
			assert_string_equal(h.name, homes[i].name);
		home_fini(&h);
	}
}

static void
the_same_place_may_be_written_in_two_ways(void **state)
{
	struct table_home a, b;

	(void)state;
	home_parse("REGIONAL BY ROW AS \"region\"", &a);
	home_parse("REGIONAL BY ROW AS region", &b);
	assert_true(home_is_same(&a, &b));
	home_fini(&b);
	home_parse("REGIONAL BY ROW", &b);
	assert_false(home_is_same(&a, &b));
	home_fini(&a);
	home_fini(&b);
}

/* ---- tables ---- */

static void
tables_are_found_by_bare_and_by_whole_names(void **state)
{
	struct regions_catalog c = { 0 };

	(void)state;
	regions_catalog_add_table(&c, "other", "users", NULL);
	regions_catalog_add_table(&c, "public", "users", NULL);
	regions_catalog_add_table(&c, "a", "twice", NULL);
	regions_catalog_add_table(&c, "b", "twice", NULL);
	regions_catalog_add_table(&c, "a", "once", NULL);
	assert_ptr_equal(regions_catalog_table(&c, "users"), &c.tables[1]);
	assert_ptr_equal(regions_catalog_table(&c, "other.users"), &c.tables[0]);
	assert_ptr_equal(regions_catalog_table(&c, "b.twice"), &c.tables[3]);
	assert_null(regions_catalog_table(&c, "twice"));
	assert_ptr_equal(regions_catalog_table(&c, "once"), &c.tables[4]);
	assert_null(regions_catalog_table(&c, "nosuch"));
	regions_catalog_fini(&c);
}

static const char vehicles[] =
    "CREATE TABLE public.vehicles (\n"
    "  id UUID NOT NULL,\n"
    "  city STRING NOT NULL DEFAULT 'PARTITION BY nothing'::STRING,\n"
    "  CONSTRAINT \"primary\" PRIMARY KEY (city ASC, id ASC),\n"
    "  INDEX vehicles_auto_index_fk_city_ref_users (city ASC, owner_id ASC) PARTITION BY LIST "
    "(city) (\n"
    "    PARTITION us_west VALUES IN (('seattle'), ('san francisco')),\n"
    "    PARTITION us_east VALUES IN (('new york'))\n"
    "  ),\n"
    "  UNIQUE INDEX by_id (id ASC),\n"
    "  FAMILY \"primary\" (id, city)\n"
    ") PARTITION BY LIST (city) (\n"
    "  PARTITION europe_west VALUES IN (('paris'))\n"
    ")";

static void
old_partitions_are_read_from_show_create_table(void **state)
{
	struct regions_catalog c = { 0 };
	struct regions_table *t = regions_catalog_add_table(&c, "public", "vehicles", NULL);

	(void)state;
	t->create = xstrdup(vehicles);
	regions_table_find_partitions(t);
	assert_int_equal(t->npartitioned, 2);
	assert_string_equal(t->partitioned[0].index, "vehicles_auto_index_fk_city_ref_users");
	assert_int_equal(t->partitioned[0].names.n, 2);
	assert_string_equal(t->partitioned[0].names.v[1], "us_east");
	assert_null(t->partitioned[1].index);
	assert_string_equal(t->partitioned[1].names.v[0], "europe_west");
	assert_string_equal(t->partitioned[1].text,
			    "PARTITION BY LIST (city) (\n"
			    "  PARTITION europe_west VALUES IN (('paris'))\n"
			    ")");
	regions_catalog_fini(&c);
}

static void
a_table_without_partitions_has_none(void **state)
{
	struct regions_catalog c = { 0 };
	struct regions_table *t = regions_catalog_add_table(&c, "public", "t", NULL);

	(void)state;
	t->create = xstrdup("CREATE TABLE public.t (partition INT8, INDEX i (partition ASC)) "
			    "LOCALITY REGIONAL BY ROW");
	regions_table_find_partitions(t);
	assert_int_equal(t->npartitioned, 0);
	regions_catalog_fini(&c);
}

static void
a_hidden_column_is_told_from_one_that_is_shown(void **state)
{
	static const char text[] =
	    "CREATE TABLE public.users (\n\tid UUID NOT NULL,\n\tnot_crdb STRING NOT VISIBLE,\n"
	    "\tcrdb_region public.crdb_internal_region NOT VISIBLE NOT NULL DEFAULT "
	    "default_to_database_primary_region(gateway_region())::public.crdb_internal_region,\n"
	    "\tCONSTRAINT \"primary\" PRIMARY KEY (id ASC)\n) LOCALITY REGIONAL BY ROW";

	(void)state;
	assert_true(regions_column_is_hidden(text, "crdb_region"));
	assert_true(regions_column_is_hidden(text, "not_crdb"));
	assert_false(regions_column_is_hidden(text, "id"));
	assert_false(regions_column_is_hidden(
	    "CREATE TABLE t (crdb_region public.crdb_internal_region NOT NULL DEFAULT f(g()), "
	    "x INT8 NOT VISIBLE)",
	    "crdb_region"));
}

/* ---- changefeeds ---- */

static const struct {
	const char *text, *tables;
	bool stops, users, rides;
} feeds[] = {
	{ "CREATE CHANGEFEED FOR TABLE users INTO 'kafka://b' WITH schema_change_policy = 'stop'",
	  NULL, true, true, false },
	{ "CREATE CHANGEFEED FOR TABLE users, movr.public.rides INTO 'kafka://b' WITH updated",
	  NULL, false, true, true },
	{ "CREATE CHANGEFEED FOR TABLE movr.public.rides INTO 's3://b' WITH OPTIONS (updated, "
	  "SCHEMA_CHANGE_POLICY='STOP')",
	  NULL, true, false, true },
	{ "EXPERIMENTAL CHANGEFEED FOR TABLE users WITH schema_change_policy = 'stop', updated",
	  NULL, true, true, false },
	{ "EXPERIMENTAL CHANGEFEED FOR users", NULL, false, true, false },
	{ "CREATE CHANGEFEED FOR TABLE other.public.users WITH schema_change_policy = 'backfill'",
	  NULL, false, false, false },
	{ "CREATE CHANGEFEED FOR DATABASE movr INTO 'kafka://b'", NULL, false, true, true },
	{ "CREATE CHANGEFEED INTO 'x' WITH schema_change_policy = 'stop' AS SELECT id FROM "
	  "movr.public.users",
	  "{movr.public.users}", true, true, false },
	{ "CREATE CHANGEFEED FOR TABLE x", "{movr.public.users,movr.public.rides}", false, true,
	  true },
	{ "CREATE CHANGEFEED FOR TABLE x", "{movr.other.users,tail.public.rides}", false, false,
	  false },
	{ "CREATE CHANGEFEED FOR TABLE t INTO 'x' WITH topic_prefix = 'schema_change_policy=stop'",
	  NULL, false, false, false },
};

static void
a_changefeed_says_what_it_watches_and_whether_it_stops(void **state)
{
	struct regions_catalog c = { 0 };

	(void)state;
	regions_catalog_add_table(&c, "public", "users", NULL);
	regions_catalog_add_table(&c, "public", "rides", NULL);
	for (size_t i = 0; i < sizeof(feeds) / sizeof(feeds[0]); i++) {
		regions_catalog_add_feed(&c, "1", false, feeds[i].text, feeds[i].tables);
		assert_true(feed_is_changefeed(feeds[i].text));
		assert_int_equal(feed_stops(&c.feeds[i]), feeds[i].stops);
		assert_int_equal(feed_watches(&c.feeds[i], "movr", &c.tables[0]), feeds[i].users);
		assert_int_equal(feed_watches(&c.feeds[i], "movr", &c.tables[1]), feeds[i].rides);
	}
	assert_false(feed_is_changefeed("SELECT 'CHANGEFEED'"));
	assert_false(feed_is_changefeed(""));
	assert_true(feed_has_sink(feeds[0].text));
	assert_false(feed_has_sink(feeds[3].text));
	regions_catalog_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(localities_are_read_as_show_tables_writes_them),
		cmocka_unit_test(the_same_place_may_be_written_in_two_ways),
		cmocka_unit_test(tables_are_found_by_bare_and_by_whole_names),
		cmocka_unit_test(old_partitions_are_read_from_show_create_table),
		cmocka_unit_test(a_table_without_partitions_has_none),
		cmocka_unit_test(a_hidden_column_is_told_from_one_that_is_shown),
		cmocka_unit_test(a_changefeed_says_what_it_watches_and_whether_it_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
