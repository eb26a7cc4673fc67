/* SPDX-License-Identifier: PostgreSQL
 *
 * Typed columns and the rows under them, built straight as DataRow messages in the formats that the
 * client asked for. This module knows no commands; any thread may build rows into its own struct
 * rows.
 *
 * Text that came from the wire is made valid UTF-8 on the way out, without control characters,
 * because psql prints them as they are in its unaligned output. Times are shown in UTC and
 * DateStyle ISO. The binary forms follow PostgreSQL's boolsend, int4send, int8send, float8send,
 * textsend, timestamptz_send.
 */
#ifndef PROXY_ADMIN_RESULTSET_H
#define PROXY_ADMIN_RESULTSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/slice.h"

enum column_type {
	COLUMN_BOOL,
	COLUMN_INT4,
	COLUMN_INT8,
	COLUMN_FLOAT8,
	COLUMN_TEXT,
	COLUMN_TIME, /* timestamptz */
};

struct column {
	const char *name;
	unsigned type; /* enum column_type, perhaps with EVERYDAY() or EVERYDAY_CUT() */
};

/* EVERYDAY marks a column that the short form of a listing has too; EVERYDAY_CUT one whose text is
 * cut there to `width` characters (at most 255). */
#define EVERYDAY(type)            ((type) | 0xff00U)
#define EVERYDAY_CUT(type, width) ((type) | (width) << 8)
#define COLUMNS_MAX               64

enum column_type column_type(const struct column *c);
/* The name that PostgreSQL has for the type, such as "bigint". */
const char *column_type_name(enum column_type type);

/* The columns of a table, and which of them are shown. */
struct heading {
	const struct column *columns; /* borrowed */
	uint16_t n;
	bool everyday; /* only the EVERYDAY columns are shown */
};

bool heading_has(const struct heading *h, uint16_t i);
/* How many columns are shown. */
uint16_t heading_count(const struct heading *h);

struct rows {
	struct buf out; /* DataRow messages */
	struct heading heading;
	uint64_t binary; /* bit i: the i-th column that is shown is in binary */
	uint64_t n;      /* rows built */
	/* the row that is being built */
	uint16_t at_column, at_shown;
	size_t message;
};

void rows_init(struct rows *r, const struct heading *h, uint64_t binary);
/* Makes *r empty with the columns and formats of `model`, for a thread that builds some of its
 * rows. */
void rows_like(struct rows *r, const struct rows *model);
void rows_fini(struct rows *r);

/* A row: begin, one call per column in order, end. The type of the call must be the column's.
 * The caller gives values of columns that are not shown too; they are dropped. */
void row_begin(struct rows *r);
void row_null(struct rows *r);
void row_bool(struct rows *r, bool v);
void row_int(struct rows *r, int64_t v); /* INT4 and INT8 */
void row_count(struct rows *r, uint64_t v);
void row_float(struct rows *r, double v);
void row_time(struct rows *r, int64_t wall_us); /* microseconds since 1970 */
void row_text(struct rows *r, struct slice v);
void row_addresses(struct rows *r, const struct addr *v, unsigned n); /* "a, b" */
void row_str(struct rows *r, const char *v);                          /* NULL pointer: NULL */
void row_lines(struct rows *r, const char *v); /* the same of a text with several lines */
void row_printf(struct rows *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds an integer, or NULL where v < 0. */
void row_int_known(struct rows *r, int64_t v);
/* Adds microseconds as milliseconds with three decimals, or NULL where us < 0. */
void row_ms(struct rows *r, int64_t us);
void row_end(struct rows *r);

/* Writes a time as PostgreSQL shows a timestamptz; returns `to`. */
#define TIME_TEXT_MAX 64
const char *time_text(int64_t wall_us, char to[TIME_TEXT_MAX]);

/* Appends RowDescription with the formats that `binary` says. */
void rows_describe(struct buf *out, const struct heading *h, uint64_t binary);

#endif
