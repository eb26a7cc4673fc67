/* SPDX-License-Identifier: PostgreSQL
 *
 * Catalog and wish in, steps out: the order of CockroachDB's guide to several regions.
 */
#include "config.h"

#include "migration/regions/planner.h"

#include "tests/unit/crdb_movr.h"
#include "tests/unit/unit.h"

/* "name label, name label, …" */
static char *
words(const struct regions_plan *p)
{
	struct buf b = { 0 };
	char *text;

	for (size_t i = 0; i < p->n; i++) {
		char *label = regions_step_label(&p->v[i]);

		buf_printf(&b, "%s%s%s%s", i > 0 ? ", " : "", regions_step_name(p->v[i].kind),
			   label[0] != '\0' ? " " : "", label);
		free(label);
	}
	text = xstrdup(buf_text(&b));
	buf_fini(&b);
	return text;
}

static void
plan_is(const struct regions_catalog *c, const char *text, bool computed, const char *want)
{
	struct movr_wish x;
	struct regions_plan p;
	char *got;

	assert_true(wish(&x, text));
	x.w.computed = computed;
	regions_plan_make(&p, &x.w, c);
	got = words(&p);
	assert_string_equal(got, want);
	free(got);
	regions_plan_fini(&p);
	wish_fini(&x);
}

static void
movr_goes_in_the_order_of_the_guide(void **state)
{
	struct regions_catalog c;

	(void)state;
	movr(&c);
	plan_is(&c, MOVR_WISH, false,
		"primary_region us-east1, nodes, add_region us-west1, add_region europe-west1, "
		"survival region, locality public.promo_codes, "
		"changefeeds public.users, locality public.users, "
		"changefeeds public.vehicles, locality public.vehicles, "
		"visible public.users, app_deployed, backfill public.users");
	regions_catalog_fini(&c);
}

static void
a_computed_column_needs_no_application_and_no_backfill(void **state)
{
	struct regions_catalog c;

	(void)state;
	movr(&c);
	plan_is(&c,
		"OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1"
		" LOCALITY (users REGIONAL BY ROW BY (city) MAP router)",
		true,
		"primary_region us-east1, nodes, add_region us-west1, changefeeds public.users, "
		"region_column public.users, locality public.users");
	regions_catalog_fini(&c);
}

static void
old_partitions_go_first(void **state)
{
	struct regions_catalog c;

	(void)state;
	movr(&c);
	c.tables[0].create = xstrdup(
	    "CREATE TABLE public.users (id UUID NOT NULL, city STRING NOT NULL, INDEX users_city "
	    "(city ASC) PARTITION BY LIST (city) (PARTITION us_west VALUES IN (('seattle')),"
	    " PARTITION us_east VALUES IN (('new york')))) PARTITION BY LIST (city) ("
	    " PARTITION europe_west VALUES IN (('paris')) )");
	regions_table_find_partitions(&c.tables[0]);
	plan_is(&c, "OF DATABASE movr TO REGIONS us-east1 PRIMARY", false,
		"partitions public.users@users_city, partitions public.users, "
		"primary_region us-east1, nodes");
	regions_catalog_fini(&c);
}

static void
zones_are_told_by_names_that_may_have_quotes(void **state)
{
	static const struct {
		const char *target;
		bool of_index, of_table;
	} rows[] = {
		{ "PARTITION \"West side\" OF INDEX movr.\"My \"\"Shop\".\"Users\"@\"By City\"",
		  true, true },
		{ "PARTITION east OF INDEX \"Odd.db\".\"My \"\"Shop\".\"Users\"@\"By City\"", true,
		  true },
		{ "PARTITION east OF INDEX movr.\"My \"\"Shop\".\"Users\"@\"By City and more\"",
		  false, true },
		{ "PARTITION east OF INDEX movr.\"My \"\"Shop\".\"Users\"@\"primary\"", false,
		  true },
		{ "PARTITION west OF INDEX movr.\"My \"\"Shop\".\"Users\"@\"By City\"", false,
		  false },
		{ "PARTITION east OF INDEX movr.\"My \"\"Shop\".users@\"By City\"", false, false },
		{ "PARTITION east OF INDEX movr.\"My \"\"Shop\".\"Users2\"@\"By City\"", false,
		  false },
		{ "PARTITION east OF INDEX movr.\"My Shop\".\"Users\"@\"By City\"", false, false },
		{ "TABLE movr.\"My \"\"Shop\".\"Users\"", false, false },
		{ "", false, false },
	};
	char schema[] = "My \"Shop", name[] = "Users", city[] = "By City";
	struct regions_table t = { .schema = schema, .name = name };
	struct regions_partitioned index = { .index = city }, table = { .index = NULL };

	(void)state;
	strlist_add(&index.names, "West side");
	strlist_add(&index.names, "east");
	strlist_copy(&table.names, &index.names);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct regions_zone z = { .target = (char *)(uintptr_t)rows[i].target };

		assert_int_equal(regions_is_zone_of(&z, &t, &index), rows[i].of_index);
		assert_int_equal(regions_is_zone_of(&z, &t, &table), rows[i].of_table);
	}
	strlist_fini(&index.names);
	strlist_fini(&table.names);
}

static void
another_primary_region_comes_after_it_was_added(void **state)
{
	struct regions_catalog c;

	(void)state;
	movr(&c);
	c.primary = xstrdup("europe-west1");
	plan_is(&c, "OF DATABASE movr TO REGIONS us-east1 PRIMARY, europe-west1", false,
		"nodes, add_region us-east1, add_region europe-west1, "
		"primary_region_changed us-east1");
	regions_catalog_fini(&c);
}

static void
out_of_regional_by_row_the_key_changes_too(void **state)
{
	struct regions_catalog c;

	(void)state;
	movr(&c);
	c.primary = xstrdup("us-east1");
	c.tables[0].locality = xstrdup("REGIONAL BY ROW");
	plan_is(&c, "OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (users GLOBAL)", false,
		"primary_region us-east1, nodes, changefeeds public.users, "
		"locality public.users");
	regions_catalog_fini(&c);
}

static void
what_a_step_says_comes_back_from_its_row(void **state)
{
	struct regions_step in = { .kind = REGIONS_BACKFILL }, out;
	struct err e = { 0 };
	char *json;

	(void)state;
	in.schema = xstrdup("public");
	in.table = xstrdup("we\"ird");
	in.column = xstrdup("city");
	strlist_add(&in.regions, "us-east1");
	city_map_add(&in.cities, "são paulo", "us-east1");
	json = regions_step_json(&in);
	assert_int_equal(regions_step_parse(REGIONS_BACKFILL, json, &out, &e), 0);
	assert_string_equal(out.table, "we\"ird");
	assert_null(out.home);
	assert_string_equal(out.regions.v[0], "us-east1");
	assert_int_equal(out.cities.n, 1);
	assert_string_equal(out.cities.v[0].value, "são paulo");
	assert_string_equal(out.cities.v[0].region, "us-east1");
	regions_step_fini(&out);
	assert_int_equal(regions_step_parse(REGIONS_BACKFILL, "[1", &out, &e), -1);
	regions_step_fini(&in);
	free(json);
}

/* ---- statements ---- */

static void
text_is(struct buf *b, const char *want)
{
	assert_string_equal(buf_text(b), want);
	buf_clear(b);
}

static void
statements_name_one_thing_each_and_quote_it(void **state)
{
	struct buf b = { 0 };
	struct table_home home;

	(void)state;
	ddl_primary(&b, "movr", "us-east1");
	text_is(&b, "ALTER DATABASE \"movr\" SET PRIMARY REGION \"us-east1\"");
	ddl_add(&b, "mo\"vr", "us-west1");
	text_is(&b, "ALTER DATABASE \"mo\"\"vr\" ADD REGION \"us-west1\"");
	ddl_survive(&b, "movr", "region");
	text_is(&b, "ALTER DATABASE \"movr\" SURVIVE REGION FAILURE");
	home_parse("REGIONAL BY ROW AS region", &home);
	ddl_locality(&b, "public", "users", &home);
	text_is(&b, "ALTER TABLE \"public\".\"users\" SET LOCALITY REGIONAL BY ROW AS \"region\"");
	home_fini(&home);
	home_parse(NULL, &home);
	ddl_locality(&b, "public", "users", &home);
	text_is(&b, "ALTER TABLE \"public\".\"users\" SET LOCALITY REGIONAL BY TABLE"
		    " IN PRIMARY REGION");
	ddl_partition(&b, "public", "users", "users_city", NULL);
	text_is(&b, "ALTER INDEX \"public\".\"users\"@\"users_city\" PARTITION BY NOTHING");
	ddl_visible(&b, "public", "users", "crdb_region", true);
	text_is(&b, "ALTER TABLE \"public\".\"users\" ALTER COLUMN \"crdb_region\" SET VISIBLE");
	buf_fini(&b);
}

static void
cities_become_lists(void **state)
{
	struct city_map m = { 0 };
	struct buf b = { 0 };

	(void)state;
	city_map_add(&m, "paris", "europe-west1");
	city_map_add(&m, "coeur d'alene", "us-west1");
	city_map_add(&m, "rome", "europe-west1");
	city_map_add(&m, "atlantis", NULL);
	ddl_backfill(&b, "public", "users", "city", &m, "europe-west1", 1000);
	text_is(&b,
		"UPDATE \"public\".\"users\" SET crdb_region = 'europe-west1' WHERE \"city\" IN "
		"('paris', 'rome') AND crdb_region <> 'europe-west1' LIMIT 1000");
	ddl_backfill_left(&b, "public", "users", "city", &m);
	text_is(&b,
		"SELECT count(*) FROM \"public\".\"users\" WHERE (\"city\" IN ('paris', 'rome') "
		"AND crdb_region <> 'europe-west1') OR (\"city\" IN ('coeur d''alene') AND "
		"crdb_region <> 'us-west1')");
	ddl_computed(&b, "public", "users", "region", "city", &m, "us-east1");
	text_is(&b,
		"ALTER TABLE \"public\".\"users\" ADD COLUMN \"region\" crdb_internal_region AS "
		"(CASE WHEN \"city\" IN ('paris', 'rome') THEN 'europe-west1' WHEN \"city\" IN "
		"('coeur d''alene') THEN 'us-west1' ELSE 'us-east1' END) STORED NOT NULL");
	city_map_fini(&m);
	ddl_backfill_left(&b, "public", "users", "city", &m);
	text_is(&b, "SELECT count(*) FROM \"public\".\"users\" WHERE false");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(movr_goes_in_the_order_of_the_guide),
		cmocka_unit_test(a_computed_column_needs_no_application_and_no_backfill),
		cmocka_unit_test(old_partitions_go_first),
		cmocka_unit_test(zones_are_told_by_names_that_may_have_quotes),
		cmocka_unit_test(another_primary_region_comes_after_it_was_added),
		cmocka_unit_test(out_of_regional_by_row_the_key_changes_too),
		cmocka_unit_test(what_a_step_says_comes_back_from_its_row),
		cmocka_unit_test(statements_name_one_thing_each_and_quote_it),
		cmocka_unit_test(cities_become_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
