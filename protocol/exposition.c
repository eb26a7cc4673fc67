/* SPDX-License-Identifier: PostgreSQL
 *
 * Sources: "Exposition formats" and "Native Histograms" of Prometheus' documentation, the
 * OpenMetrics 1.0 specification, and the field numbers of io.prometheus.client in client_model.
 */
#include "config.h"

#include "protocol/exposition.h"

#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "base/utf8.h"

/* ---- what is asked for ---- */

static const struct {
	const char *media, *content;
} formats[] = {
	[EXPOSITION_TEXT] = { "text/plain", "text/plain; version=0.0.4; charset=utf-8" },
	[EXPOSITION_OPENMETRICS] = { "application/openmetrics-text",
				     "application/openmetrics-text; version=1.0.0; charset=utf-8" },
	[EXPOSITION_PROTOBUF] = { "application/vnd.google.protobuf",
				  "application/vnd.google.protobuf; "
				  "proto=io.prometheus.client.MetricFamily; encoding=delimited" },
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

const char *
exposition_content_type(enum exposition_format f)
{
	return formats[f].content;
}

/* Of one media range: its quality, and whether its parameters leave the form in question. */
static bool
read_parameters(struct slice rest, double *quality)
{
	*quality = 1;
	while (rest.n > 0) {
		struct slice value = slice_trim(slice_cut(&rest, ';'));
		struct slice name = slice_trim(slice_cut(&value, '='));

		value = slice_trim(value);
		if (slice_is_nocase(name, "q") && !text_to_double(value, quality))
			return false;
		if (slice_is_nocase(name, "proto") &&
		    !slice_is(value, "io.prometheus.client.MetricFamily"))
			return false;
		if (slice_is_nocase(name, "encoding") && !slice_is(value, "delimited"))
			return false;
	}
	return *quality > 0;
}

enum exposition_format
exposition_accept(const struct http_head *h)
{
	enum exposition_format best = EXPOSITION_TEXT;
	double best_quality = 0, quality;
	struct slice list;
	size_t at = 0;

	while (http_header_next(h, "Accept", &at, &list)) {
		while (list.n > 0) {
			struct slice range = slice_cut(&list, ',');
			struct slice media = slice_trim(slice_cut(&range, ';'));
			unsigned f = 0;

			while (f < FORMATS && !slice_is_nocase(media, formats[f].media))
				f++;
			if (f == FORMATS || !read_parameters(range, &quality) ||
			    quality < best_quality || (quality == best_quality && f < best))
				continue;
			best = (enum exposition_format)f;
			best_quality = quality;
		}
	}
	return best;
}

const char *
metric_type_name(enum metric_type t)
{
	static const char *const names[] = { "counter", "gauge", "histogram" };

	return names[t];
}

/* ---- protobuf ---- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static size_t
encode_varint(uint64_t v, char to[10])
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		to[n++] = (char)((v & 0x7f) | 0x80);
	to[n++] = (char)v;
	return n;
}

static void
pb_varint(struct buf *b, uint64_t v)
{
	char bytes[10];

	buf_put(b, bytes, encode_varint(v, bytes));
}

static void
pb_tag(struct buf *b, unsigned field, unsigned wire)
{
	pb_varint(b, (uint64_t)field << 3 | wire);
}

static void
pb_uint(struct buf *b, unsigned field, uint64_t v)
{
	pb_tag(b, field, WIRE_VARINT);
	pb_varint(b, v);
}

/* Small numbers of either sign: 0, -1, 1, -2 … */
static uint64_t
zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static void
pb_double(struct buf *b, unsigned field, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pb_tag(b, field, WIRE_FIXED64);
	for (unsigned i = 0; i < 8; i++)
		buf_u8(b, (uint8_t)(bits >> (8 * i)));
}

/* What is written until pb_close() stands behind its length. */
static size_t
pb_open(struct buf *b, unsigned field)
{
	pb_tag(b, field, WIRE_BYTES);
	return b->n;
}

static void
pb_close(struct buf *b, size_t at)
{
	char length[10];
	size_t n;

	if (b->failed)
		return;
	n = encode_varint(b->n - at, length);
	if (buf_reserve(b, n) == NULL)
		return;
	if (b->n > at)
		memmove(b->p + at + n, b->p + at, b->n - at);
	memcpy(b->p + at, length, n);
	b->n += n;
}

static void
pb_text(struct buf *b, unsigned field, struct slice s)
{
	size_t at = pb_open(b, field);

	utf8_put(b, s);
	pb_close(b, at);
}

/* Fields of the messages of io.prometheus.client. */
enum { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4 };
enum { METRIC_LABEL = 1, METRIC_AS_GAUGE = 2, METRIC_AS_COUNTER = 3, METRIC_AS_HISTOGRAM = 7 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { VALUE = 1 }; /* of Gauge and Counter */
enum {
	HISTOGRAM_COUNT = 1,
	HISTOGRAM_SUM = 2,
	HISTOGRAM_BUCKET = 3,
	HISTOGRAM_SCHEMA_FIELD = 5,
	HISTOGRAM_ZERO_THRESHOLD = 6,
	HISTOGRAM_ZERO_COUNT = 7,
	HISTOGRAM_SPAN = 12,
	HISTOGRAM_DELTA = 13,
};
enum { BUCKET_COUNT = 1, BUCKET_BOUND = 2 };
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };

static void
pb_labels(struct buf *b, const struct metric_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = pb_open(b, METRIC_LABEL);

		pb_text(b, LABEL_NAME, slice_str(labels[i].name));
		pb_text(b, LABEL_VALUE, labels[i].value);
		pb_close(b, at);
	}
}

static void
pb_span(struct buf *b, int offset, unsigned length)
{
	size_t at = pb_open(b, HISTOGRAM_SPAN);

	pb_uint(b, SPAN_OFFSET, zigzag(offset));
	pb_uint(b, SPAN_LENGTH, length);
	pb_close(b, at);
}

/* Runs of buckets that are not empty, each by its distance from the end of the one before it. None
 * at all would make the histogram a classic one: an empty run says that it is not. */
static void
pb_spans(struct buf *b, const struct histogram_view *h)
{
	int end = 0; /* index behind the last run */
	bool any = false;

	for (int i = 0; i < HISTOGRAM_NATIVE; i++) {
		int from = i;

		while (i < HISTOGRAM_NATIVE && h->native[i] > 0)
			i++;
		if (i == from)
			continue;
		pb_span(b, HISTOGRAM_FIRST + from - end, (unsigned)(i - from));
		end = HISTOGRAM_FIRST + i;
		any = true;
	}
	if (!any)
		pb_span(b, 0, 0);
}

static void
pb_histogram(struct buf *b, const struct histogram_view *h)
{
	size_t at = pb_open(b, METRIC_AS_HISTOGRAM), deltas;
	uint64_t before = 0;

	pb_uint(b, HISTOGRAM_COUNT, h->count);
	pb_double(b, HISTOGRAM_SUM, h->sum_s);
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		size_t bucket = pb_open(b, HISTOGRAM_BUCKET);

		pb_uint(b, BUCKET_COUNT, h->classic[i]);
		pb_double(b, BUCKET_BOUND, histogram_bound_s(i));
		pb_close(b, bucket);
	}
	pb_uint(b, HISTOGRAM_SCHEMA_FIELD, zigzag(HISTOGRAM_SCHEMA));
	pb_double(b, HISTOGRAM_ZERO_THRESHOLD, 0);
	pb_uint(b, HISTOGRAM_ZERO_COUNT, h->zero);
	pb_spans(b, h);
	/* the counts of the buckets that are not empty, each as the difference to the one before */
	deltas = pb_open(b, HISTOGRAM_DELTA);
	for (unsigned i = 0; i < HISTOGRAM_NATIVE; i++) {
		if (h->native[i] == 0)
			continue;
		pb_varint(b, zigzag((int64_t)(h->native[i] - before)));
		before = h->native[i];
	}
	pb_close(b, deltas);
	pb_close(b, at);
}

/* ---- text ---- */

static void
put_number(struct buf *b, double v)
{
	if (v == floor(v) && fabs(v) < 9007199254740992.0)
		buf_printf(b, "%.0f", v);
	else
		buf_printf(b, "%.15g", v);
}

static void
put_escaped(struct buf *b, struct slice s, bool quotes)
{
	while (s.n > 0) {
		size_t n = utf8_sequence(s);

		if (s.p[0] == '\\' || (quotes && s.p[0] == '"'))
			buf_printf(b, "\\%c", s.p[0]);
		else if (s.p[0] == '\n')
			buf_str(b, "\\n");
		else
			utf8_put(b, slice_of(s.p, n > 0 ? n : 1));
		s = slice_skip(s, n > 0 ? n : 1);
	}
}

/* {a="x",b="y"}; `bound` is a histogram's le, or NULL. */
static void
put_labels(struct buf *b, const struct metric_label *labels, size_t n, const char *bound)
{
	if (n == 0 && bound == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
		put_escaped(b, labels[i].value, true);
		buf_u8(b, '"');
	}
	if (bound != NULL)
		buf_printf(b, "%cle=\"%s\"", n == 0 ? '{' : ',', bound);
	buf_u8(b, '}');
}

static void
put_sample(struct exposition *x, const char *suffix, const struct metric_label *labels, size_t n,
	   const char *bound)
{
	buf_str(x->out, x->family->name);
	buf_str(x->out, suffix);
	put_labels(x->out, labels, n, bound);
	buf_u8(x->out, ' ');
}

/* ---- either ---- */

void
exposition_begin(struct exposition *x, const struct metric_family *family)
{
	x->family = family;
	if (x->format == EXPOSITION_PROTOBUF) {
		static const uint8_t types[] = {
			[METRIC_COUNTER] = 0, [METRIC_GAUGE] = 1, [METRIC_HISTOGRAM] = 4
		};
		struct buf *b = x->out;
		size_t at;

		x->at = b->n;
		at = pb_open(b, FAMILY_NAME);
		buf_str(b, x->family->name);
		if (x->family->type == METRIC_COUNTER)
			buf_str(b, "_total");
		pb_close(b, at);
		pb_text(b, FAMILY_HELP, slice_str(x->family->help));
		pb_uint(b, FAMILY_TYPE, types[x->family->type]);
	} else {
		const struct metric_family *f = x->family;
		const char *total =
		    f->type == METRIC_COUNTER && x->format == EXPOSITION_TEXT ? "_total" : "";

		/* Text says "_total" in a counter's own name, OpenMetrics only in its samples'. */
		buf_printf(x->out, "# HELP %s%s ", f->name, total);
		put_escaped(x->out, slice_str(f->help), x->format == EXPOSITION_OPENMETRICS);
		buf_printf(x->out, "\n# TYPE %s%s %s\n", f->name, total, metric_type_name(f->type));
	}
}

void
exposition_value(struct exposition *x, const struct metric_label *labels, size_t n, double v)
{
	bool counter = x->family->type == METRIC_COUNTER;
	size_t at, value_at;

	if (x->format != EXPOSITION_PROTOBUF) {
		put_sample(x, counter ? "_total" : "", labels, n, NULL);
		put_number(x->out, v);
		buf_u8(x->out, '\n');
		return;
	}
	at = pb_open(x->out, FAMILY_METRIC);
	pb_labels(x->out, labels, n);
	value_at = pb_open(x->out, counter ? METRIC_AS_COUNTER : METRIC_AS_GAUGE);
	pb_double(x->out, VALUE, v);
	pb_close(x->out, value_at);
	pb_close(x->out, at);
}

void
exposition_histogram(struct exposition *x, const struct metric_label *labels, size_t n,
		     const struct histogram_view *h)
{
	size_t at;

	if (x->format != EXPOSITION_PROTOBUF) {
		char bound[32];

		for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
			double le = histogram_bound_s(i);

			/* OpenMetrics wants each bound to look like a float */
			snprintf(bound, sizeof(bound), le == floor(le) ? "%.1f" : "%.15g", le);
			put_sample(x, "_bucket", labels, n, bound);
			buf_printf(x->out, "%llu\n", (unsigned long long)h->classic[i]);
		}
		put_sample(x, "_bucket", labels, n, "+Inf");
		buf_printf(x->out, "%llu\n", (unsigned long long)h->count);
		put_sample(x, "_sum", labels, n, NULL);
		put_number(x->out, h->sum_s);
		buf_u8(x->out, '\n');
		put_sample(x, "_count", labels, n, NULL);
		buf_printf(x->out, "%llu\n", (unsigned long long)h->count);
		return;
	}
	at = pb_open(x->out, FAMILY_METRIC);
	pb_labels(x->out, labels, n);
	pb_histogram(x->out, h);
	pb_close(x->out, at);
}

void
exposition_end(struct exposition *x)
{
	if (x->format == EXPOSITION_PROTOBUF)
		pb_close(x->out, x->at);
}

void
exposition_finish(struct exposition *x)
{
	if (x->format == EXPOSITION_OPENMETRICS)
		buf_str(x->out, "# EOF\n");
}
