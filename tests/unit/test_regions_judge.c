/* SPDX-License-Identifier: PostgreSQL
 *
 * What stands in the way of a multi-region database is said before anything runs.
 */
#include "config.h"

#include "migration/regions/planner.h"

#include "tests/unit/crdb_movr.h"
#include "tests/unit/unit.h"

static struct regions_catalog cat;
static struct movr_wish x;
static struct checks found;

static int
begin(void **state)
{
	(void)state;
	movr(&cat);
	strlist_add(&cat.cluster, "us-west1");
	strlist_add(&cat.cluster, "europe-west1");
	return 0;
}

static int
end(void **state)
{
	(void)state;
	checks_fini(&found);
	found = (struct checks){ 0 };
	wish_fini(&x);
	regions_catalog_fini(&cat);
	return 0;
}

static void
judge(const char *text)
{
	assert_true(wish(&x, text));
	regions_judge(&found, &x.w, &cat);
}

/* The first finding of that name; NULL. */
static const struct check *
finding(const char *name)
{
	for (size_t i = 0; i < found.n; i++) {
		if (strcmp(found.v[i].check, name) == 0)
			return &found.v[i];
	}
	return NULL;
}

static void
is_found(const char *name, enum check_severity severity, const char *object)
{
	const struct check *c = finding(name);

	assert_non_null(c);
	assert_int_equal(c->severity, severity);
	assert_string_equal(c->object, object);
}

static void
movr_has_nothing_in_its_way(void **state)
{
	(void)state;
	judge(MOVR_WISH);
	assert_int_equal(checks_count(&found, CHECK_ERROR), 0);
	is_found("city_unknown", CHECK_WARN, "users");
}

static void
a_server_that_is_no_cockroachdb_is_told_at_once(void **state)
{
	(void)state;
	free(cat.version);
	cat.version = NULL;
	judge(MOVR_WISH);
	is_found("not_cockroachdb", CHECK_ERROR, "movr");
	assert_int_equal(found.n, 1);
}

static void
a_licence_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	cat.licence = xstrdup("use of multi-region features requires an enterprise license");
	judge(MOVR_WISH);
	is_found("licence", CHECK_ERROR, "movr");
}

static void
the_primary_region_needs_nodes_and_the_others_may_wait(void **state)
{
	(void)state;
	judge("OF DATABASE movr TO REGIONS asia-east1 PRIMARY, us-west2");
	is_found("primary_region", CHECK_ERROR, "asia-east1");
	is_found("waiting_nodes", CHECK_WARN, "us-west2");
}

static void
two_regions_survive_no_region(void **state)
{
	(void)state;
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1 SURVIVE REGION FAILURE");
	is_found("survival", CHECK_ERROR, "movr");
}

static void
regions_that_the_database_has_already_count_for_survival(void **state)
{
	(void)state;
	cat.primary = xstrdup("us-east1");
	strlist_add(&cat.regions, "us-east1");
	strlist_add(&cat.regions, "europe-west1");
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1 SURVIVE REGION FAILURE");
	assert_null(finding("survival"));
	is_found("extra_region", CHECK_INFO, "europe-west1");
}

static void
who_may_not_alter_is_told_for_each_object(void **state)
{
	(void)state;
	cat.is_admin = false;
	free(cat.user);
	cat.user = xstrdup("joe");
	free(cat.tables[1].owner);
	cat.tables[1].owner = xstrdup("joe");
	judge(MOVR_WISH);
	is_found("privileges", CHECK_ERROR, "movr");
	assert_int_equal(checks_count(&found, CHECK_ERROR), 4);
}

static void
replicas_placed_by_hand_are_an_error_other_zone_settings_are_not(void **state)
{
	(void)state;
	regions_catalog_add_zone(&cat, "TABLE movr.public.users",
				 "ALTER TABLE … CONFIGURE ZONE USING gc.ttlseconds = 600");
	regions_catalog_add_zone(&cat, "PARTITION us_west OF INDEX movr.public.users@primary",
				 "ALTER PARTITION … constraints = '[+region=us-west1]'");
	judge(MOVR_WISH);
	assert_null(finding("zone_configuration"));
	checks_fini(&found);
	found = (struct checks){ 0 };
	regions_catalog_add_zone(&cat, "TABLE movr.public.rides",
				 "ALTER TABLE … CONFIGURE ZONE USING num_replicas = 5");
	wish_fini(&x);
	judge(MOVR_WISH);
	is_found("zone_configuration", CHECK_ERROR, "TABLE movr.public.rides");
	assert_string_equal(finding("zone_configuration")->fix,
			    "ALTER TABLE movr.public.rides CONFIGURE ZONE DISCARD");
}

static void
tables_have_to_be_there_once_and_be_tables(void **state)
{
	(void)state;
	free(cat.tables[2].type);
	cat.tables[2].type = xstrdup("view");
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (nosuch GLOBAL, rides GLOBAL,"
	      " users GLOBAL, public.users REGIONAL BY ROW)");
	is_found("no_such_table", CHECK_ERROR, "nosuch");
	is_found("not_a_table", CHECK_ERROR, "rides");
	is_found("named_twice", CHECK_ERROR, "users");
}

static void
a_column_of_regions_has_to_be_one(void **state)
{
	(void)state;
	regions_table_add_column(&cat.tables[0], "maybe", "crdb_internal_region", true);
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (users REGIONAL BY ROW AS "
	      "maybe, rides REGIONAL BY ROW AS city, vehicles REGIONAL BY ROW AS nosuch)");
	assert_int_equal(checks_count(&found, CHECK_ERROR), 3);
	is_found("region_column", CHECK_ERROR, "maybe");
}

static void
the_map_is_the_routers_and_its_regions_are_the_databases(void **state)
{
	(void)state;
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (users REGIONAL BY ROW BY "
	      "(city) MAP other, rides REGIONAL BY ROW BY (town) MAP router)");
	is_found("map", CHECK_ERROR, "other");
	is_found("city_column", CHECK_ERROR, "town");
	is_found("city_elsewhere", CHECK_WARN, "seattle");
}

static void
a_table_goes_to_a_region_that_the_database_will_have(void **state)
{
	(void)state;
	judge("OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (users REGIONAL BY TABLE IN "
	      "us-west1)");
	is_found("table_region", CHECK_ERROR, "us-west1");
}

static void
a_changefeed_that_would_stop_is_named_before_anything_runs(void **state)
{
	(void)state;
	regions_catalog_add_feed(&cat, "77", false,
				 "CREATE CHANGEFEED FOR TABLE users INTO 'kafka://b' WITH "
				 "schema_change_policy = 'stop'",
				 NULL);
	regions_catalog_add_feed(&cat, "abc", true,
				 "EXPERIMENTAL CHANGEFEED FOR TABLE vehicles WITH "
				 "schema_change_policy = 'stop'",
				 NULL);
	regions_catalog_add_feed(&cat, "78", false,
				 "CREATE CHANGEFEED FOR TABLE vehicles INTO 'kafka://b'", NULL);
	regions_catalog_add_feed(&cat, "79", false,
				 "CREATE CHANGEFEED FOR TABLE promo_codes INTO 'kafka://b' WITH "
				 "schema_change_policy = 'stop'",
				 NULL);
	judge(MOVR_WISH);
	is_found("changefeed_stop", CHECK_WARN, "public.users");
	assert_non_null(strstr(finding("changefeed_stop")->detail, "77"));
	is_found("changefeed_format", CHECK_WARN, "public.vehicles");
	assert_int_equal(checks_count(&found, CHECK_WARN), 4); /* with city_unknown */
}

static void
names_of_cockroachdbs_own_type_are_taken(void **state)
{
	(void)state;
	cat.has_own_type = true;
	judge(MOVR_WISH);
	is_found("crdb_internal_region", CHECK_ERROR, "movr");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(movr_has_nothing_in_its_way),
		TEST(a_server_that_is_no_cockroachdb_is_told_at_once),
		TEST(a_licence_that_is_not_there_is_an_error),
		TEST(the_primary_region_needs_nodes_and_the_others_may_wait),
		TEST(two_regions_survive_no_region),
		TEST(regions_that_the_database_has_already_count_for_survival),
		TEST(who_may_not_alter_is_told_for_each_object),
		TEST(replicas_placed_by_hand_are_an_error_other_zone_settings_are_not),
		TEST(tables_have_to_be_there_once_and_be_tables),
		TEST(a_column_of_regions_has_to_be_one),
		TEST(the_map_is_the_routers_and_its_regions_are_the_databases),
		TEST(a_table_goes_to_a_region_that_the_database_will_have),
		TEST(a_changefeed_that_would_stop_is_named_before_anything_runs),
		TEST(names_of_cockroachdbs_own_type_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
