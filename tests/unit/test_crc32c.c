/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/crc32c.h"

#include "tests/unit/unit.h"

static void
known_sums_come_out(void **state)
{
	uint8_t block[32];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(block, 0, sizeof(block)); /* these four: RFC 3720 appendix B.4 */
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x8a9136aa);
	memset(block, 0xff, sizeof(block));
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x46dd794e);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x113fdb5c);
}

static void
a_sum_in_pieces_is_the_sum_of_the_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i <= 9; i++)
		assert_int_equal(crc32c(crc32c(0, "123456789", i), "123456789" + i, 9 - i),
				 0xe3069283);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums_come_out),
		cmocka_unit_test(a_sum_in_pieces_is_the_sum_of_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
