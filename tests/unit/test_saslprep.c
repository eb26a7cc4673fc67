/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/saslprep.h"

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
prepares(const char *in, size_t n, const char *wanted)
{
	struct buf out = { .cap = SASLPREP_ROOM(n) };

	saslprep_put(&out, slice_of(in, n));
	if (strcmp(buf_text(&out), wanted) != 0)
		print_error("%s: \"%s\", not \"%s\"\n", in, buf_text(&out), wanted);
	assert_string_equal(buf_text(&out), wanted);
	assert_false(out.failed);
	buf_fini(&out);
}

static void
two_ways_to_type_a_password_are_one(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "I\xc2\xadX", "IX" },                /* RFC 4013: soft hyphen goes */
		{ "user", "user" },                    /* … no change */
		{ "USER", "USER" },                    /* … case is kept */
		{ "\xc2\xaa", "a" },                   /* … feminine ordinal */
		{ "\xe2\x85\xa8", "IX" },              /* … roman numeral nine */
		{ "a\xc2\xa0z", "a z" },               /* no-break space is a blank */
		{ "a\xe3\x80\x80z", "a z" },           /* and so is the ideographic one */
		{ "z\xc3\xbcrich", "z\xc3\xbcrich" },  /* composed stays */
		{ "zu\xcc\x88rich", "z\xc3\xbcrich" }, /* a combining mark is composed */
		{ "\xef\xbd\x81\xef\xbd\x82", "ab" },  /* full width */
		{ "\xe2\x80\x8b"
		  "a",
		  " a" }, /* zero width space is one too, as in PostgreSQL */
		{ "\xe1\xba\x9b\xcc\xa3", "\xe1\xb9\xa9" },
		/* as PostgreSQL 15 has them: looked at in front of normalization; corrected since
		 */
		{ "a\xe2\x84\xb5"
		  "b",
		  "a\xd7\x90"
		  "b" },
		{ "\xef\xad\x86", "\xd7\xa6\xd6\xbc" },
		{ "\xf0\xaf\xa1\xa8", "\xe3\x9b\xbc" },
		{ "\xd7\xa9\xd7\x9c", "\xd7\xa9\xd7\x9c" }, /* right to left throughout */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		prepares(rows[i].in, strlen(rows[i].in), rows[i].out);
}

static void
what_the_profile_does_not_take_passes_as_it_is(void **state)
{
	static const char *const texts[] = {
		"",
		"\x07", /* ASCII is not looked at */
		"a\tb\x7f",
		"\xc2\x80"
		"a",            /* a control character */
		"\xc3\xbc\x07", /* … of ASCII, beside what is not */
		"\xd8\xa7"
		"1", /* RFC 4013: bidirectional check */
		"\xd7\xa9z",
		"\xc2\xad", /* nothing would be left */
		"\xe2\x80\xae"
		"a",                /* right-to-left override */
		"\xee\x80\x80",     /* private use */
		"\xef\xbf\xbd",     /* replacement character */
		"\xef\xb7\x90",     /* no character */
		"\xf0\x9f\x98\x80", /* not known to Unicode 3.2 */
		"a\xcd\x80"
		"b",                    /* prohibited, though it would be normalized away */
		"\xe2\x84\xb5\xd7\x90", /* letters of both directions in what was typed */
		"\xff\xfe",             /* no UTF-8 … */
		"\xc3",
		"a\xc3(",
		"\xc0\xaf",
		"\xe0\x80\xaf",
		"\xed\xa0\x80", /* a surrogate */
		"\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xe2\x82",
		"\xf0\x9f\x98",
		"\x80",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		prepares(texts[i], strlen(texts[i]), texts[i]);
}

static void
there_is_room_for_the_longest_expansion(void **state)
{
	char many[3 * 1000 + 1];
	struct buf out = { .cap = SASLPREP_ROOM(3 * 1000) };

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		memcpy(many + 3 * i, "\xef\xb7\xba", 4); /* U+FDFA: 33 bytes */
	saslprep_put(&out, slice_of(many, 3 * 1000));
	assert_false(out.failed);
	assert_int_equal(out.n, 33 * 1000);
	buf_fini(&out);
}

static void
every_prefix_of_a_text_is_taken_without_reading_on(void **state)
{
	static const char text[] = "a\xc3\xbc\xe2\x85\xa8\xf0\x90\x8c\xb0\xc2\xad";

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		struct buf out = { .cap = SASLPREP_ROOM(i) };
		char *copy = test_malloc(i > 0 ? i : 1);

		memcpy(copy, text, i);
		saslprep_put(&out, slice_of(copy, i));
		assert_false(out.failed);
		buf_fini(&out);
		test_free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_ways_to_type_a_password_are_one),
		cmocka_unit_test(what_the_profile_does_not_take_passes_as_it_is),
		cmocka_unit_test(there_is_room_for_the_longest_expansion),
		cmocka_unit_test(every_prefix_of_a_text_is_taken_without_reading_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
