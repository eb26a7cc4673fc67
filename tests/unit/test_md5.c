/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/md5.h"

#include "tests/unit/unit.h"

static void
the_answer_is_postgresqls(void **state)
{
	/* md5("lamb" || "mary"), and that with the salt behind it */
	static const struct {
		const char *user, *password, *salt, *answer;
	} cases[] = {
		{ "mary", "lamb", "\001\002\003\004", "md571b823031259ac126868eea6ecf2786a" },
		{ "mary", "", "\000\000\000\000", "md50441e7912fa8a15c9db87918c84ba121" },
		{ "m\303\251", "p\042\134", "\377\376\375\374",
		  "md5d17d4029eb9ce0cd22a0e2fa437f5a03" },
	};
	char text[MD5_PASSWORD_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(md5_password(slice_str(cases[i].user), slice_str(cases[i].password),
					 (const uint8_t *)cases[i].salt, text));
		assert_string_equal(text, cases[i].answer);
	}
}

static void
what_is_kept_is_postgresqls(void **state)
{
	char secret[MD5_PASSWORD_TEXT], answer[MD5_PASSWORD_TEXT];

	(void)state;
	/* what PostgreSQL 15 keeps of mary's password lamb */
	assert_true(md5_secret(slice_str("mary"), slice_str("lamb"), secret));
	assert_string_equal(secret, "md53974ce642e91c77ae68e995ea4bfbf0f");
	assert_true(md5_answer(secret, (const uint8_t *)"\001\002\003\004", answer));
	assert_string_equal(answer, "md571b823031259ac126868eea6ecf2786a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_is_postgresqls),
		cmocka_unit_test(what_is_kept_is_postgresqls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
