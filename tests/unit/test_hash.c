/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/collisions.h"

#include "tests/unit/unit.h"

static void
a_text_has_one_hash_by_each_seed(void **state)
{
	char text[64], copy[64];
	uint64_t seed = hash_new_seed(), other = hash_new_seed();
	unsigned same = 0;

	(void)state;
	assert_int_not_equal(seed, other);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	memcpy(copy, text, sizeof(copy));
	for (size_t n = 0; n <= sizeof(text); n++) {
		uint32_t h = hash_slice(seed, slice_of(text, n));

		assert_int_equal(h, hash_slice(seed, slice_of(copy, n)));
		same += h == hash_slice(other, slice_of(text, n));
		for (size_t bit = 0; bit < 8 * n; bit++) {
			copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
			assert_int_not_equal(h, hash_slice(seed, slice_of(copy, n)));
			copy[bit / 8] = text[bit / 8];
		}
	}
	assert_true(same <= 1);
	assert_int_equal(hash_slice(seed, slice_of(NULL, 0)), hash_slice(seed, slice_of("", 0)));
}

/* Of n keys, how many fall into the fullest of n / 8 buckets. */
static unsigned
fullest(uint64_t seed, size_t n,
	size_t (*make)(struct slice behind, size_t i, char to[COLLISION_BYTES]))
{
	unsigned *buckets = calloc(n / 8, sizeof(*buckets)), most = 0;
	char key[COLLISION_BYTES];

	assert_non_null(buckets);
	for (size_t i = 0; i < n; i++) {
		struct slice s = slice_of(key, make(slice_of("", 0), i, key));
		unsigned *b = &buckets[hash_slice(seed, s) & (n / 8 - 1)];

		most = ++*b > most ? *b : most;
	}
	free(buckets);
	return most;
}

static size_t
count(struct slice behind, size_t i, char to[COLLISION_BYTES])
{
	(void)behind;
	return (size_t)snprintf(to, COLLISION_BYTES, "user_%zu", i);
}

static void
keys_are_spread_whatever_they_are(void **state)
{
	char one[COLLISION_BYTES], other[COLLISION_BYTES];

	(void)state;
	/* they are what they are meant to be */
	assert_int_equal(
	    collision_fnv(2166136261U, slice_of(one, collision_make(slice_of("", 0), 0, one))),
	    collision_fnv(2166136261U,
			  slice_of(other, collision_make(slice_of("", 0), 4095, other))));
	assert_string_not_equal(one, other);
	for (int i = 0; i < 20; i++) {
		uint64_t seed = hash_new_seed();

		assert_true(fullest(seed, COLLISIONS, count) < 40);
		assert_true(fullest(seed, COLLISIONS, collision_make) < 40);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_has_one_hash_by_each_seed),
		cmocka_unit_test(keys_are_spread_whatever_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
