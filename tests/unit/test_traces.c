/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/traces.h"

#include <stdlib.h>

#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/session_probe.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

/* ---- what a client says ---- */

static void
put_call(struct buf *b, uint32_t function, const char *first, size_t n)
{
	size_t at = buf_message(b, MSG_FUNCTION_CALL);

	buf_u32(b, function);
	buf_u16(b, 0);
	buf_u16(b, 3);
	buf_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		buf_u8(b, (uint8_t)first[i % strlen(first)]);
	buf_u32(b, 1);
	buf_str(b, "1");
	buf_u32(b, 1);
	buf_str(b, "f");
	buf_u16(b, 0);
	buf_message_end(b, at);
}

static void
put_query(struct buf *b, const char *sql)
{
	message_put_query(b, slice_str(sql));
}

/* The server has done all that is outstanding. */
static void
answer_all(struct exchange *f)
{
	static const char requests[] = "PBCDE?", answers[] = "123nC1";

	while (exchange_is_listed(f) && (exchange_pending(f) > 0 || exchange_listed(f) > 0)) {
		const char *at = exchange_is_all_listed(f)
				     ? strchr(requests, exchange_request_at(f, 0)->type)
				     : NULL;
		struct buf b = { 0 };

		if (at != NULL)
			message_put_bare(&b, (enum message_type)answers[at - requests]);
		else
			message_put_ready(&b, 'I');
		assert_int_equal(exchange_filter(f, b.p, &b.n, NULL) & EXCHANGE_BAD, 0);
		buf_fini(&b);
	}
}

/* Its bytes, `piece` at a time, as the relay does it. */
static struct traces *
play(const struct buf *b, size_t piece)
{
	struct traces *t = traces_new(slice_str("packet"));
	struct exchange f;

	exchange_init(&f, REPLICATION_NONE);
	for (size_t at = 0; at < b->n; at += piece) {
		size_t n = b->n - at < piece ? b->n - at : piece;
		/* exactly as long as what was read */
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, b->p + at, n);
		traces_client(t, &f, copy, n);
		assert_int_equal(exchange_client(&f, copy, n) & EXCHANGE_BAD, 0);
		free(copy);
	}
	answer_all(&f);
	exchange_fini(&f);
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
	static const char want[] = "app.called\0app.tenant\0my.own\0work_mem";
	struct buf b = { 0 };

	(void)state;
	put_query(&b, "SELECT 1; SET app.tenant = '5'; SET LOCAL app.not = 1");
	say_parse(&b, "s1", "SELECT set_config('My.Own', $1, false)", 23);
	say_bind(&b, "", "", NULL, 0);
	put_call(&b, 2078, "App.Called", 10);
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
	say_parse(&b, "", "SELECT 'one'", 23);
	say_parse(&b, "named", "SELECT 'two'", 23);
	say_parse(&b, "", "SELECT 'three'", 23);
	say_bind(&b, "", "", NULL, 0);
	message_put_close_statement(&b, slice_str("named"));
	message_put_bare(&b, MSG_SYNC);
	say_parse(&want, "", "SELECT 'three'", 23);
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

		say_parse(&b, "", "SELECT 'one'", 23);
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
	say_parse(&b, name, buf_text(&sql), 23);
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
	say_parse(&b, "", "SELECT 'kept'", 23);
	say_parse(&want, "", "SELECT 'kept'", 23);
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

/* ---- what an error has passed over ---- */

static void
put_client(struct buf *b, char what)
{
	switch (what) {
	case 'a':
	case 'b':
		say_parse(b, "", what == 'a' ? "SELECT 'a'" : "SELECT 'b'", 23);
		break;
	case 'n':
		say_parse(b, "named", "SELECT 'n'", 23);
		break;
	case 'c':
		message_put_close_statement(b, slice_str(""));
		break;
	case 'd':
		message_put_bare(b, MSG_COPY_DONE);
		break;
	case 'B':
		say_bind(b, "", "", NULL, 0);
		break;
	case 'Q':
		put_query(b, "SELECT 'q'");
		break;
	default:
		message_put_bare(b, (enum message_type)what);
		break;
	}
}

static void
put_server(struct buf *b, char what)
{
	if (what == 'e')
		message_put_error(b, "ERROR", &(struct err){ .sqlstate = "42601", .msg = "no" });
	else if (what == 'Z')
		message_put_ready(b, 'I');
	else
		message_put_bare(b, (enum message_type)what);
}

static void
hear_client(struct traces *t, struct exchange *f, struct slice in, size_t piece)
{
	for (; in.n > 0; in = slice_skip(in, piece)) {
		size_t n = in.n < piece ? in.n : piece;

		traces_client(t, f, in.p, n);
		assert_int_equal(exchange_client(f, in.p, n) & EXCHANGE_BAD, 0);
	}
}

static void
hear_server(struct traces *t, struct exchange *f, struct slice in, size_t piece)
{
	for (; in.n > 0; in = slice_skip(in, piece)) {
		char read[EXCHANGE_HELD_MAX + 400];
		size_t held = exchange_put_held(f, read), n = in.n < piece ? in.n : piece;
		unsigned events;

		memcpy(read + held, in.p, n);
		n += held;
		events = exchange_filter(f, read, &n, NULL);
		assert_int_equal(events & EXCHANGE_BAD, 0);
		if (events & EXCHANGE_COPY)
			traces_copy(t, f);
	}
}

/* '>': what the client says, '<': what the server does. */
static struct traces *
converse(const char *script, size_t piece)
{
	struct traces *t = traces_new(slice_str("packet"));
	struct exchange f;

	exchange_init(&f, REPLICATION_NONE);
	while (*script != '\0') {
		bool client = *script++ == '>';
		struct buf b = { 0 };

		while (*script != '\0' && *script != '<' && *script != '>') {
			if (client)
				put_client(&b, *script++);
			else
				put_server(&b, *script++);
		}
		if (client)
			hear_client(t, &f, buf_view(&b), piece);
		else
			hear_server(t, &f, buf_view(&b), piece);
		buf_fini(&b);
	}
	assert_true(exchange_is_idle(&f));
	exchange_fini(&f);
	return t;
}

static char
unnamed_of(const struct traces *t)
{
	struct slice got;

	if (!traces_unnamed(t, &got))
		return '?';
	/* behind the header and the empty name: SELECT ' */
	return got.n == 0 ? '-' : got.p[FRAME_HEAD_BYTES + 1 + 8];
}

/* What PostgreSQL 15 has then: the exchange knows whose error it was. '?': one or the other.
 */
static void
an_error_may_keep_it_from_being_prepared(void **state)
{
	static const struct {
		const char *script;
		char unnamed;
	} rows[] = {
		{ ">aS<1Z", 'a' },
		/* its own */
		{ ">aS<1Z>bS<eZ", '-' },
		{ ">aS<1Z>bH<e>S<Z", '-' },
		/* of what is behind it */
		{ ">aS<1Z>bBES<1eZ", 'b' },
		{ ">aS<1Z>bH<1>BE<e>S<Z", 'b' },
		{ ">aS<1Z>cBS<3eZ", '-' },
		{ ">aS<1Z>Q<eZ", '-' },
		{ ">aBES<12CZ>BES<eZ", 'a' },
		/* of what is in front of it */
		{ ">aS<1Z>nbS<eZ", 'a' },
		{ ">aS<1Z>nBbS<1eZ", 'a' },
		{ ">aS<1Z>ncS<eZ", 'a' },
		{ ">aS<1Z>nH<e>bS<Z", 'a' },
		{ ">aS<1Z>nH<e>cQS<Z", 'a' },
		{ ">aS<1Z>nH<e>bSbS<Z1Z", 'b' },
		{ ">aS<1Z>nQ<e>bS<Z", 'a' },
		/* of what a Query stands behind, or of the Query */
		{ ">aS<1Z>nQS<eZ", 'a' },
		{ ">aS<1Z>BQS<eZ", 'a' },
		{ ">aS<1Z>BQS<2eZZ", '-' },
		{ ">aS<1Z>BQS<2CZZ", '-' },
		{ ">aS<1Z>bQS<eZ", '-' },
		{ ">aS<1Z>bBQS<1eZ", 'b' },
		{ ">aS<1Z>bBQS<12eZZ", '-' },
		{ ">aS<1Z>bH<1>BQ<e>aS<Z", 'b' },
		{ ">aS<1Z>cBQS<3eZ", '-' },
		{ ">aS<1Z>nBQS<1eZ>bBES<1eZ", 'b' },
		{ ">aS<1Z>nBQS<1eZ>BES<eZ", 'a' },
		{ ">aS<1Z>nbQS<eZ", 'a' },
		{ ">aS<1Z>bcBQS<13eZ", '-' },
		{ ">aS<1Z>nQnQS<eZ", 'a' },
		{ ">aS<1Z>nQSbS<eZ1Z", 'b' },
		/* which of several it was */
		{ ">aBESbBES<12CZeZ", '-' },
		{ ">aBESnBES<12CZeZ", 'a' },
		{ ">aBbBES<12eZ", '-' },
		{ ">nSaS<eZ1Z", 'a' },
		/* the next one is not touched by it */
		{ ">aS<1Z>nbS<eZ>S<Z", 'a' },
		{ ">aS<1Z>nbS<eZ>nBS<12Z", 'a' },
		{ ">aS<1Z>nbS<eZ>aS<1Z", 'a' },
		{ ">aS<1Z>nbS<eZ>Q<CZ", '-' },
		{ ">aS<1Z>nbS<eZ>cS<3Z", '-' },
		{ ">aS<1Z>nbS<eZ>bBES<1eZ", 'b' },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece <= 300; piece++) {
			struct traces *t = converse(rows[i].script, piece);

			if (unnamed_of(t) != rows[i].unnamed)
				fail_msg("%s, %zu bytes at a time: %c, expected %c", rows[i].script,
					 piece, unnamed_of(t), rows[i].unnamed);
			traces_free(t);
		}
	}
}

/* During a COPY the server reads what is said as its data, or not (exchange_lists_exactly()). */
static void
one_that_is_sent_during_a_copy_may_be_the_last(void **state)
{
	static const struct {
		const char *script;
		char unnamed;
	} rows[] = {
		{ ">aS<1Z>Q<G>bS<eZZ", '?' },
		{ ">aS<1Z>Q<G>bS<eZZ>BS<eZ", '?' },
		/* the next one is certain again */
		{ ">aS<1Z>Q<G>bS<eZZ>bS<1Z", 'b' },
		{ ">aS<1Z>Q<G>bS<eZZ>Q<CZ", '-' },
		/* one in front of it is certain */
		{ ">aS<1Z>bBES<12G>dS<CZ", 'b' },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece <= 300; piece++) {
			struct traces *t = converse(rows[i].script, piece);

			if (unnamed_of(t) != rows[i].unnamed)
				fail_msg("%s, %zu bytes at a time: %c, expected %c", rows[i].script,
					 piece, unnamed_of(t), rows[i].unnamed);
			traces_free(t);
		}
	}
}

/* The server discards the one that had begun when the error came, whatever is sent of it later. */
static void
an_error_amid_a_message_passes_over_it(void **state)
{
	struct traces *t = traces_new(slice_str("packet"));
	struct buf said = { 0 }, answer = { 0 };
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	put_client(&said, 'n');
	put_client(&said, 'a');
	put_client(&said, 'S');
	put_server(&answer, 'e');
	hear_client(t, &f, slice_of(said.p, said.n - 10), said.n);
	hear_server(t, &f, buf_view(&answer), answer.n);
	hear_client(t, &f, slice_of(said.p + said.n - 10, 10), said.n);
	buf_clear(&answer);
	put_server(&answer, 'Z');
	hear_server(t, &f, buf_view(&answer), answer.n);
	assert_int_equal(unnamed_of(t), '-');
	exchange_fini(&f);
	traces_free(t);
	buf_fini(&said);
	buf_fini(&answer);
}

/* … by Meridian, whose answer the client has heard. */
static void
what_is_answered_in_the_servers_place_is_done(void **state)
{
	struct traces *t = traces_new(slice_str("packet"));
	struct buf said = { 0 };
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	put_client(&said, 'n');
	put_client(&said, 'a');
	put_client(&said, 'S');
	hear_client(t, &f, buf_view(&said), said.n);
	assert_int_equal(unnamed_of(t), '-');
	traces_answered(t);
	exchange_restart(&f);
	assert_int_equal(unnamed_of(t), 'a');
	traces_free(t);
	buf_fini(&said);
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

		say_parse(&b, "x", rows[i].sql, 23);
		t = play(&b, 4);
		assert_int_equal(traces_pins(t), rows[i].pins);
		traces_free(t);
		buf_fini(&b);
	}
}

/* Of a long one, which may be a large object's data, no more is read than the function's number. */
static void
function_calls_are_told_by_their_functions(void **state)
{
	static const struct {
		uint32_t function;
		size_t n;
		unsigned pins;
	} rows[] = {
		{ 955, 5, 0 },
		{ 955, 200000, 0 },
		{ 6006, 5, PIN_SESSION },
		{ 2078, 5000, PIN_SETTING },
		{ 6006, 200000, PIN_SESSION },
		{ 2078, 200000, PIN_SETTING },
		{ 2880, 70000, 0 },
	};
	static const size_t pieces[] = { 1, 4, 5, 8, 9, 1000, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct buf b = { 0 };
			struct traces *t;

			put_query(&b, "SELECT 1");
			put_call(&b, rows[i].function, "x", rows[i].n);
			say_parse(&b, "", "SELECT 'kept'", 23);
			t = play(&b, pieces[k]);
			assert_int_equal(traces_pins(t), rows[i].pins);
			assert_int_equal(unnamed_of(t), 'k');
			traces_free(t);
			buf_fini(&b);
		}
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
		cmocka_unit_test(an_error_may_keep_it_from_being_prepared),
		cmocka_unit_test(one_that_is_sent_during_a_copy_may_be_the_last),
		cmocka_unit_test(an_error_amid_a_message_passes_over_it),
		cmocka_unit_test(what_is_answered_in_the_servers_place_is_done),
		cmocka_unit_test(what_cannot_be_asked_pins),
		cmocka_unit_test(function_calls_are_told_by_their_functions),
		cmocka_unit_test(the_packet_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
