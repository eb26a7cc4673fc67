/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/message.h"

#include "protocol/frame.h"

#include "tests/unit/unit.h"

/* String literals with NULs in them. */
#define S(text) SLICE_LITERAL(text)

static void
assert_slice(struct slice got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

/* The body of the only message in b. */
static struct slice
body_of(const struct buf *b, char type)
{
	struct frame f = { 0 };

	assert_false(b->failed);
	assert_int_equal(frame_cut(buf_view(b), 1 << 20, &f), PARSE_DONE);
	assert_int_equal(f.total, b->n);
	assert_int_equal(f.type, type);
	return f.body;
}

static void
assert_bytes(struct buf *b, struct slice want)
{
	assert_false(b->failed);
	assert_int_equal(b->n, want.n);
	assert_memory_equal(b->p, want.p, want.n);
	buf_clear(b);
}

/* Every strict prefix of a body is BAD, and so is the body with a byte behind it. */
#define CHECK_LAYOUT(parse, type, text, first_bad)                                         \
	do {                                                                               \
		struct slice whole_ = (text);                                              \
		struct buf longer_ = { 0 };                                                \
		type out_;                                                                 \
                                                                                           \
		assert_int_equal(parse(whole_, &out_), PARSE_DONE);                        \
		for (size_t n_ = (first_bad); n_ < whole_.n; n_++)                         \
			assert_int_equal(parse(slice_of(whole_.p, n_), &out_), PARSE_BAD); \
		buf_slice(&longer_, whole_);                                               \
		buf_u8(&longer_, 0);                                                       \
		assert_int_equal(parse(buf_view(&longer_), &out_), PARSE_BAD);             \
		buf_fini(&longer_);                                                        \
	} while (0)

static void
an_error_says_what_it_was_given(void **state)
{
	const struct err e = { .sqlstate = "08006", .msg = "no", .detail = "D.", .hint = "H." };
	struct message_report r;
	struct buf b = { 0 };

	(void)state;
	message_put_error(&b, "FATAL", &e);
	assert_int_equal(message_parse_report(body_of(&b, 'E'), &r), PARSE_DONE);
	assert_slice(r.severity, "FATAL");
	assert_slice(r.sqlstate, "08006");
	assert_slice(r.message, "no");
	assert_slice(r.detail, "D.");
	assert_slice(r.hint, "H.");
	assert_bytes(&b, S("E\0\0\0\46SFATAL\0VFATAL\0C08006\0Mno\0DD.\0HH.\0\0"));
	message_put_notice(&b, "NOTICE", &(struct err){ .msg = "x" });
	assert_int_equal(message_parse_report(body_of(&b, 'N'), &r), PARSE_DONE);
	assert_slice(r.sqlstate, "XX000");
	assert_int_equal(r.detail.n, 0);
	buf_clear(&b);
	message_put_error(&b, "ERROR", &(struct err){ .sqlstate = "42601" });
	assert_int_equal(message_parse_report(body_of(&b, 'E'), &r), PARSE_DONE);
	assert_true(r.message.n > 0); /* always present, the protocol says */
	buf_fini(&b);
}

static void
error_text_is_made_safe(void **state)
{
	static const struct {
		const char *in, *out;
	} v[] = {
		{ "a\tb\nc", "a\tb\nc" },
		{ "a\033[31m\rb\177", "a?[31m?b?" },
		{ "Z\303\274rich \342\202\254 \360\237\230\200",
		  "Z\303\274rich \342\202\254 \360\237\230\200" },
		{ "\377\376", "??" },
		{ "\303", "?" }, /* cut short */
		{ "\303x", "?x" },
		{ "\300\257", "??" }, /* overlong */
		{ "\340\200\257", "???" },
		{ "\355\240\200", "???" },      /* a surrogate */
		{ "\364\220\200\200", "????" }, /* above U+10FFFF */
		{ "\360\217\277\277", "????" },
		{ "\200", "?" },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct message_report r = { .message = slice_str(v[i].in) };

		buf_clear(&b);
		message_put_report(&b, 'E', &r);
		assert_int_equal(message_parse_report(body_of(&b, 'E'), &r), PARSE_DONE);
		assert_slice(r.message, v[i].out);
	}
	buf_fini(&b);
}

static void
long_error_text_is_cut_between_characters(void **state)
{
	static char text[3 * MESSAGE_FIELD_MAX];
	struct message_report r = { .message = { text, sizeof(text) } };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(text); i += 3)
		memcpy(text + i, "\342\202\254", 3);
	message_put_report(&b, 'E', &r);
	assert_int_equal(message_parse_report(body_of(&b, 'E'), &r), PARSE_DONE);
	assert_int_equal(r.message.n, MESSAGE_FIELD_MAX / 3 * 3);
	buf_fini(&b);
}

static void
a_report_is_read_in_any_order_and_unknown_fields_are_passed_over(void **state)
{
	struct message_report r;

	(void)state;
	assert_int_equal(message_parse_report(S("Fx.c\0Mm\0C42P01\0VERROR\0SFEHLER\0L12\0\0"), &r),
			 PARSE_DONE);
	assert_slice(r.severity, "ERROR");
	assert_slice(r.sqlstate, "42P01");
	assert_slice(r.message, "m");
	assert_int_equal(message_parse_report(S("SFEHLER\0\0"), &r), PARSE_DONE);
	assert_slice(r.severity, "FEHLER");
	assert_int_equal(message_parse_report(S("\0"), &r), PARSE_DONE);
	assert_int_equal(message_parse_report(slice_of("", 0), &r), PARSE_BAD);
	assert_int_equal(message_parse_report(slice_of("SFEHLER", 7), &r), PARSE_BAD);
	assert_int_equal(message_parse_report(slice_of("SFEHLER\0", 8), &r), PARSE_BAD);
}

static void
authentication_requests_are_read_and_written(void **state)
{
	static const char *const both[] = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256" };
	struct message_auth m;
	struct slice name;
	struct buf b = { 0 };

	(void)state;
	message_put_auth(&b, AUTH_OK, slice_of(NULL, 0));
	assert_int_equal(message_parse_auth(body_of(&b, 'R'), &m), PARSE_DONE);
	assert_int_equal(m.code, AUTH_OK);
	assert_bytes(&b, S("R\0\0\0\10\0\0\0\0"));
	message_put_auth(&b, AUTH_MD5, slice_str("salt"));
	assert_int_equal(message_parse_auth(body_of(&b, 'R'), &m), PARSE_DONE);
	assert_slice(m.data, "salt");
	assert_bytes(&b, S("R\0\0\0\14\0\0\0\5salt"));
	message_put_auth_sasl(&b, both, 2);
	assert_int_equal(message_parse_auth(body_of(&b, 'R'), &m), PARSE_DONE);
	assert_int_equal(m.code, AUTH_SASL);
	assert_true(message_offers(m.data, "SCRAM-SHA-256-PLUS"));
	assert_true(message_offers(m.data, "SCRAM-SHA-256"));
	assert_false(message_offers(m.data, "SCRAM-SHA-25"));
	assert_true(message_next_mechanism(&m.data, &name));
	assert_slice(name, "SCRAM-SHA-256-PLUS");
	assert_true(message_next_mechanism(&m.data, &name));
	assert_false(message_next_mechanism(&m.data, &name));
	buf_fini(&b);
}

static void
channel_binding_can_be_taken_out_of_an_offer(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(message_put_auth_sasl_without(
			     &b, S("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), "SCRAM-SHA-256-PLUS"),
			 1);
	assert_bytes(&b, S("R\0\0\0\27\0\0\0\12SCRAM-SHA-256\0\0"));
	assert_int_equal(
	    message_put_auth_sasl_without(&b, S("SCRAM-SHA-256-PLUS\0\0"), "SCRAM-SHA-256-PLUS"),
	    0);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

static void
malformed_authentication_is_bad(void **state)
{
	static const struct slice v[] = {
		{ "", 0 },
		{ "\0\0\0", 3 },
		{ "\0\0\0\0x", 5 },
		{ "\0\0\0\5sal", 7 },
		{ "\0\0\0\5salty", 9 },
		{ "\0\0\0\12", 4 },
		{ "\0\0\0\12SCRAM", 9 },
		{ "\0\0\0\12SCRAM\0", 10 },
		{ "\0\0\0\12SCRAM\0\0x", 12 },
	};
	struct message_auth m;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_int_equal(message_parse_auth(v[i], &m), PARSE_BAD);
	assert_int_equal(message_parse_auth(slice_of("\0\0\0\143xy", 6), &m), PARSE_DONE);
	assert_int_equal(m.code, 99);
}

static void
a_client_answers_sasl(void **state)
{
	struct message_sasl_initial m;
	struct slice data;
	struct buf b = { 0 };

	(void)state;
	message_put_sasl_initial(&b, slice_str("SCRAM-SHA-256"), slice_str("n,,n=,r=x"));
	assert_int_equal(message_parse_sasl_initial(body_of(&b, 'p'), &m), PARSE_DONE);
	assert_slice(m.mechanism, "SCRAM-SHA-256");
	assert_slice(m.data, "n,,n=,r=x");
	CHECK_LAYOUT(message_parse_sasl_initial, struct message_sasl_initial, body_of(&b, 'p'), 0);
	buf_clear(&b);
	message_put_sasl_initial(&b, slice_str("X"), slice_of(NULL, 0));
	assert_int_equal(message_parse_sasl_initial(body_of(&b, 'p'), &m), PARSE_DONE);
	assert_null(m.data.p);
	assert_int_equal(message_parse_sasl_initial(slice_of("X\0\xff\xff\xff\xfe", 6), &m),
			 PARSE_BAD);
	assert_int_equal(message_parse_sasl_initial(slice_of("X\0\x7f\xff\xff\xffx", 7), &m),
			 PARSE_BAD);
	buf_clear(&b);
	message_put_sasl_response(&b, slice_str("c=biws"));
	assert_slice(body_of(&b, 'p'), "c=biws");
	buf_clear(&b);
	message_put_password(&b, slice_str("secret"));
	assert_int_equal(message_parse_password(body_of(&b, 'p'), &data), PARSE_DONE);
	assert_slice(data, "secret");
	CHECK_LAYOUT(message_parse_password, struct slice, body_of(&b, 'p'), 0);
	buf_fini(&b);
}

static void
the_end_of_the_login_is_read_and_written(void **state)
{
	struct message_parameter p;
	struct message_key k;
	struct buf b = { 0 };
	char status = 0;

	(void)state;
	message_put_parameter(&b, slice_str("TimeZone"), slice_str("UTC"));
	assert_int_equal(message_parse_parameter(body_of(&b, 'S'), &p), PARSE_DONE);
	assert_slice(p.name, "TimeZone");
	assert_slice(p.value, "UTC");
	CHECK_LAYOUT(message_parse_parameter, struct message_parameter, body_of(&b, 'S'), 0);
	buf_clear(&b);
	message_put_key(&b, 4711, slice_str("0123456789abcdef"));
	assert_int_equal(message_parse_key(body_of(&b, 'K'), &k), PARSE_DONE);
	assert_int_equal(k.pid, 4711);
	assert_slice(k.secret, "0123456789abcdef");
	assert_int_equal(message_parse_key(slice_of("\0\0\0\1abc", 7), &k), PARSE_BAD);
	buf_clear(&b);
	for (size_t i = 0; i < 4 + 256; i++)
		buf_u8(&b, 'k');
	assert_int_equal(message_parse_key(buf_view(&b), &k), PARSE_DONE);
	buf_u8(&b, 'k');
	assert_int_equal(message_parse_key(buf_view(&b), &k), PARSE_BAD);
	buf_clear(&b);
	message_put_ready(&b, 'T');
	assert_int_equal(message_parse_ready(body_of(&b, 'Z'), &status), PARSE_DONE);
	assert_int_equal(status, 'T');
	assert_bytes(&b, S("Z\0\0\0\5T"));
	assert_int_equal(message_parse_ready(slice_str("x"), &status), PARSE_BAD);
	assert_int_equal(message_parse_ready(slice_str("II"), &status), PARSE_BAD);
	assert_int_equal(message_parse_ready(slice_str(""), &status), PARSE_BAD);
	buf_fini(&b);
}

static void
a_version_is_negotiated(void **state)
{
	const struct slice options[] = { SLICE_LITERAL("_pq_.a"), SLICE_LITERAL("_pq_.b") };
	struct message_negotiate m;
	struct slice name;
	struct buf b = { 0 };

	(void)state;
	message_put_negotiate(&b, 2, options, 2);
	CHECK_LAYOUT(message_parse_negotiate, struct message_negotiate, body_of(&b, 'v'), 0);
	assert_int_equal(message_parse_negotiate(body_of(&b, 'v'), &m), PARSE_DONE);
	assert_int_equal(m.major, 3);
	assert_int_equal(m.minor, 2);
	assert_int_equal(m.options_n, 2);
	assert_true(message_next_cstr(&m.options, &name));
	assert_slice(name, "_pq_.a");
	assert_true(message_next_cstr(&m.options, &name));
	assert_false(message_next_cstr(&m.options, &name));
	assert_bytes(&b, S("v\0\0\0\32\0\3\0\2\0\0\0\2_pq_.a\0_pq_.b\0"));
	assert_int_equal(message_parse_negotiate(slice_of("\0\3\0\0\xff\xff\xff\xff", 8), &m),
			 PARSE_BAD);
	buf_fini(&b);
}

static void
rows_are_written(void **state)
{
	const struct message_column columns[] = {
		{ .name = "id", .type_oid = 23, .type_size = 4, .format = 1 },
		{ .name = "t", .type_oid = 25, .type_size = -1 },
	};
	const uint32_t oids[] = { 23, 0 };
	struct buf b = { 0 };
	size_t at;

	(void)state;
	message_put_row_description(&b, columns, 2);
	assert_bytes(&b, S("T\0\0\0\57\0\2id\0\0\0\0\0\0\0\0\0\0\27\0\4\xff\xff\xff\xff\0\1"
			   "t\0\0\0\0\0\0\0\0\0\0\31\xff\xff\xff\xff\xff\xff\0\0"));
	at = message_row_begin(&b, 3);
	message_row_value(&b, slice_str("ab"));
	message_row_null(&b);
	message_row_value(&b, slice_str(""));
	buf_message_end(&b, at);
	assert_bytes(&b, S("D\0\0\0\24\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0"));
	message_put_command_complete(&b, "SELECT 1");
	assert_bytes(&b, S("C\0\0\0\15SELECT 1\0"));
	message_put_parameter_description(&b, oids, 2);
	assert_bytes(&b, S("t\0\0\0\16\0\2\0\0\0\27\0\0\0\0"));
	message_put_bare(&b, MSG_PARSE_COMPLETE);
	assert_bytes(&b, S("1\0\0\0\4"));
	message_put_query(&b, slice_of("a\0b", 3)); /* a NUL ends it */
	assert_bytes(&b, S("Q\0\0\0\6a\0"));
	message_put_close_statement(&b, slice_str("q"));
	assert_bytes(&b, S("C\0\0\0\7Sq\0"));
	message_put_statement(&b, slice_str("q"), slice_str("a"));
	assert_bytes(&b, S("P\0\0\0\12q\0a\0\0\0"
			   "B\0\0\0\15\0q\0\0\0\0\0\0\0"
			   "E\0\0\0\11\0\0\0\0\0"));
	buf_fini(&b);
}

static void
query_describe_and_execute_are_read(void **state)
{
	struct slice sql;
	struct message_target t;
	struct message_execute x;

	(void)state;
	CHECK_LAYOUT(message_parse_query, struct slice, slice_of("select 1\0", 9), 0);
	assert_int_equal(message_parse_query(S("select 1"), &sql), PARSE_BAD);
	assert_int_equal(message_parse_query(slice_of("select 1\0", 9), &sql), PARSE_DONE);
	assert_slice(sql, "select 1");
	CHECK_LAYOUT(message_parse_target, struct message_target, slice_of("Sname\0", 6), 0);
	assert_int_equal(message_parse_target(slice_of("P\0", 2), &t), PARSE_DONE);
	assert_int_equal(t.kind, 'P');
	assert_int_equal(t.name.n, 0);
	assert_int_equal(message_parse_target(slice_of("x\0", 2), &t), PARSE_BAD);
	CHECK_LAYOUT(message_parse_execute, struct message_execute, slice_of("p\0\0\0\0\12", 6), 0);
	assert_int_equal(message_parse_execute(slice_of("p\0\0\0\0\12", 6), &x), PARSE_DONE);
	assert_slice(x.portal, "p");
	assert_int_equal(x.max_rows, 10);
	assert_int_equal(message_parse_execute(slice_of("\0\xff\xff\xff\xff", 5), &x), PARSE_DONE);
	assert_int_equal(x.max_rows, 0);
}

static void
a_function_call_is_read(void **state)
{
	/* 954 ("1" and NULL), both binary */
	struct slice body = slice_of("\0\0\3\272\0\1\0\1\0\2\0\0\0\1"
				     "1\xff\xff\xff\xff\0\0",
				     21);
	struct message_call m;
	struct slice value;

	(void)state;
	CHECK_LAYOUT(message_parse_call, struct message_call, body, 0);
	assert_int_equal(message_parse_call(body, &m), PARSE_DONE);
	assert_int_equal(m.function, 954);
	assert_int_equal(m.values_n, 2);
	assert_int_equal(message_format(m.formats, m.formats_n, 1), 1);
	assert_true(message_next_value(&m.values, &value));
	assert_slice(value, "1");
	assert_true(message_next_value(&m.values, &value));
	assert_null(value.p);
	assert_false(message_next_value(&m.values, &value));
	/* formats: there are 0 and 1, and one for each */
	assert_int_equal(message_parse_call(slice_of("\0\0\3\272\0\1\0\2\0\0\0\0", 12), &m),
			 PARSE_BAD);
	assert_int_equal(message_parse_call(slice_of("\0\0\3\272\0\2\0\1\0\1\0\0\0\0", 14), &m),
			 PARSE_BAD);
	assert_int_equal(message_parse_call(slice_of("\0\0\3\272\0\0\0\0\0\2", 10), &m), PARSE_BAD);
}

static void
parse_is_read(void **state)
{
	struct slice body = slice_of("s\0select $1\0\0\2\0\0\0\27\0\0\0\31", 22);
	struct message_parse m;

	(void)state;
	CHECK_LAYOUT(message_parse_parse, struct message_parse, body, 0);
	assert_int_equal(message_parse_parse(body, &m), PARSE_DONE);
	assert_slice(m.name, "s");
	assert_slice(m.sql, "select $1");
	assert_int_equal(m.types_n, 2);
	assert_int_equal(message_oid(&m, 0), 23);
	assert_int_equal(message_oid(&m, 1), 25);
	assert_int_equal(message_oid(&m, 2), 0);
	assert_int_equal(message_parse_parse(slice_of("\0\0\xff\xff\0\0", 6), &m), PARSE_BAD);
}

static void
bind_is_read(void **state)
{
	static const char bytes[] =
	    "p\0s\0\0\2\0\0\0\1\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0\0\1\0\1";
	struct slice body = { bytes, sizeof(bytes) - 1 };
	struct message_bind m;
	struct slice v;

	(void)state;
	assert_int_equal(message_parse_bind(body, &m), PARSE_BAD); /* 2 formats for 3 values */
	body = slice_of("p\0s\0\0\2\0\0\0\1\0\2\0\0\0\2ab\xff\xff\xff\xff\0\1\0\1", 26);
	CHECK_LAYOUT(message_parse_bind, struct message_bind, body, 0);
	assert_int_equal(message_parse_bind(body, &m), PARSE_DONE);
	assert_slice(m.portal, "p");
	assert_slice(m.statement, "s");
	assert_int_equal(m.values_n, 2);
	assert_int_equal(message_format(m.formats, m.formats_n, 0), 0);
	assert_int_equal(message_format(m.formats, m.formats_n, 1), 1);
	assert_int_equal(message_format(m.formats, m.formats_n, 2), 0);
	assert_int_equal(message_format(m.results, m.results_n, 7), 1); /* one for all */
	assert_int_equal(message_format(m.results, 0, 0), 0);
	assert_true(message_next_value(&m.values, &v));
	assert_slice(v, "ab");
	assert_true(message_next_value(&m.values, &v));
	assert_null(v.p);
	assert_false(message_next_value(&m.values, &v));
	assert_int_equal(message_parse_bind(slice_of("\0\0\0\0\0\0\0\1\0\2", 10), &m), PARSE_BAD);
	assert_int_equal(message_parse_bind(slice_of("\0\0\0\0\0\1\x80\0\0\0\0\0", 12), &m),
			 PARSE_BAD);
	assert_int_equal(message_parse_bind(slice_of("\0\0\0\0\0\1\0\0\0\0\0\0", 12), &m),
			 PARSE_DONE);
	assert_true(message_next_value(&m.values, &v));
	assert_non_null(v.p); /* empty is not NULL */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_says_what_it_was_given),
		cmocka_unit_test(error_text_is_made_safe),
		cmocka_unit_test(long_error_text_is_cut_between_characters),
		cmocka_unit_test(a_report_is_read_in_any_order_and_unknown_fields_are_passed_over),
		cmocka_unit_test(authentication_requests_are_read_and_written),
		cmocka_unit_test(channel_binding_can_be_taken_out_of_an_offer),
		cmocka_unit_test(malformed_authentication_is_bad),
		cmocka_unit_test(a_client_answers_sasl),
		cmocka_unit_test(the_end_of_the_login_is_read_and_written),
		cmocka_unit_test(a_version_is_negotiated),
		cmocka_unit_test(rows_are_written),
		cmocka_unit_test(query_describe_and_execute_are_read),
		cmocka_unit_test(a_function_call_is_read),
		cmocka_unit_test(parse_is_read),
		cmocka_unit_test(bind_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
