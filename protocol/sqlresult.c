/* SPDX-License-Identifier: PostgreSQL
 *
 * A server's messages as the JSON of an answer. Formats: PostgreSQL documentation, "Message
 * Formats" and "Error and Notice Message Fields".
 */
#include "config.h"

#include "protocol/sqljson.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "protocol/message.h"

#define COLUMN_BYTES 18 /* of a RowDescription, behind the name */
#define LABELS_MAX   ((size_t)16 << 20)

void
sqljson_result_init(struct sqljson_result *r, bool raw, bool array)
{
	*r = (struct sqljson_result){ .raw = raw, .array = array, .labels = { .cap = LABELS_MAX } };
}

void
sqljson_result_fini(struct sqljson_result *r)
{
	free(r->types);
	buf_fini(&r->labels);
	sqljson_result_init(r, r->raw, r->array);
}

enum parse
sqljson_put_fields(struct buf *b, struct sqljson_result *r, struct slice body)
{
	struct slice name;

	if (body.n < 2 || r->begun)
		return PARSE_BAD;
	r->begun = true;
	r->ncolumns = get_u16(body.p);
	body = slice_skip(body, 2);
	r->types = xreallocarray(r->types, r->ncolumns + 1u, sizeof(r->types[0]));
	buf_str(b, "{\"fields\":[");
	for (unsigned i = 0; i < r->ncolumns; i++) {
		if (!message_next_cstr(&body, &name) || body.n < COLUMN_BYTES)
			return PARSE_BAD;
		r->types[i] = get_u32(body.p + 6);
		buf_str(b, i > 0 ? "," : "");
		buf_str(b, "{\"name\":");
		sqljson_put_string(b, name);
		buf_printf(b,
			   ",\"tableID\":%" PRIu32 ",\"columnID\":%d,\"dataTypeID\":%" PRIu32
			   ",\"dataTypeSize\":%d,\"dataTypeModifier\":%" PRId32
			   ",\"format\":\"text\"}",
			   get_u32(body.p), (int16_t)get_u16(body.p + 4), get_u32(body.p + 6),
			   (int16_t)get_u16(body.p + 10), (int32_t)get_u32(body.p + 12));
		if (!r->array) {
			size_t at = r->labels.n;

			/* `"name":`, as it stands in front of the value in a row that is an object.
			 */
			buf_u32(&r->labels, 0);
			sqljson_put_string(&r->labels, name);
			buf_u8(&r->labels, ':');
			if (!r->labels.failed)
				put_u32(r->labels.p + at, (uint32_t)(r->labels.n - at - 4));
		}
		body = slice_skip(body, COLUMN_BYTES);
	}
	buf_str(b, "],\"rows\":[");
	b->failed = b->failed || r->labels.failed;
	return body.n == 0 ? PARSE_DONE : PARSE_BAD;
}

enum parse
sqljson_put_row(struct buf *b, struct sqljson_result *r, struct slice body)
{
	struct slice labels = buf_view(&r->labels);

	if (!r->begun || r->labels.failed || body.n < 2 || get_u16(body.p) != r->ncolumns)
		return PARSE_BAD;
	body = slice_skip(body, 2);
	buf_str(b, r->nrows++ > 0 ? "," : "");
	buf_u8(b, r->array ? '[' : '{');
	for (unsigned i = 0; i < r->ncolumns; i++) {
		struct slice value;

		if (!message_next_value(&body, &value))
			return PARSE_BAD;
		buf_str(b, i > 0 ? "," : "");
		if (!r->array) {
			size_t n = get_u32(labels.p);

			buf_put(b, labels.p + 4, n);
			labels = slice_skip(labels, 4 + n);
		}
		if (value.p == NULL)
			buf_str(b, "null");
		else if (r->raw)
			sqljson_put_string(b, value);
		else
			sqljson_put_value(b, r->types[i], value);
	}
	buf_u8(b, r->array ? ']' : '}');
	return body.n == 0 ? PARSE_DONE : PARSE_BAD;
}

enum parse
sqljson_put_complete(struct buf *b, struct sqljson_result *r, struct slice body)
{
	struct slice tag = slice_of("", 0), command, count;
	int64_t n;

	if (body.n > 0 && (!message_next_cstr(&body, &tag) || body.n > 0))
		return PARSE_BAD;
	if (!r->begun)
		buf_str(b, "{\"fields\":[],\"rows\":[");
	command = slice_cut(&tag, ' ');
	if (slice_is(command, "INSERT"))
		(void)slice_cut(&tag, ' '); /* an object id, once */
	count = slice_cut(&tag, ' ');
	buf_str(b, "],\"command\":");
	sqljson_put_string(b, command);
	if (text_to_int(count, 0, INT64_MAX, &n))
		buf_printf(b, ",\"rowCount\":%" PRId64, n);
	else
		buf_str(b, ",\"rowCount\":null");
	buf_printf(b, ",\"rowAsArray\":%s}", r->array ? "true" : "false");
	return PARSE_DONE;
}

/* ---- errors ---- */

static const struct {
	char type; /* of the field in an ErrorResponse */
	const char *name;
} members[] = {
	{ 'M', "message" },
	{ 'S', "severity" },
	{ 'C', "code" },
	{ 'D', "detail" },
	{ 'H', "hint" },
	{ 'P', "position" },
	{ 'p', "internalPosition" },
	{ 'q', "internalQuery" },
	{ 'W', "where" },
	{ 's', "schema" },
	{ 't', "table" },
	{ 'c', "column" },
	{ 'd', "dataType" },
	{ 'n', "constraint" },
	{ 'F', "file" },
	{ 'L', "line" },
	{ 'R', "routine" },
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static void
put_members(struct buf *b, const struct slice values[MEMBERS])
{
	for (size_t i = 0; i < MEMBERS; i++) {
		buf_printf(b, "%s\"%s\":", i > 0 ? "," : "{", members[i].name);
		if (values[i].p == NULL)
			buf_str(b, "null");
		else
			sqljson_put_string(b, values[i]);
	}
	buf_u8(b, '}');
}

enum parse
sqljson_put_report(struct buf *b, struct slice body)
{
	struct slice values[MEMBERS] = { 0 }, value;

	while (body.n > 0 && body.p[0] != '\0') {
		char type = body.p[0];

		body = slice_skip(body, 1);
		if (!message_next_cstr(&body, &value))
			return PARSE_BAD;
		for (size_t i = 0; i < MEMBERS; i++)
			if (members[i].type == type)
				values[i] = value;
	}
	put_members(b, values);
	return PARSE_DONE;
}

void
sqljson_put_error(struct buf *b, const char *severity, const struct err *e)
{
	struct slice values[MEMBERS] = {
		slice_str(e->msg),
		slice_str(severity),
		e->sqlstate[0] != '\0' ? slice_str(e->sqlstate) : slice_str("XX000"),
	};

	if (e->detail[0] != '\0')
		values[3] = slice_str(e->detail);
	if (e->hint[0] != '\0')
		values[4] = slice_str(e->hint);
	put_members(b, values);
}
