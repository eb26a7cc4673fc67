/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/credential.h"

#include "tests/unit/secrets.h"

#include "tests/unit/unit.h"

#define HASH  "md571b823031259ac126868eea6ecf2786a"
#define OTHER "md50441e7912fa8a15c9db87918c84ba121"

static void
each_kind_is_equal_to_itself_alone(void **state)
{
	struct scram_keys keys = { { 1, 2, 3 }, { 4, 5, 6 } }, other = keys;
	struct credential *c[9];
	size_t n = sizeof(c) / sizeof(c[0]);

	(void)state;
	other.server_key[31] = 1;
	c[0] = NULL;
	c[1] = credential_new_none();
	c[2] = credential_new_password(slice_str("secret"));
	c[3] = credential_new_password(slice_str("secreT"));
	c[4] = credential_new_password(slice_of("", 0));
	c[5] = credential_new_md5(HASH);
	c[6] = credential_new_md5(OTHER);
	c[7] = credential_new_keys(&keys);
	c[8] = credential_new_keys(&other);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++)
			assert_int_equal(credential_equal(c[i], c[j]), i == j);
	}
	for (size_t i = 0; i < n; i++)
		credential_unref(c[i]);
}

static void
the_same_secret_in_two_places_is_equal(void **state)
{
	struct credential *a = credential_new_password(slice_of("a\0b", 3));
	struct credential *b = credential_new_password(slice_of("a\0b", 3));
	struct credential *shorter = credential_new_password(slice_of("a", 1));

	(void)state;
	assert_true(credential_equal(a, b));
	assert_false(credential_equal(a, shorter));
	assert_int_equal(a->length, 3);
	assert_memory_equal(a->password, "a\0b", 4);
	credential_unref(a);
	credential_unref(b);
	credential_unref(shorter);
}

static void
it_lives_as_long_as_its_last_reference(void **state)
{
	struct credential *a = credential_new_md5(HASH), *b = credential_ref(a);

	(void)state;
	assert_ptr_equal(a, b);
	credential_unref(a);
	assert_string_equal(b->md5, HASH);
	credential_unref(b);
	assert_null(credential_ref(NULL));
	credential_unref(NULL);
}

static void
the_digits_of_a_hash_are_those_of_postgresql(void **state)
{
	struct credential *a = credential_new_md5("md5ABCDEF0123456789ABCDEF0123456789");

	(void)state;
	assert_string_equal(a->md5, "md5abcdef0123456789abcdef0123456789");
	credential_unref(a);
}

static void
the_keys_of_a_password_are_made_once_for_each_challenge(void **state)
{
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct scram_challenge ask = { .salt_len = 3, .salt = "abc", .iterations = 2 };
	struct scram_keys a, b;
	struct err e;

	(void)state;
	assert_false(credential_known_keys(c, &ask, &a));
	assert_int_equal(credential_make_keys(c, &ask, &a, &e), 0);
	assert_true(credential_known_keys(c, &ask, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	/* all of the challenge counts */
	ask.iterations = 3;
	assert_false(credential_known_keys(c, &ask, &b));
	ask.iterations = 2;
	ask.salt_len = 2;
	assert_false(credential_known_keys(c, &ask, &b));
	ask.salt_len = 3;
	ask.salt[2] = 'd';
	assert_false(credential_known_keys(c, &ask, &b));
	assert_int_equal(credential_make_keys(c, &ask, &b, &e), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
	credential_unref(c);
}

static void
no_keys_are_made_of_a_password_without_end(void **state)
{
	static const char long_one[65537];
	struct credential *c = credential_new_password(slice_of(long_one, sizeof(long_one)));
	struct scram_challenge ask = { .salt_len = 1, .iterations = 1 };
	struct scram_keys keys;
	struct err e;

	(void)state;
	assert_int_equal(credential_make_keys(c, &ask, &keys, &e), -1);
	assert_string_equal(e.sqlstate, "22023");
	assert_false(credential_known_keys(c, &ask, &keys));
	credential_unref(c);
}

static void
the_last_few_challenges_are_remembered(void **state)
{
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct scram_challenge ask = { .salt_len = 1, .iterations = 1 };
	struct scram_keys keys;
	struct err e;
	int known = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		ask.salt[0] = (uint8_t)i;
		assert_int_equal(credential_make_keys(c, &ask, &keys, &e), 0);
		/* what is known already takes no second place */
		assert_int_equal(credential_make_keys(c, &ask, &keys, &e), 0);
	}
	for (int i = 0; i < 40; i++) {
		ask.salt[0] = (uint8_t)i;
		known += credential_known_keys(c, &ask, &keys);
		assert_true(i < 24 || known == i - 23);
	}
	assert_int_equal(known, 16);
	credential_unref(c);
}

/* What a node keeps, beside what we have. */
static void
a_login_fits_what_the_node_keeps(void **state)
{
	struct slice user = slice_str("app"), secret = slice_str("secret");
	struct buf here = { 0 }, there = { 0 };
	struct scram_verifier v;
	struct scram_keys keys;
	char md5[MD5_PASSWORD_TEXT];
	struct credential *c[4];
	struct err e;

	(void)state;
	assert_int_equal(scram_verifier_make(secret, slice_str("here"), 4096, &v, &e), 0);
	put_verifier(&here, &v);
	assert_int_equal(scram_verifier_make(secret, slice_str("there"), 4096, &v, &e), 0);
	put_verifier(&there, &v);
	assert_int_equal(scram_keys_make(secret, slice_str("here"), 4096, &keys, &e), 0);
	assert_true(md5_secret(user, secret, md5));
	c[0] = credential_new_none();
	c[1] = credential_new_password(secret);
	c[2] = credential_new_md5(md5);
	c[3] = credential_new_keys(&keys);
	const struct {
		const char *kept;
		bool fits[4]; /* none, password, md5 hash, keys */
	} want[] = {
		{ buf_text(&here), { true, true, false, true } },
		{ buf_text(&there), { true, true, false, false } },
		{ md5, { true, true, true, false } },
		{ OTHER, { true, false, false, false } },
		{ "", { true, false, false, false } },
		{ "SCRAM-SHA-256$4096:", { true, false, false, false } },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		for (size_t k = 0; k < 4; k++)
			assert_int_equal(credential_fits(c[k], user, slice_str(want[i].kept)),
					 want[i].fits[k]);
	}
	for (size_t k = 0; k < 4; k++)
		credential_unref(c[k]);
	buf_fini(&here);
	buf_fini(&there);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_equal_to_itself_alone),
		cmocka_unit_test(the_same_secret_in_two_places_is_equal),
		cmocka_unit_test(it_lives_as_long_as_its_last_reference),
		cmocka_unit_test(the_digits_of_a_hash_are_those_of_postgresql),
		cmocka_unit_test(the_keys_of_a_password_are_made_once_for_each_challenge),
		cmocka_unit_test(no_keys_are_made_of_a_password_without_end),
		cmocka_unit_test(the_last_few_challenges_are_remembered),
		cmocka_unit_test(a_login_fits_what_the_node_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
