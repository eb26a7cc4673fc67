/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqljson.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/jsontext.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"

/* ---- a body, read and checked ---- */

struct reading {
	struct jsontext text;
	struct sqljson_request *request;
	struct err *e;
};

static int
bad_request(struct reading *in, const char *what)
{
	return err_set(in->e, SQLSTATE_INVALID_PARAMETER_VALUE, "invalid SQL request: %s", what);
}

static int
not_json(struct reading *in)
{
	unsigned line, column;
	const char *wrong = jsontext_wrong(&in->text, &line, &column);

	err_set(in->e, SQLSTATE_INVALID_TEXT, "the request is not JSON");
	err_detail(in->e, "Line %u, column %u: %s.", line, column, wrong);
	return -1;
}

/* Behind the bracket that `list` is: up to the one that closes it. */
static int
read_params(struct reading *in, struct sqljson_query *q, struct slice list)
{
	enum jsontext_token token;
	struct slice text;

	while ((token = jsontext_next(&in->text, &text)) != JSONTEXT_LIST_END) {
		if (jsontext_rest(&in->text, token, &text) == JSONTEXT_BAD)
			return not_json(in);
		if (q->nparams++ == SQLJSON_PARAMS_MAX)
			return bad_request(in, "there are too many parameters");
	}
	q->params = slice_of(list.p, (size_t)(text.p + text.n - list.p));
	return 0;
}

/* A member of a query whose value begins with this token. What is said twice counts as it was said
 * last. */
static int
read_member(struct reading *in, struct sqljson_query *q, struct slice name,
	    enum jsontext_token token, struct slice text)
{
	if (jsontext_means(name, "params")) {
		q->params = (struct slice){ 0 };
		q->nparams = 0;
		q->params_are_wrong = token != JSONTEXT_LIST && token != JSONTEXT_NULL;
		if (token == JSONTEXT_LIST)
			return read_params(in, q, text);
	} else if (jsontext_means(name, "query")) {
		q->text = token == JSONTEXT_STRING ? text : (struct slice){ 0 };
	} else if (jsontext_means(name, "arrayMode")) {
		q->says_mode = token == JSONTEXT_TRUE || token == JSONTEXT_FALSE;
		q->array = token == JSONTEXT_TRUE;
	}
	return jsontext_rest(&in->text, token, &text) == JSONTEXT_BAD ? not_json(in) : 0;
}

static int
add_query(struct reading *in, const struct sqljson_query *q)
{
	struct sqljson_request *r = in->request;

	if (q->text.p == NULL)
		return bad_request(in, "\"query\" is not a string");
	if (q->params_are_wrong)
		return bad_request(in, "\"params\" is not an array");
	if (r->nqueries == SQLJSON_QUERIES_MAX)
		return bad_request(in, "there are too many queries");
	if ((r->nqueries & (r->nqueries - 1)) == 0)
		r->queries =
		    xreallocarray(r->queries, r->nqueries > 0 ? 2 * r->nqueries : 1, sizeof(*q));
	r->queries[r->nqueries++] = *q;
	return 0;
}

static int
read_queries(struct reading *in)
{
	enum jsontext_token token;
	struct slice name, text;

	in->request->nqueries = 0;
	while ((token = jsontext_next(&in->text, &text)) != JSONTEXT_LIST_END) {
		struct sqljson_query q = { 0 };

		if (token == JSONTEXT_BAD)
			return not_json(in);
		if (token != JSONTEXT_OBJECT)
			return bad_request(in, "a query is not an object");
		while ((token = jsontext_next(&in->text, &name)) == JSONTEXT_NAME) {
			token = jsontext_next(&in->text, &text);
			if (read_member(in, &q, name, token, text) != 0)
				return -1;
		}
		if (token == JSONTEXT_BAD)
			return not_json(in);
		if (add_query(in, &q) != 0)
			return -1;
	}
	return 0;
}

static int
read_root(struct reading *in)
{
	struct sqljson_request *r = in->request;
	struct sqljson_query q = { 0 };
	struct slice name, text;
	enum jsontext_token token = jsontext_next(&in->text, &text);

	if (token == JSONTEXT_BAD)
		return not_json(in);
	if (token != JSONTEXT_OBJECT)
		return bad_request(in, "it is not an object");
	while ((token = jsontext_next(&in->text, &name)) == JSONTEXT_NAME) {
		bool queries = jsontext_means(name, "queries");

		token = jsontext_next(&in->text, &text);
		r->batch = r->batch || queries;
		if (queries && token != JSONTEXT_LIST)
			return token == JSONTEXT_BAD
				   ? not_json(in)
				   : bad_request(in, "\"queries\" is not an array");
		if ((queries ? read_queries(in) : read_member(in, &q, name, token, text)) != 0)
			return -1;
	}
	if (token == JSONTEXT_BAD || jsontext_next(&in->text, &text) == JSONTEXT_BAD)
		return not_json(in);
	return r->batch ? 0 : add_query(in, &q);
}

int
sqljson_parse(struct slice body, struct sqljson_request *out, struct err *e)
{
	struct sqljson_request r = { 0 };
	struct reading in = { .request = &r, .e = e };

	jsontext_init(&in.text, body, JSONTEXT_DEPTH_MAX, JSONTEXT_TEXT_STRINGS);
	if (read_root(&in) != 0) {
		sqljson_request_fini(&r);
		return -1;
	}
	*out = r;
	return 0;
}

void
sqljson_request_fini(struct sqljson_request *r)
{
	free(r->queries);
	*r = (struct sqljson_request){ 0 };
}

bool
sqljson_array_mode(const struct sqljson_request *r, size_t i, bool fallback)
{
	return r->queries[i].says_mode ? r->queries[i].array : fallback;
}

/* ---- what there may be millions of: without a call where there is room ---- */

static inline void
put_byte(struct buf *b, char c)
{
	if (b->n < b->size)
		b->p[b->n++] = c;
	else
		buf_u8(b, (uint8_t)c);
}

static inline void
put_bytes(struct buf *b, struct slice s)
{
	if (s.n > 16 || s.n > b->size - b->n) {
		buf_slice(b, s);
		return;
	}
	for (size_t i = 0; i < s.n; i++)
		b->p[b->n++] = s.p[i];
}

/* ---- numbers ---- */

#define NUMBER_SHORT 40

/* digits[0].digits[1]… times ten to the power of `exponent`; none: zero. */
struct decimal {
	char digits[NUMBER_SHORT];
	int n;
	int exponent;
};

/* False: its exponent is beyond what any type has. */
static bool
read_decimal(struct slice s, struct decimal *d)
{
	char text[NUMBER_SHORT + 1], *e;
	bool fraction = false;
	long said = 0;

	*d = (struct decimal){ .exponent = -1 };
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	e = strpbrk(text, "eE");
	if (e != NULL) {
		*e = '\0';
		said = strtol(e + 1, NULL, 10);
	}
	for (const char *p = text; *p != '\0'; p++) {
		fraction = fraction || *p == '.';
		if (*p < '0')
			continue;
		if (*p != '0' || d->n > 0)
			d->digits[d->n++] = *p;
		if (fraction ? d->n == 0 : d->n > 0)
			d->exponent += fraction ? -1 : 1;
	}
	while (d->n > 0 && d->digits[d->n - 1] == '0')
		d->n--;
	d->exponent += (int)(said < -100000 || said > 100000 ? 0 : said);
	return said >= -100000 && said <= 100000;
}

static void
put_zeros(struct buf *b, int n)
{
	for (; n > 0; n--)
		buf_u8(b, '0');
}

/* It has a point or an exponent. */
static bool
has_fraction(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' || s.p[i] == 'e' || s.p[i] == 'E')
			return true;
	return false;
}

/* As it was said, in printf's %g: 1.50 is 1.5, and 1.0 or 1e2 is what can be read as an integer.
 * All digits stay. */
static void
put_number(struct buf *b, struct slice s)
{
	int whole; /* digits before the point */
	struct decimal d;

	if (s.n > NUMBER_SHORT || !has_fraction(s) || !read_decimal(s, &d)) {
		put_bytes(b, s);
		return;
	}
	if (s.p[0] == '-')
		buf_u8(b, '-');
	if (d.n == 0) {
		buf_u8(b, '0');
		return;
	}
	if (d.exponent < -4 || d.exponent >= (d.n > 15 ? d.n : 15))
		whole = 1;
	else
		whole = d.exponent + 1;
	if (whole <= 0) {
		buf_str(b, "0.");
		put_zeros(b, -whole);
		buf_put(b, d.digits, (size_t)d.n);
		return;
	}
	buf_put(b, d.digits, (size_t)(d.n < whole ? d.n : whole));
	put_zeros(b, whole - d.n);
	if (d.n > whole) {
		buf_u8(b, '.');
		buf_put(b, d.digits + whole, (size_t)(d.n - whole));
	}
	if (whole != d.exponent + 1)
		buf_printf(b, "e%+03d", d.exponent);
}

/* ---- parameters, as PostgreSQL reads them ---- */

/* What a JSONTEXT_STRING means, as an element of an array literal in quotes: a backslash takes the
 * next byte as it is. */
static void
put_quoted_string(struct buf *b, struct slice string)
{
	char store[4];

	put_byte(b, '"');
	while (string.n > 0) {
		struct slice piece = jsontext_piece(&string, store);

		if (piece.p[0] == '"' || piece.p[0] == '\\')
			put_byte(b, '\\');
		put_bytes(b, piece);
	}
	put_byte(b, '"');
}

static void
put_element(struct buf *b, struct jsontext *j, enum jsontext_token token, struct slice text)
{
	if (token == JSONTEXT_LIST) {
		put_byte(b, '{');
	} else if (token == JSONTEXT_LIST_END) {
		put_byte(b, '}');
	} else if (token == JSONTEXT_STRING) {
		put_quoted_string(b, text);
	} else if (token == JSONTEXT_NUMBER) {
		put_number(b, text);
	} else if (token == JSONTEXT_NULL) {
		buf_str(b, "NULL");
	} else if (jsontext_rest(j, token, &text) == JSONTEXT_OBJECT) {
		size_t run = 0;

		put_byte(b, '"');
		for (size_t i = 0; i < text.n; i++) {
			if (text.p[i] != '"' && text.p[i] != '\\')
				continue;
			put_bytes(b, slice_of(text.p + run, i - run));
			put_byte(b, '\\');
			run = i;
		}
		put_bytes(b, slice_of(text.p + run, text.n - run));
		put_byte(b, '"');
	} else {
		put_bytes(b, text);
	}
}

/* Behind the bracket that opens it: with all lists that are in it, element by element. */
static void
put_array(struct buf *b, struct jsontext *j)
{
	enum jsontext_token token, last = JSONTEXT_LIST;
	unsigned depth = j->depth;
	struct slice text;

	put_byte(b, '{');
	do {
		token = jsontext_next(j, &text);
		if (last != JSONTEXT_LIST && token != JSONTEXT_LIST_END)
			put_byte(b, ',');
		put_element(b, j, token, text);
		last = token;
	} while (j->depth >= depth && !b->failed);
}

static void
put_param(struct buf *b, struct jsontext *j, enum jsontext_token token, struct slice text)
{
	size_t at = b->n;

	buf_u32(b, token == JSONTEXT_NULL ? UINT32_MAX : 0);
	if (token == JSONTEXT_NULL)
		return;
	if (token == JSONTEXT_STRING) {
		jsontext_put(b, text);
	} else if (token == JSONTEXT_NUMBER) {
		put_number(b, text);
	} else if (token == JSONTEXT_LIST) {
		put_array(b, j);
	} else {
		(void)jsontext_rest(j, token, &text);
		buf_slice(b, text);
	}
	if (!b->failed)
		put_u32(b->p + at, (uint32_t)(b->n - at - 4));
}

void
sqljson_put_query(struct buf *b, const struct sqljson_request *r, size_t i)
{
	const struct sqljson_query *q = &r->queries[i];
	size_t at = buf_message(b, MSG_PARSE);
	enum jsontext_token token;
	struct slice text;
	struct jsontext j;

	buf_cstr(b, "");
	jsontext_put(b, q->text);
	buf_u8(b, 0);
	buf_u16(b, 0);
	buf_message_end(b, at);
	at = buf_message(b, MSG_BIND);
	buf_cstr(b, "");
	buf_cstr(b, "");
	buf_u16(b, 0);
	buf_u16(b, (uint16_t)q->nparams);
	if (q->params.n > 0) {
		jsontext_init(&j, q->params, JSONTEXT_DEPTH_MAX, JSONTEXT_TEXT_STRINGS);
		(void)jsontext_next(&j, &text);
		while (!b->failed && (token = jsontext_next(&j, &text)) != JSONTEXT_LIST_END)
			put_param(b, &j, token, text);
	}
	buf_u16(b, 0);
	buf_message_end(b, at);
	at = buf_message(b, MSG_DESCRIBE);
	buf_u8(b, 'P');
	buf_cstr(b, "");
	buf_message_end(b, at);
	at = buf_message(b, MSG_EXECUTE);
	buf_cstr(b, "");
	buf_u32(b, 0);
	buf_message_end(b, at);
}
