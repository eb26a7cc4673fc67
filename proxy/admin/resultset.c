/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/resultset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "protocol/message.h"

/* Seconds from 1970 to 2000, where PostgreSQL's binary timestamps begin. */
#define POSTGRES_EPOCH INT64_C(946684800)

static const struct {
	uint32_t oid;
	int16_t size;
	const char *name;
} types[] = {
	[COLUMN_BOOL] = { 16, 1, "boolean" }, [COLUMN_INT4] = { 23, 4, "integer" },
	[COLUMN_INT8] = { 20, 8, "bigint" },  [COLUMN_FLOAT8] = { 701, 8, "double precision" },
	[COLUMN_TEXT] = { 25, -1, "text" },   [COLUMN_TIME] = { 1184, 8, "timestamptz" },
};

enum column_type
column_type(const struct column *c)
{
	return (enum column_type)(c->type & 0xff);
}

const char *
column_type_name(enum column_type type)
{
	return types[type].name;
}

static unsigned
everyday_width(const struct column *c)
{
	return c->type >> 8;
}

bool
heading_has(const struct heading *h, uint16_t i)
{
	return !h->everyday || everyday_width(&h->columns[i]) > 0;
}

uint16_t
heading_count(const struct heading *h)
{
	uint16_t shown = 0;

	for (uint16_t i = 0; i < h->n; i++)
		shown += heading_has(h, i);
	return shown;
}

void
rows_init(struct rows *r, const struct heading *h, uint64_t binary)
{
	BUG_ON(h->n > COLUMNS_MAX);
	*r = (struct rows){ .heading = *h, .binary = binary };
}

void
rows_like(struct rows *r, const struct rows *model)
{
	rows_init(r, &model->heading, model->binary);
}

void
rows_fini(struct rows *r)
{
	buf_fini(&r->out);
}

void
row_begin(struct rows *r)
{
	r->at_column = r->at_shown = 0;
	r->message = message_row_begin(&r->out, heading_count(&r->heading));
}

void
row_end(struct rows *r)
{
	BUG_ON(r->at_column != r->heading.n);
	buf_message_end(&r->out, r->message);
	r->n++;
}

/* Takes the next column, which the value belongs to; NULL where it is not shown. */
static const struct column *
next_column(struct rows *r)
{
	uint16_t i = r->at_column++;

	BUG_ON(i >= r->heading.n);
	if (!heading_has(&r->heading, i))
		return NULL;
	r->at_shown++;
	return &r->heading.columns[i];
}

static const struct column *
next_of_type(struct rows *r, enum column_type a, enum column_type b)
{
	const struct column *c = next_column(r), *told = &r->heading.columns[r->at_column - 1];

	BUG_ON(column_type(told) != a && column_type(told) != b);
	return c;
}

/* Whether the client wants the column that was taken last in binary. */
static bool
is_binary(const struct rows *r)
{
	return r->binary >> (r->at_shown - 1) & 1;
}

static void
put_big_endian(struct rows *r, uint64_t v, size_t n)
{
	char bytes[8];

	put_u32(bytes, (uint32_t)(v >> 32));
	put_u32(bytes + 4, (uint32_t)v);
	message_row_value(&r->out, slice_of(bytes + 8 - n, n));
}

void
row_null(struct rows *r)
{
	if (next_column(r) != NULL)
		message_row_null(&r->out);
}

void
row_bool(struct rows *r, bool v)
{
	if (next_of_type(r, COLUMN_BOOL, COLUMN_BOOL) == NULL)
		return;
	if (is_binary(r))
		put_big_endian(r, v, 1);
	else
		message_row_value(&r->out, slice_str(v ? "t" : "f"));
}

void
row_int(struct rows *r, int64_t v)
{
	const struct column *c = next_of_type(r, COLUMN_INT4, COLUMN_INT8);
	char text[24];

	if (c == NULL)
		return;
	if (is_binary(r)) {
		put_big_endian(r, (uint64_t)v, column_type(c) == COLUMN_INT8 ? 8 : 4);
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)v);
	message_row_value(&r->out, slice_str(text));
}

void
row_count(struct rows *r, uint64_t v)
{
	row_int(r, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

void
row_int_known(struct rows *r, int64_t v)
{
	if (v < 0)
		row_null(r);
	else
		row_int(r, v);
}

void
row_float(struct rows *r, double v)
{
	char text[32];
	uint64_t bits;

	if (next_of_type(r, COLUMN_FLOAT8, COLUMN_FLOAT8) == NULL)
		return;
	if (is_binary(r)) {
		memcpy(&bits, &v, sizeof(bits));
		put_big_endian(r, bits, 8);
		return;
	}
	/* the shortest decimal that reads back as the same number, as float8out prints it */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	message_row_value(&r->out, slice_str(text));
}

void
row_ms(struct rows *r, int64_t us)
{
	if (us < 0)
		row_null(r);
	else
		row_float(r, (double)us / 1000.0);
}

const char *
time_text(int64_t wall_us, char to[TIME_TEXT_MAX])
{
	int64_t fraction = wall_us % USEC_PER_SEC;
	time_t seconds = (time_t)(wall_us / USEC_PER_SEC);
	char date[40];
	struct tm tm;

	if (fraction < 0) {
		fraction += USEC_PER_SEC;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(to, TIME_TEXT_MAX, "%s.%06d+00", date, (int)fraction);
	return to;
}

void
row_time(struct rows *r, int64_t wall_us)
{
	char text[TIME_TEXT_MAX];

	if (next_of_type(r, COLUMN_TIME, COLUMN_TIME) == NULL)
		return;
	if (is_binary(r)) {
		put_big_endian(r, (uint64_t)(wall_us - POSTGRES_EPOCH * USEC_PER_SEC), 8);
		return;
	}
	message_row_value(&r->out, slice_str(time_text(wall_us, text)));
}

static bool
is_plain(struct slice v)
{
	size_t i = 0;

	while (i < v.n && v.p[i] >= ' ' && v.p[i] < 127)
		i++;
	return i == v.n;
}

/* Appends text with control characters as PostgreSQL shows those of an application_name: \x1b. */
static void
put_visible(struct buf *b, struct slice v, const char *but)
{
	struct buf valid = { 0 };
	struct slice rest;
	size_t n;

	utf8_put(&valid, v);
	for (rest = buf_view(&valid); rest.n > 0; rest = slice_skip(rest, n)) {
		n = utf8_sequence(rest);
		if (!utf8_is_control(rest.p, n) || strchr(but, *rest.p) != NULL) {
			buf_put(b, rest.p, n);
			continue;
		}
		for (size_t i = 0; i < n; i++)
			buf_printf(b, "\\x%02x", (unsigned char)rest.p[i]);
	}
	buf_fini(&valid);
}

/* How many bytes of valid text fit `width` characters of a terminal, on which those of three bytes
 * and more (Chinese, Japanese, Korean …) may take two. */
static size_t
fitting(struct slice v, size_t width)
{
	size_t done = 0, used = 0;

	while (done < v.n) {
		size_t n = utf8_sequence(slice_skip(v, done));

		used += n > 2 ? 2 : 1;
		if (used > width)
			break;
		done += n;
	}
	return done;
}

/* Adds valid text as a value, cut to the width of its column where that has one. */
static void
put_cut(struct rows *r, const struct column *c, struct slice v)
{
	unsigned width = everyday_width(c);
	struct buf cut = { 0 };

	if (!r->heading.everyday || width == UINT8_MAX || fitting(v, width) == v.n) {
		message_row_value(&r->out, v);
		return;
	}
	buf_put(&cut, v.p, fitting(v, width - 1));
	buf_str(&cut, "\xe2\x80\xa6"); /* … */
	message_row_value(&r->out, buf_view(&cut));
	buf_fini(&cut);
}

static void
put_text(struct rows *r, struct slice v, const char *but)
{
	/* the same bytes in both formats */
	const struct column *c = next_of_type(r, COLUMN_TEXT, COLUMN_TEXT);
	struct buf safe = { 0 };

	if (c == NULL)
		return;
	if (v.n == 0)
		v = SLICE_LITERAL("");
	if (is_plain(v)) {
		put_cut(r, c, v);
		return;
	}
	put_visible(&safe, v, but);
	put_cut(r, c, buf_view(&safe));
	buf_fini(&safe);
}

void
row_text(struct rows *r, struct slice v)
{
	put_text(r, v, "");
}

void
row_lines(struct rows *r, const char *v)
{
	if (v == NULL)
		row_null(r);
	else
		put_text(r, slice_str(v), "\n\t");
}

void
row_addresses(struct rows *r, const struct addr *v, unsigned n)
{
	char one[ADDR_TEXT_MAX];
	struct buf text = { 0 };

	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", addr_print(&v[i], one));
	row_text(r, buf_view(&text));
	buf_fini(&text);
}

void
row_str(struct rows *r, const char *v)
{
	if (v == NULL)
		row_null(r);
	else
		row_text(r, slice_str(v));
}

void
row_printf(struct rows *r, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	row_text(r, buf_view(&text));
	buf_fini(&text);
}

void
rows_describe(struct buf *out, const struct heading *h, uint64_t binary)
{
	struct message_column described[COLUMNS_MAX];
	uint16_t n = 0;

	BUG_ON(h->n > COLUMNS_MAX);
	for (uint16_t i = 0; i < h->n; i++) {
		if (!heading_has(h, i))
			continue;
		described[n] = (struct message_column){
			.name = h->columns[i].name,
			.type_oid = types[column_type(&h->columns[i])].oid,
			.type_size = types[column_type(&h->columns[i])].size,
			.format = (int16_t)(binary >> n & 1),
		};
		n++;
	}
	message_put_row_description(out, described, n);
}
