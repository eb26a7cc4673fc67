/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/b64.h"

#include "tests/unit/unit.h"

static void
the_vectors_of_rfc_4648_go_both_ways(void **state)
{
	static const struct {
		const char *plain, *text;
	} vectors[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	uint8_t back[16];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf b = { 0 };

		b64_put(&b, vectors[i].plain, strlen(vectors[i].plain));
		assert_string_equal(buf_text(&b), vectors[i].text);
		assert_true(b64_decode(buf_view(&b), back, sizeof(back), &n));
		assert_int_equal(n, strlen(vectors[i].plain));
		assert_memory_equal(back, vectors[i].plain, n);
		buf_fini(&b);
	}
}

static void
every_byte_survives(void **state)
{
	uint8_t all[256], back[256];
	struct buf b = { 0 };
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	b64_put(&b, all, sizeof(all));
	assert_int_equal(b.n, B64_LENGTH(sizeof(all)));
	assert_true(b64_decode(buf_view(&b), back, sizeof(back), &n));
	assert_int_equal(n, sizeof(all));
	assert_memory_equal(back, all, sizeof(all));
	buf_fini(&b);
}

static void
what_is_not_canonical_is_refused(void **state)
{
	static const char *const texts[] = { "Z",      "Zg",   "Zg=",          "Zh==",     "Zm9=",
					     "====",   "Z===", "=Zg=",         "Zg==Zg==", " Zg==",
					     "Zg==\n", "Zm-_", "Zm9vYg==Zm9v", "Zm=v" };
	uint8_t to[16];
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(b64_decode(slice_str(texts[i]), to, sizeof(to), &n));
	assert_false(b64_decode(slice_of("Zg\0=", 4), to, sizeof(to), &n));
	assert_false(b64_decode(slice_of("\0\0\0\0", 4), to, sizeof(to), &n));
	for (size_t i = 1; i < 8; i++) {
		if (i != 4)
			assert_false(b64_decode(slice_of("Zm9vZm9v", i), to, sizeof(to), &n));
	}
	assert_int_equal(n, 99);
}

static void
no_more_than_fits_is_written(void **state)
{
	uint8_t to[4] = { 0, 0, 0, 0xee };
	size_t n;

	(void)state;
	assert_true(b64_decode(slice_str("Zm9v"), to, 3, &n));
	assert_int_equal(to[3], 0xee);
	assert_false(b64_decode(slice_str("Zm9vYg=="), to, 3, &n));
	assert_int_equal(to[3], 0xee);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_rfc_4648_go_both_ways),
		cmocka_unit_test(every_byte_survives),
		cmocka_unit_test(what_is_not_canonical_is_refused),
		cmocka_unit_test(no_more_than_fits_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
