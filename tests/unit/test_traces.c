/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/traces.h"

#include <stdlib.h>

#include "protocol/flow.h"
#include "protocol/message.h"
#include "proxy/session/truth.h"

#include "tests/unit/unit.h"

/* ---- what a client says ---- */

static void
put_parse(struct buf *b, const char *name, const char *sql)
{
	size_t at = buf_message(b, MSG_PARSE);

	buf_cstr(b, name);
	buf_cstr(b, sql);
	buf_u16(b, 1);
	buf_u32(b, 23);
	buf_message_end(b, at);
}

static void
put_bind(struct buf *b)
{
	size_t at = buf_message(b, MSG_BIND);

	buf_cstr(b, "");
	buf_cstr(b, "");
	buf_u16(b, 0);
	buf_u16(b, 0);
	buf_u16(b, 0);
	buf_message_end(b, at);
}

static void
put_query(struct buf *b, const char *sql)
{
	message_put_query(b, slice_str(sql));
}

/* Its bytes, `piece` at a time, as the relay does it. */
static struct traces *
play(const struct buf *b, size_t piece)
{
	struct traces *t = traces_new(slice_str("packet"));
	struct flow f;

	flow_init(&f, REPLICATION_NONE);
	for (size_t at = 0; at < b->n; at += piece) {
		size_t n = b->n - at < piece ? b->n - at : piece;
		/* exactly as long as what was read */
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, b->p + at, n);
		traces_client(t, &f, copy, n);
		assert_int_equal(flow_client(&f, copy, n) & FLOW_BAD, 0);
		free(copy);
	}
	return t;
}

static void
assert_unnamed(const struct traces *t, const struct buf *want)
{
	struct slice got;

	assert_true(traces_unnamed(t, &got));
	assert_int_equal(got.n, want->n);
	if (want->n > 0)
		assert_memory_equal(got.p, want->p, want->n);
}

static void
assert_names(const struct traces *t, const char *want, size_t n)
{
	struct slice got = traces_names(t);

	assert_int_equal(got.n, n);
	if (n > 0)
		assert_memory_equal(got.p, want, n);
}

/* ---- what is known of it ---- */

static void
names_of_settings_are_gathered(void **state)
{
	static const char want[] = "app.tenant\0my.own\0work_mem";
	struct buf b = { 0 };

	(void)state;
	put_query(&b, "SELECT 1; SET app.tenant = '5'; SET LOCAL app.not = 1");
	put_parse(&b, "s1", "SELECT set_config('My.Own', $1, false)");
	put_bind(&b);
	put_query(&b, "SET app.tenant = 6; SET work_mem = '1MB'");
	for (size_t piece = 1; piece <= b.n; piece++) {
		struct traces *t = play(&b, piece);

		assert_names(t, want, sizeof(want));
		assert_int_equal(traces_pins(t), 0);
		traces_free(t);
	}
	buf_fini(&b);
}

static void
the_last_parse_without_a_name_is_kept(void **state)
{
	struct buf b = { 0 }, want = { 0 };

	(void)state;
	put_query(&b, "SELECT 1");
	put_parse(&b, "", "SELECT 'one'");
	put_parse(&b, "named", "SELECT 'two'");
	put_parse(&b, "", "SELECT 'three'");
	put_bind(&b);
	message_put_close_statement(&b, slice_str("named"));
	message_put_bare(&b, MSG_SYNC);
	put_parse(&want, "", "SELECT 'three'");
	for (size_t piece = 1; piece <= b.n; piece++) {
		struct traces *t = play(&b, piece);

		assert_unnamed(t, &want);
		traces_free(t);
	}
	buf_fini(&b);
	buf_fini(&want);
}

static void
a_query_or_a_close_drops_it(void **state)
{
	struct buf none = { 0 };

	(void)state;
	for (int way = 0; way < 2; way++) {
		struct buf b = { 0 };

		put_parse(&b, "", "SELECT 'one'");
		if (way == 0)
			put_query(&b, "");
		else
			message_put_close_statement(&b, slice_str(""));
		for (size_t piece = 1; piece <= b.n; piece++) {
			struct traces *t = play(&b, piece);

			assert_unnamed(t, &none);
			traces_free(t);
		}
		buf_fini(&b);
	}
}

static struct buf
long_parse(const char *name, size_t n)
{
	struct buf b = { 0 }, sql = { 0 };

	buf_str(&sql, "SELECT '");
	while (sql.n < n)
		buf_str(&sql, "0123456789abcdef");
	buf_str(&sql, "'");
	put_parse(&b, name, buf_text(&sql));
	buf_fini(&sql);
	return b;
}

static void
one_that_is_too_long_is_said_to_be_there(void **state)
{
	static const size_t pieces[] = { 1, 3, 5, 6, 1000, 8192, 1 << 20 };
	static const size_t sizes[] = { TRACES_PARSE_MAX, 70000, 200000 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct buf b = long_parse("", sizes[i]);
			struct traces *t = play(&b, pieces[k]);
			struct slice got;

			assert_false(traces_unnamed(t, &got));
			traces_free(t);
			/* until it is gone */
			put_query(&b, "SELECT 1");
			t = play(&b, pieces[k]);
			assert_true(traces_unnamed(t, &got));
			assert_int_equal(got.n, 0);
			traces_free(t);
			buf_fini(&b);
		}
	}
}

static void
a_long_one_with_a_name_is_of_no_interest(void **state)
{
	static const size_t pieces[] = { 7, 4096, 1 << 20 };
	struct buf b = { 0 }, more = long_parse("named", 150000), want = { 0 };

	(void)state;
	put_parse(&b, "", "SELECT 'kept'");
	put_parse(&want, "", "SELECT 'kept'");
	buf_slice(&b, buf_view(&more));
	for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
		struct traces *t = play(&b, pieces[k]);

		assert_unnamed(t, &want);
		traces_free(t);
	}
	buf_fini(&b);
	buf_fini(&more);
	buf_fini(&want);
}

static void
what_cannot_be_asked_pins(void **state)
{
	static const struct {
		const char *sql;
		unsigned pins;
	} rows[] = {
		{ "SELECT 1", 0 },
		{ "LISTEN a; CREATE TEMP TABLE t (i int); PREPARE p AS SELECT 1", 0 },
		{ "LOAD 'auto_explain'", PIN_LOAD },
		{ "SELECT dblink_connect('x')", PIN_SESSION },
		{ "SELECT set_config($1, $2, false)", PIN_SETTING },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		struct traces *t;

		put_parse(&b, "x", rows[i].sql);
		t = play(&b, 4);
		assert_int_equal(traces_pins(t), rows[i].pins);
		traces_free(t);
		buf_fini(&b);
	}
}

static void
the_packet_is_kept(void **state)
{
	struct traces *t = traces_new(slice_str("packet"));

	(void)state;
	assert_true(slice_is(traces_packet(t), "packet"));
	traces_free(t);
	traces_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_settings_are_gathered),
		cmocka_unit_test(the_last_parse_without_a_name_is_kept),
		cmocka_unit_test(a_query_or_a_close_drops_it),
		cmocka_unit_test(one_that_is_too_long_is_said_to_be_there),
		cmocka_unit_test(a_long_one_with_a_name_is_of_no_interest),
		cmocka_unit_test(what_cannot_be_asked_pins),
		cmocka_unit_test(the_packet_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
