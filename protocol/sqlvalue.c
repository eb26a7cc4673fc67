/* SPDX-License-Identifier: PostgreSQL
 *
 * Values of a result as JSON. A type's text is trusted to be JSON only after a look at it: a node
 * may be anything that speaks the protocol.
 */
#include "config.h"

#include "protocol/sqljson.h"

#include "base/utf8.h"
#include "protocol/jsontext.h"

/* pg_type.dat: types whose text is not a JSON string, and the arrays of built-in types. */
enum shape { SHAPE_BOOL, SHAPE_NUMBER, SHAPE_JSON, SHAPE_ARRAY };

static const struct type {
	uint32_t oid;
	enum shape shape;
	uint32_t element; /* of an array */
} types[] = {
	{ 16, SHAPE_BOOL, 0 },       { 21, SHAPE_NUMBER, 0 },     { 23, SHAPE_NUMBER, 0 },
	{ 700, SHAPE_NUMBER, 0 },    { 701, SHAPE_NUMBER, 0 },    { 114, SHAPE_JSON, 0 },
	{ 3802, SHAPE_JSON, 0 },     { 199, SHAPE_ARRAY, 114 },   { 1000, SHAPE_ARRAY, 16 },
	{ 1001, SHAPE_ARRAY, 17 },   { 1002, SHAPE_ARRAY, 18 },   { 1003, SHAPE_ARRAY, 19 },
	{ 1005, SHAPE_ARRAY, 21 },   { 1007, SHAPE_ARRAY, 23 },   { 1009, SHAPE_ARRAY, 25 },
	{ 1014, SHAPE_ARRAY, 1042 }, { 1015, SHAPE_ARRAY, 1043 }, { 1016, SHAPE_ARRAY, 20 },
	{ 1021, SHAPE_ARRAY, 700 },  { 1022, SHAPE_ARRAY, 701 },  { 1028, SHAPE_ARRAY, 26 },
	{ 1041, SHAPE_ARRAY, 869 },  { 1115, SHAPE_ARRAY, 1114 }, { 1182, SHAPE_ARRAY, 1082 },
	{ 1183, SHAPE_ARRAY, 1083 }, { 1185, SHAPE_ARRAY, 1184 }, { 1187, SHAPE_ARRAY, 1186 },
	{ 1231, SHAPE_ARRAY, 1700 }, { 1270, SHAPE_ARRAY, 1266 }, { 651, SHAPE_ARRAY, 650 },
	{ 2951, SHAPE_ARRAY, 2950 }, { 3807, SHAPE_ARRAY, 3802 },
};

#define DIMENSIONS_MAX 6   /* PostgreSQL's MAXDIM */
#define DEPTH_MAX      256 /* JSON that is nested deeper is given as a string */

void
sqljson_put_string(struct buf *b, struct slice s)
{
	static const char *const escapes[0x20] = {
		['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t",
	};
	size_t run = 0; /* bytes at the front that go as they are */

	buf_u8(b, '"');
	while (run < s.n) {
		uint8_t c = (uint8_t)s.p[run];
		size_t n = c < 0x80 ? 1 : utf8_sequence(slice_skip(s, run));

		if (n > 0 && c >= 0x20 && c != '"' && c != '\\') {
			run += n;
			continue;
		}
		buf_put(b, s.p, run);
		if (n == 0)
			buf_str(b, "\xef\xbf\xbd");
		else if (c >= 0x20)
			buf_printf(b, "\\%c", c);
		else if (escapes[c] != NULL)
			buf_str(b, escapes[c]);
		else
			buf_printf(b, "\\u%04x", c);
		s = slice_skip(s, run + 1);
		run = 0;
	}
	buf_put(b, s.p, run);
	buf_u8(b, '"');
}

/* ---- array literals (PostgreSQL: "Array Input and Output Syntax") ---- */

static bool
take_char(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_skip(*s, 1);
	return true;
}

static bool put_elements(struct buf *b, uint32_t type, struct slice *s, unsigned depth);

/* One element in quotes, without them. */
static bool
take_quoted(struct slice *s, struct buf *to)
{
	*s = slice_skip(*s, 1);
	while (s->n > 0 && s->p[0] != '"') {
		if (take_char(s, '\\') && s->n == 0)
			return false;
		buf_u8(to, (uint8_t)s->p[0]);
		*s = slice_skip(*s, 1);
	}
	return take_char(s, '"');
}

static bool
put_element(struct buf *b, uint32_t type, struct slice *s, unsigned depth)
{
	struct buf text = { .cap = b->cap };
	struct slice bare;
	bool good = true;

	if (s->n > 0 && s->p[0] == '{')
		return put_elements(b, type, s, depth + 1);
	if (s->n > 0 && s->p[0] == '"') {
		good = take_quoted(s, &text) && !text.failed;
		if (good)
			sqljson_put_value(b, type, buf_view(&text));
		buf_fini(&text);
		return good;
	}
	bare = slice_of(s->p, 0);
	while (bare.n < s->n && strchr(",{}\"", s->p[bare.n]) == NULL)
		bare.n++;
	*s = slice_skip(*s, bare.n);
	if (slice_is_nocase(bare, "null"))
		buf_str(b, "null");
	else
		sqljson_put_value(b, type, bare);
	return bare.n > 0;
}

static bool
put_elements(struct buf *b, uint32_t type, struct slice *s, unsigned depth)
{
	if (depth > DIMENSIONS_MAX || !take_char(s, '{'))
		return false;
	buf_u8(b, '[');
	if (!take_char(s, '}')) {
		for (;;) {
			if (!put_element(b, type, s, depth))
				return false;
			if (take_char(s, '}'))
				break;
			if (!take_char(s, ','))
				return false;
			buf_u8(b, ',');
		}
	}
	buf_u8(b, ']');
	return true;
}

/* False, with nothing written, where it is no array literal. */
static bool
put_array(struct buf *b, uint32_t element, struct slice text)
{
	size_t at = b->n;

	/* bounds that do not begin with 1 stand in front: [0:2]={…} */
	if (text.n > 0 && text.p[0] == '[')
		(void)slice_cut(&text, '=');
	if (put_elements(b, element, &text, 1) && text.n == 0)
		return true;
	if (!b->failed)
		b->n = at;
	return false;
}

void
sqljson_put_value(struct buf *b, uint32_t type, struct slice text)
{
	const struct type *t = NULL;
	bool good = false;

	for (size_t i = 0; t == NULL && i < sizeof(types) / sizeof(types[0]); i++)
		t = types[i].oid == type ? &types[i] : NULL;
	if (t != NULL && t->shape == SHAPE_BOOL) {
		good = slice_is(text, "t") || slice_is(text, "f");
		if (good)
			buf_str(b, text.p[0] == 't' ? "true" : "false");
	} else if (t != NULL && t->shape == SHAPE_ARRAY) {
		good = put_array(b, t->element, text);
	} else if (t != NULL) {
		good = t->shape == SHAPE_NUMBER
			   ? jsontext_is_number(text)
			   : jsontext_is_valid(text, DEPTH_MAX, JSONTEXT_ANY_STRINGS);
		if (good)
			buf_slice(b, text);
	}
	if (!good)
		sqljson_put_string(b, text);
}
