/* SPDX-License-Identifier: PostgreSQL
 *
 * SQL over HTTP: the first byte says what the rest is. 'q': the body of a request, which becomes
 * messages that are whole and well-formed, and of which a library that makes a tree reads the same.
 * 'r': the messages of a server, type byte and two bytes of length each, whose answer must be JSON
 * whatever they hold. 'u': a connection URI, whose startup packet must be read as it was meant.
 * Else a value: its type in four bytes, then its text.
 */
#include "config.h"

#include "protocol/sqljson.h"

#include <jansson.h>

#include "protocol/connuri.h"
#include "protocol/frame.h"
#include "protocol/jsontext.h"
#include "protocol/message.h"
#include "protocol/startup.h"
#include "tests/fuzz/fuzz.h"

#define TYPE_JSON 114

/* A value of type json is copied as it is where it is JSON, and quoted where it is not. */
static void
check_json(const struct buf *b)
{
	struct buf again = { 0 };

	sqljson_put_value(&again, TYPE_JSON, buf_view(b));
	FUZZ_ASSERT(again.n == b->n && memcmp(again.p, b->p, b->n) == 0);
	buf_fini(&again);
}

/* What is JSON for jansson is JSON for us, and the other way round; but a number may be longer, and
 * jansson reads over a NUL behind one. */
static json_t *
read_by_library(struct slice in)
{
	bool valid = jsontext_is_valid(in, JSONTEXT_DEPTH_MAX, JSONTEXT_TEXT_STRINGS);
	json_error_t e;
	json_t *root = json_loadb(in.p, in.n, JSON_DECODE_ANY, &e);

	if (root == NULL && valid)
		FUZZ_ASSERT(json_error_code(&e) == json_error_numeric_overflow);
	if (root != NULL && !valid) {
		FUZZ_ASSERT(memchr(in.p, '\0', in.n) != NULL);
		json_decref(root);
		root = NULL;
	}
	return root;
}

static struct slice
text_of(const json_t *string)
{
	return slice_of(json_string_value(string), json_string_length(string));
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Of a parameter what it is for PostgreSQL. */
static void
check_value(const json_t *v, struct slice value)
{
	char text[64];

	FUZZ_ASSERT((value.p == NULL) == json_is_null(v));
	if (json_is_string(v)) {
		FUZZ_ASSERT(same(text_of(v), value));
	} else if (json_is_number(v) && value.n < sizeof(text)) {
		memcpy(text, value.p, value.n);
		text[value.n] = '\0';
		FUZZ_ASSERT(strtod(text, NULL) == json_number_value(v));
	} else if (json_is_boolean(v)) {
		FUZZ_ASSERT(slice_is(value, json_is_true(v) ? "true" : "false"));
	} else if (json_is_array(v)) {
		FUZZ_ASSERT(value.n >= 2 && value.p[0] == '{' && value.p[value.n - 1] == '}');
	} else if (json_is_object(v)) {
		json_t *again = json_loadb(value.p, value.n, 0, NULL);

		FUZZ_ASSERT(json_equal(again, (json_t *)(uintptr_t)v));
		json_decref(again);
	}
}

static void
check_query(const json_t *q, const struct message_parse *parse, struct message_bind *bind)
{
	const json_t *params = json_object_get(q, "params");
	struct slice value;

	FUZZ_ASSERT(same(text_of(json_object_get(q, "query")), parse->sql));
	FUZZ_ASSERT(bind->values_n == json_array_size(params));
	for (size_t i = 0; i < json_array_size(params); i++) {
		FUZZ_ASSERT(message_next_value(&bind->values, &value));
		check_value(json_array_get(params, i), value);
	}
}

/* `q`: the same query, read by a library; or NULL. */
static void
check_messages(const struct buf *b, const json_t *q)
{
	static const char want[] = { MSG_PARSE, MSG_BIND, MSG_DESCRIBE, MSG_EXECUTE };
	struct slice rest = buf_view(b);
	struct message_parse parse;
	struct message_bind bind;
	struct frame f;

	for (size_t i = 0; i < sizeof(want); i++) {
		FUZZ_ASSERT(frame_cut(rest, 1 << 30, &f) == PARSE_DONE && f.type == want[i]);
		if (f.type == MSG_PARSE)
			FUZZ_ASSERT(message_parse_parse(f.body, &parse) == PARSE_DONE);
		if (f.type == MSG_BIND)
			FUZZ_ASSERT(message_parse_bind(f.body, &bind) == PARSE_DONE);
		rest = slice_skip(rest, f.total);
	}
	FUZZ_ASSERT(rest.n == 0);
	if (q != NULL)
		check_query(q, &parse, &bind);
}

static void
fuzz_request(struct slice in)
{
	json_t *root = read_by_library(in), *queries = json_object_get(root, "queries");
	struct sqljson_request r;
	struct buf b = { 0 };
	struct err e = { 0 };

	if (sqljson_parse(in, &r, &e) != 0) {
		FUZZ_ASSERT(e.sqlstate[0] != '\0' && e.msg[0] != '\0');
		sqljson_put_error(&b, "ERROR", &e);
		check_json(&b);
		buf_fini(&b);
		json_decref(root);
		return;
	}
	FUZZ_ASSERT(root == NULL || r.batch == (queries != NULL));
	for (size_t i = 0; i < r.nqueries && i < 16; i++) {
		buf_clear(&b);
		sqljson_put_query(&b, &r, i);
		check_messages(&b, r.batch ? json_array_get(queries, i) : root);
	}
	sqljson_request_fini(&r);
	json_decref(root);
	buf_fini(&b);
}

static enum parse
take_message(struct buf *b, struct sqljson_result *r, char type, struct slice body)
{
	switch (type) {
	case MSG_ROW_DESCRIPTION:
		return sqljson_put_fields(b, r, body);
	case MSG_DATA_ROW:
		return sqljson_put_row(b, r, body);
	case MSG_ERROR:
		buf_clear(b);
		if (sqljson_put_report(b, body) == PARSE_DONE)
			check_json(b);
		return PARSE_BAD;
	default:
		if (sqljson_put_complete(b, r, body) == PARSE_DONE && r->nrows < 1000)
			check_json(b);
		return PARSE_BAD;
	}
}

static void
fuzz_result(struct slice in)
{
	struct sqljson_result r;
	struct buf b = { 0 };

	if (in.n < 1)
		return;
	sqljson_result_init(&r, in.p[0] & 1, in.p[0] & 2);
	in = slice_skip(in, 1);
	while (in.n >= 3) {
		size_t n = get_u16(in.p + 1);
		char type = in.p[0];

		in = slice_skip(in, 3);
		if (n > in.n)
			n = in.n;
		if (take_message(&b, &r, type, slice_of(in.p, n)) != PARSE_DONE)
			break;
		in = slice_skip(in, n);
	}
	sqljson_result_fini(&r);
	buf_fini(&b);
}

static void
fuzz_uri(struct slice in)
{
	static struct startup st;
	struct buf text = { 0 }, packet = { 0 };
	struct connuri u;
	struct err e = { 0 };

	if (connuri_parse(in, &text, &u, &e) != 0) {
		FUZZ_ASSERT(strcmp(e.sqlstate, "08001") == 0);
		buf_fini(&text);
		return;
	}
	FUZZ_ASSERT(u.user.n > 0 && u.database.n > 0 && text.n <= in.n);
	connuri_put_startup(&packet, &u);
	if (!packet.failed) {
		FUZZ_ASSERT(startup_parse(buf_view(&packet), &st, &e) == PARSE_DONE);
		FUZZ_ASSERT(st.kind == STARTUP_V3 && same(st.user, u.user));
		FUZZ_ASSERT(same(st.database, u.database) && same(st.options, u.options));
	}
	buf_fini(&text);
	buf_fini(&packet);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct buf b = { 0 };

	if (size < 5)
		return 0;
	if (data[0] == 'q') {
		fuzz_request(slice_skip(in, 1));
	} else if (data[0] == 'u') {
		fuzz_uri(slice_skip(in, 1));
	} else if (data[0] == 'r') {
		fuzz_result(slice_skip(in, 1));
	} else {
		sqljson_put_value(&b, get_u32(data), slice_skip(in, 4));
		check_json(&b);
		buf_fini(&b);
	}
	return 0;
}
