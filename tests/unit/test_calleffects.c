/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/calleffects.h"

#include "protocol/sqleffects.h"

#include "tests/unit/unit.h"

#define ANY (EFFECT_UNNAMED | EFFECT_SETTINGS_ALL)

/* A body: number, formats ("": none, "t", "b", "tb" …), values with a '|' between them; "~": NULL.
 */
static struct buf
call(uint32_t function, const char *formats, const char *values)
{
	struct slice rest = slice_str(values);
	struct buf b = { 0 };
	uint16_t n = 0;
	size_t at;

	buf_u32(&b, function);
	buf_u16(&b, (uint16_t)strlen(formats));
	for (; *formats != '\0'; formats++)
		buf_u16(&b, *formats == 'b');
	at = b.n;
	buf_u16(&b, 0);
	for (; rest.n > 0; n++) {
		struct slice value = slice_cut(&rest, '|');

		buf_u32(&b, slice_is(value, "~") ? UINT32_MAX : (uint32_t)value.n);
		if (!slice_is(value, "~"))
			buf_slice(&b, value);
	}
	b.p[at + 1] = (char)n;
	buf_u16(&b, 0);
	return b;
}

static void
a_function_goes_by_its_number(void **state)
{
	static const struct {
		uint32_t function;
		unsigned effects;
	} rows[] = {
		{ 952, 0 },                             /* lo_open */
		{ 955, 0 },                             /* lowrite */
		{ 959, EFFECT_CODE },                   /* on_pl, behind those */
		{ 3460, 0 },                            /* lo_put */
		{ 2880, EFFECT_CODE },                  /* pg_advisory_lock */
		{ 177, EFFECT_CODE },                   /* int4pl */
		{ 16384, EFFECT_CODE },                 /* somebody's own */
		{ UINT32_MAX, EFFECT_CODE },            /* … */
		{ 6006, EFFECT_CODE | EFFECT_SESSION }, /* pg_replication_origin_session_setup */
		{ 3779, EFFECT_CODE | EFFECT_SESSION }, /* pg_create_physical_replication_slot */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = call(rows[i].function, "", "1|2"), names = { 0 };

		assert_int_equal(calleffects(buf_view(&b), b.n, &names), rows[i].effects);
		assert_int_equal(calleffects_wants(buf_view(&b), b.n), 4);
		/* the rest of it says nothing */
		assert_int_equal(calleffects(slice_of(b.p, 4), b.n, NULL), rows[i].effects);
		assert_int_equal(names.n, 0);
		buf_fini(&b);
	}
}

static void
set_config_is_read(void **state)
{
	static const struct {
		const char *formats, *values;
		unsigned effects;
		const char *name;
	} rows[] = {
		{ "", "App.X|1|f", EFFECT_SETTINGS, "app.x" },
		{ "", "app.x|1|t", 0, "" },
		{ "", "app.x|1| TRUE ", 0, "" },
		{ "", "app.x|1|on", 0, "" },
		{ "", "app.x|1|o", EFFECT_SETTINGS, "app.x" },
		{ "", "app.x|1|~", EFFECT_SETTINGS, "app.x" },
		{ "b", "app.x|1|t", 0, "" },
		{ "b", "app.x|1|\1", 0, "" },
		{ "ttb", "app.x|1|\1", 0, "" },
		{ "ttt", "app.x|1|\1", EFFECT_SETTINGS, "app.x" },
		{ "", "app.x|~|f", EFFECT_SETTINGS, "app.x" },
		{ "", "work_mem|~|f", EFFECT_SETTINGS | EFFECT_SETTINGS_ALL, "work_mem" },
		{ "", "search_path|a|f", EFFECT_SETTINGS | EFFECT_MEANING, "search_path" },
		{ "", "search_path|a|t", EFFECT_MEANING, "" },
		{ "", "Dynamic_Library_Path|a|f", EFFECT_SETTINGS | EFFECT_SESSION,
		  "dynamic_library_path" },
		/* these fail */
		{ "", "app.x|1", EFFECT_CODE, "" },
		{ "", "app.x|1|f|f", EFFECT_CODE, "" },
		{ "", "~|1|f", EFFECT_CODE, "" },
		{ "tt", "app.x|1|f", EFFECT_CODE, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = call(2078, rows[i].formats, rows[i].values), names = { 0 };
		unsigned effects = calleffects(buf_view(&b), b.n, &names);

		if (effects != rows[i].effects ||
		    names.n != (*rows[i].name != '\0' ? strlen(rows[i].name) + 1 : 0) ||
		    (names.n > 0 && strcmp(names.p, rows[i].name) != 0))
			fail_msg("%s, \"%s\": %x, %s", rows[i].values, rows[i].formats, effects,
				 names.n > 0 ? names.p : "");
		assert_int_equal(calleffects(buf_view(&b), b.n, NULL), effects);
		buf_fini(&names);
		buf_fini(&b);
	}
}

static void
of_what_is_not_there_anything_is_suspected(void **state)
{
	struct buf b = call(2078, "", "app.x|1|f"), names = { 0 };

	(void)state;
	for (size_t n = 0; n < b.n; n++) {
		struct slice part = slice_of(b.p, n);

		assert_int_equal(calleffects_wants(part, b.n), n < 4 ? 4 : b.n);
		assert_int_equal(calleffects(part, b.n, &names) & ANY, ANY);
		if (n > 4) /* a message that is broken, and fails */
			assert_int_equal(calleffects(part, n, &names), EFFECT_CODE);
	}
	assert_int_equal(calleffects(slice_of(b.p, 3), 3, &names), EFFECT_CODE);
	assert_int_equal(calleffects_wants(slice_of(NULL, 0), 3), 3);
	b.p[12 + 2] = '\0'; /* in the name */
	assert_int_equal(calleffects(buf_view(&b), b.n, &names), ANY);
	assert_int_equal(names.n, 0);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_goes_by_its_number),
		cmocka_unit_test(set_config_is_read),
		cmocka_unit_test(of_what_is_not_there_anything_is_suspected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
