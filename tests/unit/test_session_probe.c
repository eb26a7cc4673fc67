/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/session_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/vars.h"

#include "tests/unit/unit.h"

struct fixture {
	struct vars_table *t;
	struct session_question q;
	struct buf answer;
};

/* "a=1 b=2" as settings. */
static struct vars *
made(struct vars_table *t, const char *text)
{
	struct vars *v = vars_empty(t);
	struct slice rest = slice_str(text);

	while (rest.n > 0) {
		struct slice value = slice_cut(&rest, ' ');
		struct slice name = slice_cut(&value, '=');
		struct vars *more = vars_with(v, name, value);

		vars_unref(v);
		v = more;
	}
	return v;
}

static void
begin(struct fixture *f, const char *startup, const char *session)
{
	f->t = vars_table_new();
	f->q.startup = made(f->t, startup);
	f->q.session = made(f->t, session);
	f->q.server = vars_ref(f->q.session);
	f->q.user = slice_str("app");
}

static void
end(struct fixture *f)
{
	vars_unref(f->q.startup);
	vars_unref(f->q.session);
	vars_unref(f->q.server);
	buf_fini(&f->answer);
	assert_int_equal(vars_table_count(f->t), 1);
	vars_table_free(f->t);
}

static void
row(struct buf *b, const char *kind, const char *name, const char *value)
{
	size_t at = message_row_begin(b, 3);

	message_row_value(b, slice_str(kind));
	message_row_value(b, slice_str(name));
	if (value != NULL)
		message_row_value(b, slice_str(value));
	else
		message_row_null(b);
	buf_message_end(b, at);
}

/* What becomes of it: "session | server | pin". */
static const char *
found(struct fixture *f, int want)
{
	static char text[512];
	struct vars *both[2];
	struct session_findings out;
	struct buf b = { 0 };

	message_put_ready(&f->answer, 'I');
	assert_int_equal(session_probe_read(buf_view(&f->answer), &f->q, &out), want);
	both[0] = out.session;
	both[1] = out.server;
	for (size_t i = 0; i < 2; i++) {
		struct vars_item item;

		if (both[i] == NULL)
			buf_str(&b, "? ");
		for (size_t at = 0; both[i] != NULL && vars_next(both[i], &at, &item);)
			buf_printf(&b, "%.*s=%.*s ", (int)item.name.n, item.name.p,
				   (int)item.value.n, item.value.p);
		buf_str(&b, "| ");
	}
	buf_printf(&b, "%s", pin_name(out.pins));
	session_probe_fini(&out);
	strncpy(text, buf_text(&b), sizeof(text) - 1);
	buf_fini(&b);
	buf_clear(&f->answer);
	return text;
}

static const char *
asked(struct fixture *f, struct buf *b)
{
	buf_clear(b);
	session_probe_put_query(b, &f->q);
	assert_int_equal(b->n > 0, session_probe_is_wanted(&f->q));
	return buf_text(b);
}

#define NAMES(s) SLICE_LITERAL(s)

#define COLUMNS(kind, name)                                                                      \
	"CASE WHEN pg_catalog.octet_length(v) OPERATOR(pg_catalog.>) 16384 THEN 'l' ELSE '" kind \
	"' END, " name ", pg_catalog.encode(pg_catalog.convert_to("                              \
	"pg_catalog.left(v, 16384), 'UTF8'), 'escape')"
#define NAMED                                           \
	"SELECT " COLUMNS("n", "n") " FROM (SELECT n, " \
				    "pg_catalog.current_setting(n, true) AS v FROM (VALUES "
#define ALL                                                                                    \
	"SELECT " COLUMNS("s", "name") " FROM (SELECT name, pg_catalog.current_setting(name) " \
				       "AS v FROM pg_catalog.pg_settings WHERE source "        \
				       "OPERATOR(pg_catalog.=) 'session') AS s"

static void
only_what_is_suspected_is_asked(void **state)
{
	struct fixture f = { 0 };
	struct buf b = { 0 };

	(void)state;
	begin(&f, "", "a.b=1 work_mem=4MB");
	assert_string_equal(asked(&f, &b), "");
	f.q.effects = EFFECT_CLEAR | EFFECT_RESET_ALL | EFFECT_LOAD;
	assert_string_equal(asked(&f, &b), "");
	f.q.effects = EFFECT_SETTINGS;
	f.q.names = NAMES("c.d\0timezone\0");
	assert_string_equal(asked(&f, &b), NAMED "('c.d'), ('timezone')) AS named(n)) AS s");
	f.q.effects = EFFECT_SETTINGS | EFFECT_SETTINGS_ALL;
	assert_string_equal(asked(&f, &b),
			    ALL " UNION ALL " NAMED "('c.d'), ('role'), ('session_authorization'), "
				"('a.b')) AS named(n)) AS s");
	f.q.effects = EFFECT_LISTEN;
	assert_string_equal(asked(&f, &b), "SELECT 'p', '1', '' WHERE EXISTS (SELECT FROM "
					   "pg_catalog.pg_listening_channels())");
	f.q.effects = EFFECT_CLEAR;
	f.q.pins = PIN_HOLD;
	assert_string_equal(asked(&f, &b), "SELECT 'p', '8', '' WHERE EXISTS (SELECT FROM "
					   "pg_catalog.pg_cursors WHERE is_holdable)");
	f.q.pins = PIN_HOLD | PIN_LOAD;
	f.q.effects = EFFECT_CODE;
	assert_string_equal(asked(&f, &b), "");
	buf_fini(&b);
	end(&f);
}

static void
settings_are_read_by_name(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "timezone=UTC", "timezone=UTC a.b=1");
	f.q.effects = EFFECT_SETTINGS;
	row(&f.answer, "n", "timezone", "Europe/Paris");
	row(&f.answer, "n", "a.b", "");
	row(&f.answer, "n", "c.d", "caf\\303\\251 C:\\\\x");
	row(&f.answer, "n", "nothing", NULL);
	row(&f.answer, "n", "role", "bob");
	row(&f.answer, "n", "session_authorization", "app");
	assert_string_equal(found(&f, 0),
			    "a.b= c.d=caf\xc3\xa9 C:\\x role=bob timezone=Europe/Paris | "
			    "a.b= c.d=caf\xc3\xa9 C:\\x role=bob timezone=Europe/Paris | ");
	row(&f.answer, "n", "role", "none");
	row(&f.answer, "n", "session_authorization", "eve");
	assert_string_equal(found(&f, 0), "a.b=1 session_authorization=eve timezone=UTC | "
					  "a.b=1 session_authorization=eve timezone=UTC | ");
	end(&f);
}

static void
what_is_reset_goes_back_to_the_startup_message(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "timezone=UTC", "timezone=UTC a.b=1 work_mem=4MB");
	f.q.effects = EFFECT_SETTINGS_ALL;
	row(&f.answer, "n", "role", "none");
	row(&f.answer, "n", "a.b", "");
	row(&f.answer, "n", "other.one", "");
	assert_string_equal(found(&f, 0), "a.b= timezone=UTC | a.b= | ");
	row(&f.answer, "s", "TimeZone", "GMT");
	row(&f.answer, "s", "work_mem", "1MB");
	row(&f.answer, "s", "transaction_isolation", "serializable");
	row(&f.answer, "n", "a.b", "2");
	assert_string_equal(found(&f, 0), "a.b=2 timezone=GMT work_mem=1MB | "
					  "a.b=2 timezone=GMT work_mem=1MB | ");
	end(&f);
}

static void
pins_come_and_go(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "", "");
	f.q.effects = EFFECT_LISTEN | EFFECT_TEMP;
	row(&f.answer, "p", "1", "");
	assert_string_equal(found(&f, 0), "| | listen");
	f.q.pins = PIN_LISTEN;
	f.q.effects = EFFECT_CLEAR;
	assert_string_equal(found(&f, 0), "| | ");
	f.q.effects = EFFECT_ADVISORY;
	row(&f.answer, "p", "2", "");
	assert_string_equal(found(&f, 0), "| | listen");
	f.q.pins = 0;
	row(&f.answer, "p", "2", "");
	assert_string_equal(found(&f, 0), "| | advisory lock");
	f.q.effects = EFFECT_SETTINGS;
	row(&f.answer, "l", "app.long", "aaaa");
	assert_string_equal(found(&f, 0), "| | setting");
	f.q.effects = EFFECT_UNNAMED;
	assert_string_equal(found(&f, 0), "| ? | setting");
	f.q.effects = EFFECT_UNKNOWN;
	assert_string_equal(found(&f, 0), "| ? | ");
	f.q.effects = EFFECT_SETTINGS;
	row(&f.answer, "n", "search_path", "pg_temp, public");
	assert_string_equal(found(&f, 0), "search_path=pg_temp, public | "
					  "search_path=pg_temp, public | temp table");
	end(&f);
}

static void
a_server_that_refuses_pins(void **state)
{
	static const struct err e = { .sqlstate = "57014", .msg = "canceled" };
	struct fixture f = { 0 };
	struct session_findings out;

	(void)state;
	begin(&f, "", "a=1");
	f.q.effects = EFFECT_LISTEN;
	message_put_error(&f.answer, "ERROR", &e);
	assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	f.q.pins = PIN_UNSURE;
	f.q.effects = EFFECT_SETTINGS;
	assert_string_equal(found(&f, 0), "| | ");
	f.q.pins = 0;
	f.q.effects = EFFECT_LOAD | EFFECT_CLEAR;
	assert_false(session_probe_is_wanted(&f.q));
	session_probe_infer(&f.q, &out);
	assert_string_equal(pin_name(out.pins), "load");
	assert_null(out.server);
	assert_ptr_equal(out.session, f.q.session);
	session_probe_fini(&out);
	f.q.effects = EFFECT_CLEAR;
	session_probe_infer(&f.q, &out);
	assert_int_equal(out.pins, 0);
	assert_ptr_equal(out.server, f.q.server);
	session_probe_fini(&out);
	assert_string_equal(pin_name(0), "");
	end(&f);
}

/* So many settings with values of so many bytes; whether they pin their session. */
static bool
too_many(unsigned count, size_t bytes)
{
	struct fixture f = { 0 };
	struct session_findings out;
	bool pinned;
	char *value = calloc(1, bytes + 1), name[32];

	assert_non_null(value);
	memset(value, 'v', bytes);
	begin(&f, "", "");
	f.q.effects = EFFECT_SETTINGS;
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "a.setting_%u", i);
		row(&f.answer, "n", name, value);
	}
	message_put_ready(&f.answer, 'I');
	assert_int_equal(session_probe_read(buf_view(&f.answer), &f.q, &out), 0);
	pinned = out.pins == PIN_SETTING;
	assert_true(pinned || out.pins == 0);
	assert_true(vars_count(out.session) <= VARS_SET_MAX);
	assert_int_equal(vars_count(out.session) < count, pinned);
	session_probe_fini(&out);
	end(&f);
	free(value);
	return pinned;
}

static void
what_is_carried_is_bounded(void **state)
{
	(void)state;
	assert_false(too_many(VARS_SET_MAX, 1));
	assert_true(too_many(VARS_SET_MAX + 1, 1));
	assert_true(too_many(10000, 1));
	assert_false(too_many(3, 16384));
	assert_true(too_many(4, 16384));
	assert_true(too_many(100, 16384));
}

static void
nonsense_is_no_answer(void **state)
{
	static const struct slice bodies[] = {
		SLICE_LITERAL("D\0\0\0\x05\0"),
		SLICE_LITERAL("D\0\0\0\x06\0\2"),
		SLICE_LITERAL("D\0\0\0\x06\0\3"),
		SLICE_LITERAL("D\0\0\0\x0f\0\3\0\0\0\1n\0\0\0\5"),
		SLICE_LITERAL("D\0\0\0\x0a\0\3\xff\xff\xff\xfe"),
	};
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "", "a=1");
	f.q.effects = EFFECT_SETTINGS;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		buf_slice(&f.answer, bodies[i]);
		assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	}
	row(&f.answer, "n", "x", "\\12");
	assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	row(&f.answer, "n", "x", "\\000");
	assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	row(&f.answer, "n", "x", "\\9\\9");
	assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	row(&f.answer, "p", "x", "");
	assert_string_equal(found(&f, -1), "a=1 | ? | unsure");
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_suspected_is_asked),
		cmocka_unit_test(settings_are_read_by_name),
		cmocka_unit_test(what_is_reset_goes_back_to_the_startup_message),
		cmocka_unit_test(pins_come_and_go),
		cmocka_unit_test(a_server_that_refuses_pins),
		cmocka_unit_test(what_is_carried_is_bounded),
		cmocka_unit_test(nonsense_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
