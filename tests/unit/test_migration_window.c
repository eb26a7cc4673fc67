/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/window.h"

#include <stdio.h>

#include "tests/unit/unit.h"

/* What is kept of each text; NULL: it is refused. */
static const struct {
	const char *text, *kept;
} texts[] = {
	{ "02:00-04:00 UTC", "02:00-04:00 UTC" },
	{ "  2:00 - 4:30  ", "02:00-04:30 UTC" },
	{ "22:00-02:00 gmt", "22:00-02:00 UTC" },
	{ "00:00-24:00 Z", "00:00-24:00 UTC" },
	{ "02:00-04:00 Europe/Berlin", "02:00-04:00 Europe/Berlin" },
	{ "02:00-04:00 America/Argentina/Buenos_Aires",
	  "02:00-04:00 America/Argentina/Buenos_Aires" },
	{ "02:00-04:00 Etc/GMT-5", "02:00-04:00 Etc/GMT-5" },
	{ "02:00-04:00 Zulu", "02:00-04:00 Zulu" },
	{ "02:00-04:00 +02", "02:00-04:00 +02:00" },
	{ "02:00-04:00+5:45", "02:00-04:00 +05:45" },
	{ "02:00-04:00-03:30", "02:00-04:00 -03:30" },
	{ "02:00-04:00 UTC+2", "02:00-04:00 +02:00" },
	{ "02:00-04:00 +00:00", "02:00-04:00 UTC" },
	{ "Sat,Sun 02:00-04:00 UTC", "Sat,Sun 02:00-04:00 UTC" },
	{ "sunday , SATURDAY 02:00-04:00", "Sat,Sun 02:00-04:00 UTC" },
	{ "Mon-Fri 12:00-13:00", "Mon,Tue,Wed,Thu,Fri 12:00-13:00 UTC" },
	{ "Fri - Mon 12:00-13:00", "Mon,Fri,Sat,Sun 12:00-13:00 UTC" },
	{ "Mon-Sun 12:00-13:00", "12:00-13:00 UTC" },
	{ "Tue-Tue 12:00-13:00", "Tue 12:00-13:00 UTC" },
	{ "", NULL },
	{ "UTC", NULL },
	{ "02:00", NULL },
	{ "02:00-", NULL },
	{ "02:00-04", NULL },
	{ "02:00-04:0", NULL },
	{ "02:00-04:000", NULL },
	{ "02:00-04:00:00", NULL },
	{ "02:00-02:00", NULL },
	{ "24:00-02:00", NULL },
	{ "02:00-24:01", NULL },
	{ "02:60-04:00", NULL },
	{ "-2:00-04:00", NULL },
	{ "02:00-04:00 +15", NULL },
	{ "02:00-04:00 +14:30", NULL },
	{ "02:00-04:00 UTC+2:0", NULL },
	{ "02:00-04:00 CET-1", NULL }, /* POSIX, which counts the other way round */
	{ "02:00-04:00 'x'", NULL },
	{ "02:00-04:00 Europe/Berlin UTC", NULL },
	{ "02:00-04:00, 05:00-06:00", NULL },
	{ "Su 02:00-04:00", NULL },
	{ "Sundays 02:00-04:00", NULL },
	{ "Sat, 02:00-04:00", NULL },
	{ "daily 02:00-04:00", NULL },
	{ "02:00-04:00 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  NULL },
};

static void
texts_are_kept_in_one_form_that_is_read_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct buf kept = { .cap = 256 }, again = { .cap = 256 };
		struct window w;
		bool is_good = window_parse(texts[i].text, &w);

		if (is_good != (texts[i].kept != NULL))
			fail_msg("\"%s\": %s", texts[i].text, is_good ? "taken" : "refused");
		if (is_good) {
			window_put(&w, &kept);
			assert_string_equal(buf_text(&kept), texts[i].kept);
			assert_true(window_parse(buf_text(&kept), &w));
			window_put(&w, &again);
			assert_string_equal(buf_text(&again), texts[i].kept);
		}
		buf_fini(&kept);
		buf_fini(&again);
	}
}

/* 2026-11-22 is a Sunday. */
#define SUNDAY      INT64_C(1795305600)
#define AT(d, h, m) (SUNDAY + (d)*INT64_C(86400) + (h)*3600 + (m)*60)

static const struct {
	const char *window;
	int64_t now;
	const char *opens; /* NULL: it is open */
} times[] = {
	{ "02:00-04:00", AT(0, 1, 59), "Sun 2026-11-22 02:00 UTC" },
	{ "02:00-04:00", AT(0, 2, 0), NULL },
	{ "02:00-04:00", AT(0, 4, 0) - 1, NULL },
	{ "02:00-04:00", AT(0, 4, 0), "Mon 2026-11-23 02:00 UTC" },
	{ "02:00-04:00", AT(0, 12, 0), "Mon 2026-11-23 02:00 UTC" },
	{ "22:00-02:00", AT(0, 21, 59), "Sun 2026-11-22 22:00 UTC" },
	{ "22:00-02:00", AT(0, 22, 0), NULL },
	{ "22:00-02:00", AT(0, 0, 0), NULL },
	{ "22:00-02:00", AT(0, 2, 0) - 1, NULL },
	{ "22:00-02:00", AT(0, 2, 0), "Sun 2026-11-22 22:00 UTC" },
	{ "00:00-24:00", AT(3, 23, 59), NULL },
	{ "23:00-24:00", AT(0, 23, 30), NULL },
	{ "23:00-24:00", AT(1, 0, 0), "Mon 2026-11-23 23:00 UTC" },
	{ "Sat 22:00-02:00 +02:00", AT(0, 1, 0), NULL }, /* it opened on Saturday */
	{ "Sat 22:00-02:00 +02:00", AT(0, 23, 0), "Sat 2026-11-28 22:00 +02:00" },
	{ "Sat 22:00-02:00 +02:00", AT(6, 1, 0), "Sat 2026-11-28 22:00 +02:00" },
	{ "Sun 02:00-04:00", AT(0, 5, 0), "Sun 2026-11-29 02:00 UTC" },
	{ "Mon-Fri 12:00-13:00 Europe/Berlin", AT(5, 13, 0), "Mon 2026-11-30 12:00 Europe/Berlin" },
	{ "Mon-Fri 12:00-13:00", AT(5, 12, 30), NULL },
	{ "02:00-04:00", -1, "Thu 1970-01-01 02:00 UTC" },
};

static void
it_is_open_or_opens_next(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct buf text = { .cap = 256 };
		struct window w;
		int64_t opens;

		assert_true(window_parse(times[i].window, &w));
		opens = window_opens(&w, times[i].now);
		window_put_time(&w, opens, &text);
		if (times[i].opens == NULL && opens != times[i].now)
			fail_msg("%zu: %s opens %s", i, times[i].window, buf_text(&text));
		if (times[i].opens != NULL)
			assert_string_equal(buf_text(&text), times[i].opens);
		assert_int_equal(window_opens(&w, opens), opens);
		buf_fini(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_kept_in_one_form_that_is_read_again),
		cmocka_unit_test(it_is_open_or_opens_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
