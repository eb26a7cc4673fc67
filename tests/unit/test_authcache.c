/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/authcache.h"

#include <stdio.h>

#include "base/clock.h"
#include "tests/unit/collisions.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define SEC(n)    ((n)*USEC_PER_SEC)
#define TTL       SEC(60)
#define MD5_OF(x) "md5" x x x x x x x x

static const uint8_t salts[SCRAM_KEY_BYTES];

static int
setup(void **state)
{
	*state = authcache_new(4, 3);
	return 0;
}

static int
teardown(void **state)
{
	authcache_free(*state);
	return 0;
}

static struct authrecord *
record(const char *name, const char *secret)
{
	struct err e = { 0 };
	struct authrecord *r =
	    authrecord_new(slice_str(name), slice_str(secret), salts, SEC(1), &e);

	assert_non_null(r);
	return r;
}

static void
put(struct authcache *c, const char *name, int64_t now_us)
{
	authcache_put(c, slice_str(name), record(name, MD5_OF("0123")), now_us);
}

static void
put_missing(struct authcache *c, const char *name, int64_t now_us)
{
	authcache_put(c, slice_str(name), NULL, now_us);
}

static enum authcached
get(struct authcache *c, const char *name, int64_t now_us)
{
	struct authrecord *r = NULL;
	enum authcached known = authcache_get(c, slice_str(name), TTL, now_us, &r);

	assert_int_equal(known == AUTHCACHED_FOUND, r != NULL);
	if (r != NULL)
		assert_string_equal(r->user.name, name);
	authrecord_unref(r);
	return known;
}

static void
what_was_put_is_found_until_it_is_old(void **state)
{
	assert_int_equal(get(*state, "tom", SEC(1)), AUTHCACHED_NOT);
	put(*state, "tom", SEC(1));
	assert_int_equal(get(*state, "tom", SEC(1)), AUTHCACHED_FOUND);
	assert_int_equal(get(*state, "tom", SEC(61) - 1), AUTHCACHED_FOUND);
	assert_int_equal(get(*state, "tom", SEC(61)), AUTHCACHED_NOT);
	assert_int_equal(authcache_count(*state, false), 0);
}

static void
a_name_that_is_no_user_is_known_for_a_shorter_time(void **state)
{
	put_missing(*state, "tom", SEC(1));
	assert_int_equal(get(*state, "tom", SEC(6) - 1), AUTHCACHED_MISSING);
	assert_int_equal(get(*state, "tom", SEC(6)), AUTHCACHED_NOT);
}

static void
a_shorter_time_to_live_counts_at_once(void **state)
{
	struct authrecord *r = NULL;

	put(*state, "tom", SEC(1));
	assert_int_equal(authcache_get(*state, slice_str("tom"), SEC(2), SEC(3), &r),
			 AUTHCACHED_NOT);
	put(*state, "tom", SEC(1));
	assert_int_equal(authcache_get(*state, slice_str("tom"), 0, SEC(1), &r), AUTHCACHED_NOT);
	assert_null(r);
}

static void
a_new_answer_replaces_the_old_one(void **state)
{
	put_missing(*state, "tom", SEC(1));
	put(*state, "tom", SEC(2));
	assert_int_equal(get(*state, "tom", SEC(3)), AUTHCACHED_FOUND);
	assert_int_equal(authcache_count(*state, true), 0);
	put_missing(*state, "tom", SEC(3));
	assert_int_equal(get(*state, "tom", SEC(3)), AUTHCACHED_MISSING);
	assert_int_equal(authcache_count(*state, false), 0);
}

static void
the_one_not_used_for_longest_makes_room(void **state)
{
	put(*state, "a", SEC(1));
	put(*state, "b", SEC(1));
	put(*state, "c", SEC(1));
	put(*state, "d", SEC(1));
	assert_int_equal(get(*state, "a", SEC(2)), AUTHCACHED_FOUND);
	put(*state, "e", SEC(2));
	assert_int_equal(authcache_count(*state, false), 4);
	assert_int_equal(get(*state, "b", SEC(2)), AUTHCACHED_NOT);
	assert_int_equal(get(*state, "a", SEC(2)), AUTHCACHED_FOUND);
	assert_int_equal(get(*state, "e", SEC(2)), AUTHCACHED_FOUND);
}

static void
invented_names_crowd_out_no_user(void **state)
{
	char name[16];

	put(*state, "tom", SEC(1));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		put_missing(*state, name, SEC(1));
	}
	assert_int_equal(get(*state, "tom", SEC(1)), AUTHCACHED_FOUND);
	assert_int_equal(authcache_count(*state, true), 3);
}

static void
a_record_outlives_its_place_in_the_cache(void **state)
{
	struct authrecord *r = NULL;

	put(*state, "tom", SEC(1));
	assert_int_equal(authcache_get(*state, slice_str("tom"), TTL, SEC(2), &r),
			 AUTHCACHED_FOUND);
	put_missing(*state, "tom", SEC(2));
	assert_string_equal(r->user.md5, MD5_OF("0123"));
	authrecord_unref(r);
}

static void
a_sweep_forgets_what_is_old(void **state)
{
	put(*state, "old", SEC(1));
	put(*state, "new", SEC(50));
	put_missing(*state, "gone", SEC(50));
	put_missing(*state, "here", SEC(60));
	authcache_sweep(*state, TTL, SEC(61));
	assert_int_equal(authcache_count(*state, false), 1);
	assert_int_equal(authcache_count(*state, true), 1);
	assert_int_equal(get(*state, "new", SEC(61)), AUTHCACHED_FOUND);
	assert_int_equal(get(*state, "here", SEC(61)), AUTHCACHED_MISSING);
}

static void
visit(const struct authrecord *r, void *arg)
{
	strcat(arg, r->name);
}

static void
every_user_can_be_listed(void **state)
{
	char names[64] = "";

	put(*state, "a", SEC(1));
	put_missing(*state, "x", SEC(1));
	put(*state, "b", SEC(1));
	authcache_walk(*state, visit, names);
	assert_string_equal(names, "ab");
}

static void
keys_are_bytes(void **state)
{
	static const char one[] = "a\0b", other[] = "a\0c";
	struct authrecord *r = NULL;

	authcache_put(*state, slice_of(one, 3), record("tom", ""), SEC(1));
	assert_int_equal(authcache_get(*state, slice_of(other, 3), TTL, SEC(1), &r),
			 AUTHCACHED_NOT);
	assert_int_equal(authcache_get(*state, slice_of(one, 3), TTL, SEC(1), &r),
			 AUTHCACHED_FOUND);
	authrecord_unref(r);
}

static void
a_record_knows_what_kind_of_secret_it_has(void **state)
{
	static const struct {
		const char *secret;
		enum authfile_kind kind;
	} rows[] = {
		{ "", AUTHFILE_NONE },
		{ "wonderland", AUTHFILE_SCRAM },
		{ MD5_OF("0123"), AUTHFILE_MD5 },
		{ "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
		  "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		  AUTHFILE_SCRAM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct authrecord *r = record("tom", rows[i].secret);

		assert_int_equal(r->user.kind, rows[i].kind);
		authrecord_unref(r);
	}
}

static void
a_secret_that_is_none_is_refused_and_not_quoted(void **state)
{
	char big[AUTHFILE_SECRET_MAX + 2];
	struct err e = { 0 };

	(void)state;
	assert_null(
	    authrecord_new(slice_str("tom"), slice_str("SCRAM-SHA-256$hugo"), salts, SEC(1), &e));
	assert_null(strstr(e.msg, "hugo"));
	memset(big, 'x', sizeof(big));
	assert_null(
	    authrecord_new(slice_str("tom"), slice_of(big, sizeof(big)), salts, SEC(1), &e));
	assert_null(
	    authrecord_new(slice_of(big, AUTHFILE_NAME_MAX + 1), slice_str("x"), salts, 1, &e));
	assert_null(authrecord_new(slice_str(""), slice_str("x"), salts, 1, &e));
}

/* Of names that are no user's, which anybody may say. */
static double
cost_of(const void *arg, size_t n)
{
	struct authcache *c = authcache_new(10, n);
	const bool *collide = arg;
	struct authrecord *r;
	double ms = cost_ms();

	for (size_t i = 0; i < 2 * n; i++) {
		char name[COLLISION_BYTES];

		if (*collide)
			collision_make(slice_of("", 0), i % n, name);
		else
			snprintf(name, sizeof(name), "%060zu", i % n);
		if (i < n)
			put_missing(c, name, SEC(1));
		else
			assert_int_equal(authcache_get(c, slice_str(name), TTL, SEC(2), &r),
					 AUTHCACHED_MISSING);
	}
	ms = cost_ms() - ms;
	authcache_free(c);
	return ms;
}

static void
names_that_were_chosen_cost_no_more_than_others(void **state)
{
	(void)state;
	collisions_cost_nothing("names", cost_of, COLLISIONS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_put_is_found_until_it_is_old),
		T(a_name_that_is_no_user_is_known_for_a_shorter_time),
		T(a_shorter_time_to_live_counts_at_once),
		T(a_new_answer_replaces_the_old_one),
		T(the_one_not_used_for_longest_makes_room),
		T(invented_names_crowd_out_no_user),
		T(a_record_outlives_its_place_in_the_cache),
		T(a_sweep_forgets_what_is_old),
		T(every_user_can_be_listed),
		T(keys_are_bytes),
		T(a_record_knows_what_kind_of_secret_it_has),
		T(a_secret_that_is_none_is_refused_and_not_quoted),
		cmocka_unit_test(names_that_were_chosen_cost_no_more_than_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
