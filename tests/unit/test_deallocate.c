/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/deallocate.h"

#include "tests/unit/unit.h"

static const struct {
	const char *sql, *name; /* "*": all; NULL: not recognised */
} texts[] = {
	{ "DEALLOCATE a", "a" },
	{ "deallocate pdo_stmt_00000001", "pdo_stmt_00000001" },
	{ "DEALLOCATE _pg3_0", "_pg3_0" },
	{ "DEALLOCATE PREPARE Abc;", "abc" },
	{ " \n\tdeallocate\r\nprepare\fA$1 ; ", "a$1" },
	{ "DEALLOCATE \"Abc\"", "Abc" },
	{ "DEALLOCATE\"a\"\"b\"", "a\"b" },
	{ "DEALLOCATE \"all\"", "all" },
	{ "DEALLOCATE PREPARE \"prepare\";", "prepare" },
	{ "DEALLOCATE \xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9" },
	{ "DEALLOCATE a2345678901234567890123456789012345678901234567890123456789012345678",
	  "a23456789012345678901234567890123456789012345678901234567890123" },
	{ "DEALLOCATE ALL", "*" },
	{ "DEALLOCATE PREPARE all ; ", "*" },
	{ "discard all", "*" },
	{ "/* app */ DEALLOCATE -- it\n PREPARE a;", "a" },
	{ "DEALLOCATE a /* no end", NULL },
	{ "DISCARD ALL; SELECT 1", NULL },
	{ "DISCARD PLANS", NULL },
	{ "DISCARD", NULL },
	{ "DEALLOCATE", NULL },
	{ "DEALLOCATE PREPARE", NULL }, /* a syntax error in the server, too */
	{ "DEALLOCATE a; SELECT 1", NULL },
	{ "DEALLOCATE a b", NULL },
	{ "DEALLOCATE a;;", NULL },
	{ "DEALLOCATE \"a", NULL },
	{ "DEALLOCATE \"\"", NULL },
	{ "DEALLOCATE 1a", NULL },
	{ "DEALLOCATEa", NULL },
	{ "DEALLOCATE 'a'", NULL },
	{ "SELECT 1", NULL },
	{ "", NULL },
};

static void
the_name_is_what_the_server_would_see(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct deallocate d = { .n = 99 };
		const char *name = texts[i].name;
		enum deallocate_what what = deallocate_read(slice_str(texts[i].sql), &d);

		if (what != (name == NULL             ? DEALLOCATE_NOTHING
			     : strcmp(name, "*") == 0 ? DEALLOCATE_ALL
						      : DEALLOCATE_ONE))
			fail_msg("\"%s\" is taken for %d", texts[i].sql, (int)what);
		if (what != DEALLOCATE_ONE) {
			assert_int_equal(d.n, 99);
			continue;
		}
		assert_int_equal(d.n, strlen(texts[i].name));
		assert_memory_equal(d.name, texts[i].name, d.n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_what_the_server_would_see),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
