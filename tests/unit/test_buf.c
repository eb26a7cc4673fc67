/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

static void
a_message_gets_its_length(void **state)
{
	static const char want[] = { 'Q', 0, 0, 0, 7, 'h', 'i', 0 };
	struct buf b = { .cap = 64 };
	size_t at = buf_message(&b, 'Q');

	(void)state;
	buf_cstr(&b, "hi");
	buf_message_end(&b, at);
	assert_false(b.failed);
	assert_int_equal(b.n, sizeof(want));
	assert_memory_equal(b.p, want, sizeof(want));
	buf_fini(&b);
}

static void
the_cap_holds_and_the_failure_sticks(void **state)
{
	struct buf b = { .cap = 8 };

	(void)state;
	buf_str(&b, "12345678");
	assert_false(b.failed);
	buf_u8(&b, 9);
	assert_true(b.failed);
	assert_int_equal(b.n, 8);
	buf_drop(&b, 3);
	buf_u8(&b, 9);
	assert_true(b.failed);
	buf_clear(&b);
	buf_u8(&b, 9);
	assert_false(b.failed);
	assert_int_equal(b.n, 1);
	buf_fini(&b);
}

static void
integers_are_in_network_order_both_ways(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_u16(&b, 0x0102);
	buf_u32(&b, 0x03040506);
	buf_u64(&b, UINT64_C(0x0708090a0b0c0d0e));
	assert_memory_equal(b.p, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16", 14);
	assert_int_equal(get_u16(b.p), 0x0102);
	assert_int_equal(get_u32(b.p + 2), 0x03040506);
	assert_true(get_u64(b.p + 6) == UINT64_C(0x0708090a0b0c0d0e));
	buf_fini(&b);
}

static void
dropping_everything_gives_the_memory_back(void **state)
{
	struct buf b = { .cap = 100 };

	(void)state;
	buf_printf(&b, "%s-%d", "abc", 42);
	assert_string_equal(buf_text(&b), "abc-42");
	buf_drop(&b, 4);
	assert_string_equal(buf_text(&b), "42");
	buf_drop(&b, 2);
	assert_null(b.p);
	assert_int_equal(b.cap, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_gets_its_length),
		cmocka_unit_test(the_cap_holds_and_the_failure_sticks),
		cmocka_unit_test(integers_are_in_network_order_both_ways),
		cmocka_unit_test(dropping_everything_gives_the_memory_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
