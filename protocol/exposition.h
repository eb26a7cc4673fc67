/* SPDX-License-Identifier: PostgreSQL
 *
 * Metrics as monitoring systems scrape them, in three forms: Prometheus' text (0.0.4), OpenMetrics
 * text (1.0.0), and Prometheus' protobuf form (io.prometheus.client.MetricFamily, each message
 * behind its length), which alone can carry native histograms. Pure: values in, bytes out; knows
 * nothing of what is measured.
 *
 * Write families one by one: exposition_begin(), samples, exposition_end(); then
 * exposition_finish(). Errors: the buffer's own `failed`.
 */
#ifndef PROTOCOL_EXPOSITION_H
#define PROTOCOL_EXPOSITION_H

#include "base/buf.h"
#include "base/histogram.h"
#include "protocol/http.h"

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF };

/* What a scraper's Accept headers ask for: the form of the highest quality that they name, the
 * richer one of two equals, and text where they name none. */
enum exposition_format exposition_accept(const struct http_head *h);
const char *exposition_content_type(enum exposition_format f);

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
const char *metric_type_name(enum metric_type t); /* "counter", "gauge", "histogram" */

/* A counter's name stands here without the "_total" that its samples bear. */
struct metric_family {
	const char *name, *help;
	enum metric_type type;
};

struct metric_label {
	const char *name;
	struct slice value; /* what is not valid UTF-8 in it is replaced */
};

struct exposition {
	struct buf *out;
	enum exposition_format format;
	const struct metric_family *family;
	size_t at; /* protobuf: where the family's message began */
};

void exposition_begin(struct exposition *x, const struct metric_family *family);
void exposition_value(struct exposition *x, const struct metric_label *labels, size_t n, double v);
void exposition_histogram(struct exposition *x, const struct metric_label *labels, size_t n,
			  const struct histogram_view *h);
void exposition_end(struct exposition *x);
void exposition_finish(struct exposition *x);

#endif
