/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqljson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "protocol/message.h"
#include "protocol/sqlstate.h"

/* ---- a body, read and checked ---- */

static int
bad_request(struct err *e, const char *what)
{
	return err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "invalid SQL request: %s", what);
}

static int
check_query(const json_t *q, struct err *e)
{
	const json_t *params = json_object_get(q, "params");

	if (!json_is_object(q))
		return bad_request(e, "a query is not an object");
	if (!json_is_string(json_object_get(q, "query")))
		return bad_request(e, "\"query\" is not a string");
	if (params != NULL && !json_is_null(params) && !json_is_array(params))
		return bad_request(e, "\"params\" is not an array");
	if (json_array_size(params) > SQLJSON_PARAMS_MAX)
		return bad_request(e, "there are too many parameters");
	return 0;
}

static int
check_request(const json_t *root, struct sqljson_request *r, struct err *e)
{
	const json_t *queries;

	if (!json_is_object(root))
		return bad_request(e, "it is not an object");
	queries = json_object_get(root, "queries");
	r->batch = queries != NULL;
	r->nqueries = 1;
	if (!r->batch)
		return check_query(root, e);
	if (!json_is_array(queries))
		return bad_request(e, "\"queries\" is not an array");
	r->nqueries = json_array_size(queries);
	if (r->nqueries > SQLJSON_QUERIES_MAX)
		return bad_request(e, "there are too many queries");
	for (size_t i = 0; i < r->nqueries; i++)
		if (check_query(json_array_get(queries, i), e) != 0)
			return -1;
	return 0;
}

int
sqljson_parse(struct slice body, struct sqljson_request *out, struct err *e)
{
	struct sqljson_request r = { 0 };
	json_error_t said;

	r.root = json_loadb(body.n > 0 ? body.p : "", body.n, 0, &said);
	if (r.root == NULL) {
		err_set(e, SQLSTATE_INVALID_TEXT, "the request is not JSON");
		err_detail(e, "Line %d, column %d: %s.", said.line, said.column, said.text);
		return -1;
	}
	if (check_request(r.root, &r, e) != 0) {
		json_decref(r.root);
		return -1;
	}
	*out = r;
	return 0;
}

void
sqljson_request_fini(struct sqljson_request *r)
{
	json_decref(r->root);
	*r = (struct sqljson_request){ 0 };
}

static const json_t *
query_at(const struct sqljson_request *r, size_t i)
{
	return r->batch ? json_array_get(json_object_get(r->root, "queries"), i) : r->root;
}

static struct slice
text_of(const json_t *string)
{
	return slice_of(json_string_value(string), json_string_length(string));
}

struct slice
sqljson_query_text(const struct sqljson_request *r, size_t i)
{
	return text_of(json_object_get(query_at(r, i), "query"));
}

bool
sqljson_array_mode(const struct sqljson_request *r, size_t i, bool fallback)
{
	const json_t *mode = json_object_get(query_at(r, i), "arrayMode");

	return json_is_boolean(mode) ? json_is_true(mode) : fallback;
}

/* ---- parameters, as PostgreSQL reads them ---- */

/* The shortest decimal that reads back as the same number. */
static void
put_real(struct buf *b, double v)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_str(b, text);
}

static void put_json(struct buf *b, const json_t *v);

static void
put_object(struct buf *b, const json_t *v)
{
	/* the library's iterator wants to be able to change what it walks */
	json_t *object = json_incref((json_t *)(uintptr_t)v);
	const char *key, *sep = "";
	size_t n;
	json_t *value;

	buf_u8(b, '{');
	json_object_keylen_foreach(object, key, n, value)
	{
		buf_str(b, sep);
		sqljson_put_string(b, slice_of(key, n));
		buf_u8(b, ':');
		put_json(b, value);
		sep = ",";
	}
	buf_u8(b, '}');
	json_decref(object);
}

static void
put_json(struct buf *b, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_object(b, v);
		break;
	case JSON_ARRAY:
		buf_u8(b, '[');
		for (size_t i = 0; i < json_array_size(v); i++) {
			buf_str(b, i > 0 ? "," : "");
			put_json(b, json_array_get(v, i));
		}
		buf_u8(b, ']');
		break;
	case JSON_STRING:
		sqljson_put_string(b, text_of(v));
		break;
	case JSON_INTEGER:
		buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		put_real(b, json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_str(b, json_is_true(v) ? "true" : "false");
		break;
	case JSON_NULL:
		buf_str(b, "null");
		break;
	}
}

/* An element of an array literal in quotes: a backslash takes the next byte as it is. */
static void
put_quoted(struct buf *b, struct slice s)
{
	buf_u8(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_u8(b, '\\');
		buf_u8(b, (uint8_t)s.p[i]);
	}
	buf_u8(b, '"');
}

static void
put_array(struct buf *b, const json_t *array)
{
	buf_u8(b, '{');
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *v = json_array_get(array, i);
		struct buf text = { .cap = b->cap };

		buf_str(b, i > 0 ? "," : "");
		if (json_is_array(v)) {
			put_array(b, v);
		} else if (json_is_null(v)) {
			buf_str(b, "NULL");
		} else if (json_is_string(v)) {
			put_quoted(b, text_of(v));
		} else if (json_is_object(v)) {
			put_object(&text, v);
			put_quoted(b, buf_view(&text));
		} else {
			put_json(b, v);
		}
		b->failed = b->failed || text.failed;
		buf_fini(&text);
	}
	buf_u8(b, '}');
}

static void
put_param(struct buf *b, const json_t *v)
{
	size_t at = b->n;

	buf_u32(b, json_is_null(v) ? UINT32_MAX : 0);
	if (json_is_null(v))
		return;
	if (json_is_string(v))
		buf_slice(b, text_of(v));
	else if (json_is_array(v))
		put_array(b, v);
	else
		put_json(b, v);
	if (!b->failed)
		put_u32(b->p + at, (uint32_t)(b->n - at - 4));
}

static void
put_bind(struct buf *b, const json_t *params)
{
	size_t n = json_array_size(params), at = buf_message(b, MSG_BIND);

	buf_cstr(b, "");
	buf_cstr(b, "");
	buf_u16(b, 0);
	buf_u16(b, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		put_param(b, json_array_get(params, i));
	buf_u16(b, 0);
	buf_message_end(b, at);
}

static void
put_parse(struct buf *b, struct slice sql)
{
	size_t at = buf_message(b, MSG_PARSE);

	buf_cstr(b, "");
	buf_slice(b, sql);
	buf_u8(b, 0);
	buf_u16(b, 0);
	buf_message_end(b, at);
}

static void
put_execute(struct buf *b)
{
	size_t at = buf_message(b, MSG_EXECUTE);

	buf_cstr(b, "");
	buf_u32(b, 0);
	buf_message_end(b, at);
}

void
sqljson_put_query(struct buf *b, const struct sqljson_request *r, size_t i)
{
	size_t at;

	put_parse(b, sqljson_query_text(r, i));
	put_bind(b, json_object_get(query_at(r, i), "params"));
	at = buf_message(b, MSG_DESCRIBE);
	buf_u8(b, 'P');
	buf_cstr(b, "");
	buf_message_end(b, at);
	put_execute(b);
}

void
sqljson_put_command(struct buf *b, const char *sql)
{
	put_parse(b, slice_str(sql));
	put_bind(b, NULL);
	put_execute(b);
}
