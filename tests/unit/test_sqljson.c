/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqljson.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"

#include "tests/unit/unit.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* ---- requests ---- */

static void
parse_good(const char *body, struct sqljson_request *r)
{
	struct err e = { 0 };

	if (sqljson_parse(slice_str(body), r, &e) != 0)
		fail_msg("%s: %s (%s)", body, e.msg, e.detail);
}

/* The statement of a query, as it stands in its Parse. */
static void
assert_statement(const struct sqljson_request *r, size_t i, const char *text)
{
	struct message_parse parse;
	struct buf b = { 0 };
	struct frame f;

	sqljson_put_query(&b, r, i);
	assert_int_equal(frame_cut(buf_view(&b), 1 << 20, &f), PARSE_DONE);
	assert_int_equal(message_parse_parse(f.body, &parse), PARSE_DONE);
	assert_true(slice_is(parse.sql, text));
	buf_fini(&b);
}

/* The one parameter of a request, as it stands in its Bind; NULL where it is NULL. */
static char *
param_of(const char *json)
{
	struct sqljson_request r;
	struct buf b = { 0 };
	struct frame f = { 0 };
	struct message_bind bind;
	struct slice value;
	char body[512], *text = NULL;
	size_t at = 0;

	snprintf(body, sizeof(body), "{\"query\":\"select $1\",\"params\":[%s]}", json);
	parse_good(body, &r);
	sqljson_put_query(&b, &r, 0);
	while (f.type != MSG_BIND) {
		assert_int_equal(frame_cut(slice_skip(buf_view(&b), at), 1 << 20, &f), PARSE_DONE);
		at += f.total;
	}
	assert_int_equal(message_parse_bind(f.body, &bind), PARSE_DONE);
	assert_int_equal(bind.values_n, 1);
	assert_true(message_next_value(&bind.values, &value));
	if (value.p != NULL) {
		text = calloc(1, value.n + 1);
		memcpy(text, value.p, value.n);
	}
	sqljson_request_fini(&r);
	buf_fini(&b);
	return text;
}

static void
parameters_become_postgresql_text(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "\"as it is\"", "as it is" },
		{ "\"\"", "" },
		{ "\"\\u00e9\\n\\\"\"", "\303\251\n\"" },
		{ "null", NULL },
		{ "true", "true" },
		{ "false", "false" },
		{ "1", "1" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "0.1", "0.1" },
		{ "1.0", "1" },
		{ "1e21", "1e+21" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "-0.0", "-0" },
		{ "0e5", "0" },
		{ "-1.50", "-1.5" },
		{ "1e5", "100000" },
		{ "12.5E+1", "125" },
		{ "1234.5678e2", "123456.78" },
		{ "0.00010", "0.0001" },
		{ "0.000012", "1.2e-05" },
		{ "123456789012345678.0", "123456789012345678" },
		{ "1e15", "1e+15" },
		{ "1.25e-300", "1.25e-300" },
		/* no digit is lost, nor is there a number that only a type of the server's is too
		   small for */
		{ "18446744073709551616", "18446744073709551616" },
		{ "3.14159265358979323846264338327950288",
		  "3.14159265358979323846264338327950288" },
		{ "3.14159265358979323846264338327950288419716939937510",
		  "3.14159265358979323846264338327950288419716939937510" },
		{ "1e999", "1e+999" },
		{ "1e99999999999999999999", "1e99999999999999999999" },
		{ "{ \"a\" : 1.0 }", "{ \"a\" : 1.0 }" },
		{ "[[],[ [1.0 , \"\\\\\\u0022\"],{\"b\":\"\\\"\"} ]]",
		  "{{},{{1,\"\\\\\\\"\"},\"{\\\"b\\\":\\\"\\\\\\\"\\\"}\"}}" },
		{ "{\"a\":0.1,\"b\":[1,null,\"x\\\"\"]}", "{\"a\":0.1,\"b\":[1,null,\"x\\\"\"]}" },
		{ "{}", "{}" },
		{ "[]", "{}" },
		{ "[1,2.5,null,true]", "{1,2.5,NULL,true}" },
		{ "[\"a\",\"b,c\",\"d\\\"e\\\\f\\n\",\"null\"]",
		  "{\"a\",\"b,c\",\"d\\\"e\\\\f\n\",\"null\"}" },
		{ "[[1,2],[3,4]]", "{{1,2},{3,4}}" },
		{ "[{\"a\":\"b\"}]", "{\"{\\\"a\\\":\\\"b\\\"}\"}" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char *text = param_of(cases[i].json);

		if (cases[i].text == NULL)
			assert_null(text);
		else
			assert_string_equal(text, cases[i].text);
		free(text);
	}
}

static void
a_query_is_parse_bind_describe_execute(void **state)
{
	static const char want[] = "P\0\0\0\020\0select 1\0\0\0"
				   "B\0\0\0\014\0\0\0\0\0\0\0\0"
				   "D\0\0\0\006P\0"
				   "E\0\0\0\011\0\0\0\0\0";
	struct sqljson_request r;
	struct buf b = { 0 };

	(void)state;
	parse_good(" {\"query\":\"select 1\"}\n", &r);
	assert_false(r.batch);
	assert_int_equal(r.nqueries, 1);
	sqljson_put_query(&b, &r, 0);
	assert_int_equal(b.n, sizeof(want) - 1);
	assert_memory_equal(b.p, want, b.n);
	sqljson_request_fini(&r);
	buf_fini(&b);
}

static void
a_batch_has_its_queries_in_order(void **state)
{
	struct sqljson_request r;

	(void)state;
	parse_good("{\"queries\":[{\"query\":\"a\",\"params\":[],\"arrayMode\":true},"
		   "{\"query\":\"b\",\"params\":null,\"arrayMode\":false},{\"qu\\u0065ry\":"
		   "\"c\\\"\\u00e9\\n\"}]}",
		   &r);
	assert_true(r.batch);
	assert_int_equal(r.nqueries, 3);
	assert_statement(&r, 0, "a");
	assert_statement(&r, 2, "c\"\303\251\n");
	assert_true(sqljson_array_mode(&r, 0, false));
	assert_false(sqljson_array_mode(&r, 1, true));
	assert_true(sqljson_array_mode(&r, 2, true));
	sqljson_request_fini(&r);
	parse_good("{\"queries\":[]}", &r);
	assert_int_equal(r.nqueries, 0);
	sqljson_request_fini(&r);
}

static void
what_is_said_twice_counts_as_it_was_said_last(void **state)
{
	struct sqljson_request r;

	(void)state;
	parse_good("{\"query\":1,\"params\":1,\"query\":\"a\",\"params\":[1],\"params\":null}", &r);
	assert_int_equal(r.nqueries, 1);
	assert_int_equal(r.queries[0].nparams, 0);
	assert_statement(&r, 0, "a");
	sqljson_request_fini(&r);
	parse_good("{\"queries\":[{\"query\":\"a\"},{\"query\":\"b\"}],\"query\":0,"
		   "\"queries\":[{\"query\":\"c\"}]}",
		   &r);
	assert_int_equal(r.nqueries, 1);
	assert_statement(&r, 0, "c");
	sqljson_request_fini(&r);
}

static void
what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *body, *sqlstate;
	} cases[] = {
		{ "", SQLSTATE_INVALID_TEXT },
		{ "select 1", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"a\"", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"a\"} x", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"a\\u0000b\"}", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"\xff\"}", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"a\",\"params\":[[{\"a\":\"\\ud800\"}]]}", SQLSTATE_INVALID_TEXT },
		{ "{\"query\":\"a\",\"params\":[1}", SQLSTATE_INVALID_TEXT },
		{ "{\"queries\":[{\"query\":\"a\"}", SQLSTATE_INVALID_TEXT },
		{ "{\"queries\":", SQLSTATE_INVALID_TEXT },
		{ "[]", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"query\":1}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"query\":\"a\",\"params\":{}}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"queries\":{}}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"queries\":null}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"query\":\"a\",\"query\":null}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"queries\":[1]}", SQLSTATE_INVALID_PARAMETER_VALUE },
		{ "{\"queries\":[{\"query\":\"a\"},{}]}", SQLSTATE_INVALID_PARAMETER_VALUE },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct sqljson_request r;
		struct err e = { 0 };

		assert_int_equal(sqljson_parse(slice_str(cases[i].body), &r, &e), -1);
		assert_string_equal(e.sqlstate, cases[i].sqlstate);
		assert_true(e.msg[0] != '\0');
	}
}

static void
more_parameters_than_the_protocol_can_count_are_refused(void **state)
{
	struct buf body = { 0 };
	struct sqljson_request r;
	struct err e = { 0 };

	(void)state;
	buf_str(&body, "{\"query\":\"a\",\"params\":[0");
	for (int i = 1; i < SQLJSON_PARAMS_MAX; i++)
		buf_str(&body, ",0");
	buf_str(&body, "]}");
	assert_int_equal(sqljson_parse(buf_view(&body), &r, &e), 0);
	sqljson_request_fini(&r);
	body.n -= 2;
	buf_str(&body, ",0]}");
	assert_int_equal(sqljson_parse(buf_view(&body), &r, &e), -1);
	assert_string_equal(e.sqlstate, SQLSTATE_INVALID_PARAMETER_VALUE);
	buf_fini(&body);
}

static void
more_queries_than_a_batch_may_have_are_refused(void **state)
{
	struct buf body = { 0 };
	struct sqljson_request r;
	struct err e = { 0 };

	(void)state;
	buf_str(&body, "{\"queries\":[{\"query\":\"\"}");
	for (int i = 1; i < SQLJSON_QUERIES_MAX; i++)
		buf_str(&body, ",{\"query\":\"\"}");
	buf_str(&body, "]}");
	assert_int_equal(sqljson_parse(buf_view(&body), &r, &e), 0);
	assert_int_equal(r.nqueries, SQLJSON_QUERIES_MAX);
	sqljson_request_fini(&r);
	body.n -= 2;
	buf_str(&body, ",{\"query\":\"\"}]}");
	assert_int_equal(sqljson_parse(buf_view(&body), &r, &e), -1);
	assert_string_equal(e.sqlstate, SQLSTATE_INVALID_PARAMETER_VALUE);
	buf_fini(&body);
}

/* ---- answers ---- */

static void
put_description(struct buf *b)
{
	static const struct message_column columns[] = { { "a", 23, 4, 0 }, { "b\"", 25, -1, 0 } };
	struct buf m = { 0 };

	message_put_row_description(&m, columns, 2);
	buf_put(b, m.p + 5, m.n - 5);
	buf_fini(&m);
}

static void
put_row(struct buf *b, const char *first, const char *second)
{
	struct buf m = { 0 };
	size_t at = message_row_begin(&m, 2);

	message_row_value(&m, slice_str(first));
	if (second != NULL)
		message_row_value(&m, slice_str(second));
	else
		message_row_null(&m);
	buf_message_end(&m, at);
	buf_clear(b);
	buf_put(b, m.p + 5, m.n - 5);
	buf_fini(&m);
}

static void
check_result(bool raw, bool array, const char *rows)
{
	struct buf out = { 0 }, body = { 0 };
	struct sqljson_result r;
	char want[1024];

	sqljson_result_init(&r, raw, array);
	put_description(&body);
	assert_int_equal(sqljson_put_fields(&out, &r, buf_view(&body)), PARSE_DONE);
	put_row(&body, "1", "x\ty");
	assert_int_equal(sqljson_put_row(&out, &r, buf_view(&body)), PARSE_DONE);
	put_row(&body, "2", NULL);
	assert_int_equal(sqljson_put_row(&out, &r, buf_view(&body)), PARSE_DONE);
	assert_int_equal(sqljson_put_complete(&out, &r, SLICE_LITERAL("SELECT 2\0")), PARSE_DONE);
	snprintf(want, sizeof(want),
		 "{\"fields\":[{\"name\":\"a\",\"tableID\":0,\"columnID\":0,\"dataTypeID\":23,"
		 "\"dataTypeSize\":4,\"dataTypeModifier\":-1,\"format\":\"text\"},"
		 "{\"name\":\"b\\\"\",\"tableID\":0,\"columnID\":0,\"dataTypeID\":25,"
		 "\"dataTypeSize\":-1,\"dataTypeModifier\":-1,\"format\":\"text\"}],"
		 "\"rows\":[%s],\"command\":\"SELECT\",\"rowCount\":2,\"rowAsArray\":%s}",
		 rows, array ? "true" : "false");
	assert_string_equal(buf_text(&out), want);
	sqljson_result_fini(&r);
	buf_fini(&out);
	buf_fini(&body);
}

static void
a_result_has_fields_rows_and_its_command(void **state)
{
	(void)state;
	check_result(true, true, "[\"1\",\"x\\ty\"],[\"2\",null]");
	check_result(false, true, "[1,\"x\\ty\"],[2,null]");
	check_result(true, false, "{\"a\":\"1\",\"b\\\"\":\"x\\ty\"},{\"a\":\"2\",\"b\\\"\":null}");
	check_result(false, false, "{\"a\":1,\"b\\\"\":\"x\\ty\"},{\"a\":2,\"b\\\"\":null}");
}

static void
the_command_tag_says_how_many_rows(void **state)
{
	static const struct {
		struct slice tag;
		const char *tail;
	} cases[] = {
		{ SLICE_LITERAL("INSERT 0 5\0"), "\"command\":\"INSERT\",\"rowCount\":5" },
		{ SLICE_LITERAL("UPDATE 0\0"), "\"command\":\"UPDATE\",\"rowCount\":0" },
		{ SLICE_LITERAL("CREATE TABLE\0"), "\"command\":\"CREATE\",\"rowCount\":null" },
		{ SLICE_LITERAL("BEGIN\0"), "\"command\":\"BEGIN\",\"rowCount\":null" },
		{ SLICE_LITERAL(""), "\"command\":\"\",\"rowCount\":null" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf out = { 0 };
		struct sqljson_result r;
		char want[200];

		sqljson_result_init(&r, true, true);
		snprintf(want, sizeof(want), "{\"fields\":[],\"rows\":[],%s,\"rowAsArray\":true}",
			 cases[i].tail);
		assert_int_equal(sqljson_put_complete(&out, &r, cases[i].tag), PARSE_DONE);
		assert_string_equal(buf_text(&out), want);
		buf_fini(&out);
	}
}

static void
messages_cut_anywhere_are_bad(void **state)
{
	struct buf description = { 0 }, row = { 0 };

	(void)state;
	put_description(&description);
	put_row(&row, "1", "abc");
	for (size_t n = 0; n < description.n; n++) {
		struct buf out = { 0 };
		struct sqljson_result r;

		sqljson_result_init(&r, true, false);
		assert_int_equal(sqljson_put_fields(&out, &r, slice_of(description.p, n)),
				 PARSE_BAD);
		sqljson_result_fini(&r);
		buf_fini(&out);
	}
	for (size_t n = 0; n < row.n; n++) {
		struct buf out = { 0 };
		struct sqljson_result r;

		sqljson_result_init(&r, true, false);
		assert_int_equal(sqljson_put_row(&out, &r, buf_view(&row)), PARSE_BAD);
		assert_int_equal(sqljson_put_fields(&out, &r, buf_view(&description)), PARSE_DONE);
		assert_int_equal(sqljson_put_row(&out, &r, slice_of(row.p, n)), PARSE_BAD);
		sqljson_result_fini(&r);
		buf_fini(&out);
	}
	buf_fini(&description);
	buf_fini(&row);
}

struct value_case {
	uint32_t type;
	const char *text, *json;
};

static void
check_values(const struct value_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };

		sqljson_put_value(&b, cases[i].type, slice_str(cases[i].text));
		assert_string_equal(buf_text(&b), cases[i].json);
		buf_fini(&b);
	}
}

static void
values_become_what_they_are_in_json(void **state)
{
	static const struct value_case cases[] = {
		{ 25, "a\"b\\c\n\x01/", "\"a\\\"b\\\\c\\n\\u0001/\"" },
		{ 25, "\303\251\xff\360\237\230\200", "\"\303\251\357\277\275\360\237\230\200\"" },
		{ 25, "", "\"\"" },
		{ 16, "t", "true" },
		{ 16, "f", "false" },
		{ 16, "x", "\"x\"" },
		{ 23, "-5", "-5" },
		{ 23, "05x", "\"05x\"" },
		{ 20, "9007199254740993", "\"9007199254740993\"" },
		{ 1700, "1.10", "\"1.10\"" },
		{ 701, "1e-05", "1e-05" },
		{ 701, "-0", "-0" },
		{ 701, "NaN", "\"NaN\"" },
		{ 701, "Infinity", "\"Infinity\"" },
		{ 114, " {\"a\" : [1, null]} ", " {\"a\" : [1, null]} " },
		{ 3802, "\"x\\u00e9\"", "\"x\\u00e9\"" },
		{ 114, "{\"a\":}", "\"{\\\"a\\\":}\"" },
		{ 114, "[1,]", "\"[1,]\"" },
		{ 114, "1 2", "\"1 2\"" },
		{ 114, "\"\\x\"", "\"\\\"\\\\x\\\"\"" },
		{ 1007, "{1,2,NULL}", "[1,2,null]" },
		{ 1007, "{}", "[]" },
		{ 1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]" },
		{ 1007, "[0:1]={7,8}", "[7,8]" },
		{ 1009, "{a,\"b,\\\"c\\\\\",\"NULL\",\"\"}",
		  "[\"a\",\"b,\\\"c\\\\\",\"NULL\",\"\"]" },
		{ 1000, "{t,f}", "[true,false]" },
		{ 3807, "{\"{\\\"a\\\": 1}\"}", "[{\"a\": 1}]" },
		{ 1007, "{1,2", "\"{1,2\"" },
		{ 1007, "{1,,2}", "\"{1,,2}\"" },
		{ 1007, "{1}x", "\"{1}x\"" },
		{ 1007, "{{{{{{{1}}}}}}}", "\"{{{{{{{1}}}}}}}\"" },
		{ 1007, "", "\"\"" },
	};

	(void)state;
	check_values(cases, N(cases));
}

static void
json_that_is_none_is_a_string(void **state)
{
	static const struct value_case cases[] = {
		{ 114, "", "\"\"" },
		{ 114, "{", "\"{\"" },
		{ 114, "{\"a\"", "\"{\\\"a\\\"\"" },
		{ 114, "{\"a\" 1}", "\"{\\\"a\\\" 1}\"" },
		{ 114, "{\"a\":1,}", "\"{\\\"a\\\":1,}\"" },
		{ 114, "{a:1}", "\"{a:1}\"" },
		{ 114, "[1", "\"[1\"" },
		{ 114, "[1}", "\"[1}\"" },
		{ 114, "[1]]", "\"[1]]\"" },
		{ 114, "tru", "\"tru\"" },
		{ 114, "nullx", "\"nullx\"" },
		{ 114, "\"a", "\"\\\"a\"" },
		{ 114, "\"\\", "\"\\\"\\\\\"" },
		{ 114, "\"\\u12", "\"\\\"\\\\u12\"" },
		{ 114, "\"\x01\"", "\"\\\"\\u0001\\\"\"" },
		{ 114, "\"\xff\"", "\"\\\"\357\277\275\\\"\"" },
		{ 114, "01", "\"01\"" },
		{ 114, "1.", "\"1.\"" },
		{ 114, "-", "\"-\"" },
		{ 114, "1e", "\"1e\"" },
		/* but what its reader may not like is JSON */
		{ 114, "\"\\ud800\\u0000\"", "\"\\ud800\\u0000\"" },
		{ 114, "1e999", "1e999" },
	};

	(void)state;
	check_values(cases, N(cases));
}

/* … and so are elements that are not what the type says. */
static void
arrays_that_are_none_are_strings(void **state)
{
	static const struct value_case cases[] = {
		{ 1009, "{\"a", "\"{\\\"a\"" },
		{ 1009, "{\"a\\", "\"{\\\"a\\\\\"" },
		{ 1009, "{\"a\"b}", "\"{\\\"a\\\"b}\"" },
		{ 1009, "{a\"b\"}", "\"{a\\\"b\\\"}\"" },
		{ 1009, "{a{b}}", "\"{a{b}}\"" },
		{ 1009, "{{a}b}", "\"{{a}b}\"" },
		{ 1009, "{a,}", "\"{a,}\"" },
		{ 1009, "{,a}", "\"{,a}\"" },
		{ 1009, "{", "\"{\"" },
		{ 1009, "}", "\"}\"" },
		{ 1009, "[0:1]", "\"[0:1]\"" },
		{ 1009, "[0:1]=", "\"[0:1]=\"" },
		{ 1009, "[0:1]={a", "\"[0:1]={a\"" },
		{ 1009, "{\xff}", "[\"\357\277\275\"]" },
		{ 1000, "{t,x,\"f\",nUlL}", "[true,\"x\",false,null]" },
		{ 1022, "{NaN,1.5,-Infinity}", "[\"NaN\",1.5,\"-Infinity\"]" },
		{ 199, "{\"[1\",\"[1]\"}", "[\"[1\",[1]]" },
	};

	(void)state;
	check_values(cases, N(cases));
}

static void
json_that_is_nested_without_end_is_a_string(void **state)
{
	struct buf text = { 0 }, b = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_u8(&text, '[');
	sqljson_put_value(&b, 114, buf_view(&text));
	assert_int_equal(b.p[0], '"');
	assert_int_equal(b.n, text.n + 2);
	for (size_t depth = 256; depth <= 257; depth++) {
		buf_clear(&b);
		memset(text.p + depth, ']', depth);
		sqljson_put_value(&b, 114, slice_of(text.p, 2 * depth));
		assert_int_equal(b.p[0], depth == 256 ? '[' : '"');
		memset(text.p, '[', 2 * depth);
	}
	buf_fini(&text);
	buf_fini(&b);
}

static void
an_error_has_all_of_its_members(void **state)
{
	static const char nulls[] =
	    "\"position\":null,\"internalPosition\":null,\"internalQuery\":null,\"where\":null,"
	    "\"schema\":null,\"table\":null,\"column\":null,\"dataType\":null,\"constraint\":null,"
	    "\"file\":null,\"line\":null,\"routine\":null}";
	struct buf b = { 0 };
	struct err e;
	char want[1024];

	(void)state;
	err_set(&e, "28P01", "no \"such\" user");
	err_hint(&e, "Try another.");
	sqljson_put_error(&b, "FATAL", &e);
	snprintf(want, sizeof(want),
		 "{\"message\":\"no \\\"such\\\" user\",\"severity\":\"FATAL\",\"code\":\"28P01\","
		 "\"detail\":null,\"hint\":\"Try another.\",%s",
		 nulls);
	assert_string_equal(buf_text(&b), want);
	buf_clear(&b);
	assert_int_equal(sqljson_put_report(&b, SLICE_LITERAL("SERROR\0VERROR\0C22012\0Mby zero\0"
							      "P8\0Fint.c\0L842\0Rint4div\0\0")),
			 PARSE_DONE);
	assert_string_equal(
	    buf_text(&b),
	    "{\"message\":\"by zero\",\"severity\":\"ERROR\",\"code\":\"22012\",\"detail\":null,"
	    "\"hint\":null,\"position\":\"8\",\"internalPosition\":null,\"internalQuery\":null,"
	    "\"where\":null,\"schema\":null,\"table\":null,\"column\":null,\"dataType\":null,"
	    "\"constraint\":null,\"file\":\"int.c\",\"line\":\"842\",\"routine\":\"int4div\"}");
	assert_int_equal(sqljson_put_report(&b, SLICE_LITERAL("SERROR")), PARSE_BAD);
	buf_fini(&b);
}

static void
too_much_output_shows_as_failed(void **state)
{
	struct buf out = { .cap = 300 }, body = { 0 };
	struct sqljson_result r;

	(void)state;
	sqljson_result_init(&r, true, true);
	put_description(&body);
	assert_int_equal(sqljson_put_fields(&out, &r, buf_view(&body)), PARSE_DONE);
	assert_false(out.failed);
	put_row(&body, "1", "0123456789012345678901234567890123456789");
	for (int i = 0; i < 10 && !out.failed; i++)
		(void)!sqljson_put_row(&out, &r, buf_view(&body));
	assert_true(out.failed);
	assert_true(out.n <= 300);
	sqljson_result_fini(&r);
	buf_fini(&out);
	buf_fini(&body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_become_postgresql_text),
		cmocka_unit_test(a_query_is_parse_bind_describe_execute),
		cmocka_unit_test(a_batch_has_its_queries_in_order),
		cmocka_unit_test(what_is_said_twice_counts_as_it_was_said_last),
		cmocka_unit_test(what_is_no_request_is_refused),
		cmocka_unit_test(more_parameters_than_the_protocol_can_count_are_refused),
		cmocka_unit_test(more_queries_than_a_batch_may_have_are_refused),
		cmocka_unit_test(a_result_has_fields_rows_and_its_command),
		cmocka_unit_test(the_command_tag_says_how_many_rows),
		cmocka_unit_test(messages_cut_anywhere_are_bad),
		cmocka_unit_test(values_become_what_they_are_in_json),
		cmocka_unit_test(json_that_is_none_is_a_string),
		cmocka_unit_test(arrays_that_are_none_are_strings),
		cmocka_unit_test(json_that_is_nested_without_end_is_a_string),
		cmocka_unit_test(an_error_has_all_of_its_members),
		cmocka_unit_test(too_much_output_shows_as_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
