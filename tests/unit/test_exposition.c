/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/exposition.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#include "tests/unit/unit.h"

static const struct metric_family requests = { "requests", "asked \\ for\nor \"not\"",
					       METRIC_COUNTER };
static const struct metric_family level = { "level", "how high", METRIC_GAUGE };
static const struct metric_family wait = { "wait_seconds", "how long", METRIC_HISTOGRAM };

static struct metric_label
label(const char *name, const char *value)
{
	return (struct metric_label){ name, slice_str(value) };
}

static void
put_two_families(struct exposition *x)
{
	struct metric_label labels[] = { label("region", "us-east1"), label("node", "a\"\\b\nc") };

	exposition_begin(x, &requests);
	exposition_value(x, labels, 2, 12345678901234.0);
	exposition_end(x);
	exposition_begin(x, &level);
	exposition_value(x, NULL, 0, 0.1);
	exposition_value(x, labels, 1, -2);
	exposition_end(x);
	exposition_finish(x);
}

static void
text_is_prometheus_text(void **arg)
{
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_TEXT };

	(void)arg;
	put_two_families(&x);
	assert_string_equal(
	    buf_text(&b),
	    "# HELP requests_total asked \\\\ for\\nor \"not\"\n"
	    "# TYPE requests_total counter\n"
	    "requests_total{region=\"us-east1\",node=\"a\\\"\\\\b\\nc\"} 12345678901234\n"
	    "# HELP level how high\n"
	    "# TYPE level gauge\n"
	    "level 0.1\n"
	    "level{region=\"us-east1\"} -2\n");
	buf_fini(&b);
}

static void
openmetrics_names_families_without_total_and_says_that_it_ends(void **arg)
{
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_OPENMETRICS };

	(void)arg;
	put_two_families(&x);
	assert_string_equal(
	    buf_text(&b),
	    "# HELP requests asked \\\\ for\\nor \\\"not\\\"\n"
	    "# TYPE requests counter\n"
	    "requests_total{region=\"us-east1\",node=\"a\\\"\\\\b\\nc\"} 12345678901234\n"
	    "# HELP level how high\n"
	    "# TYPE level gauge\n"
	    "level 0.1\n"
	    "level{region=\"us-east1\"} -2\n"
	    "# EOF\n");
	buf_fini(&b);
}

static void
what_is_not_utf8_is_replaced(void **arg)
{
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_TEXT };
	struct metric_label labels[] = { label("city", "k\xc3\xb6ln\xff") };

	(void)arg;
	exposition_begin(&x, &level);
	buf_clear(&b);
	exposition_value(&x, labels, 1, 1);
	assert_string_equal(buf_text(&b), "level{city=\"k\xc3\xb6ln\xef\xbf\xbd\"} 1\n");
	buf_fini(&b);
}

/* 1 s twice (native bucket 0), 1.05 s (1) and 3 s (13); the last is in no classic bucket up to
 * 2.5 s. */
static struct histogram_view
some_view(void)
{
	struct histogram *h = xcalloc(1, sizeof(*h));
	struct histogram_view v;

	histogram_observe(h, 1000000);
	histogram_observe(h, 1000000);
	histogram_observe(h, 1050000);
	histogram_observe(h, 3000000);
	histogram_read(h, &v);
	free(h);
	return v;
}

static void
a_histogram_in_text_has_classic_buckets(void **arg)
{
	struct histogram_view v = some_view();
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_TEXT };
	struct metric_label labels[] = { label("a", "b") };
	const char *text;

	(void)arg;
	exposition_begin(&x, &wait);
	exposition_histogram(&x, labels, 1, &v);
	exposition_end(&x);
	text = buf_text(&b);
	assert_non_null(strstr(text, "# TYPE wait_seconds histogram\n"));
	assert_non_null(strstr(text, "wait_seconds_bucket{a=\"b\",le=\"0.0005\"} 0\n"));
	assert_non_null(strstr(text, "wait_seconds_bucket{a=\"b\",le=\"1.0\"} 2\n"
				     "wait_seconds_bucket{a=\"b\",le=\"2.5\"} 3\n"
				     "wait_seconds_bucket{a=\"b\",le=\"5.0\"} 4\n"));
	assert_non_null(strstr(text, "wait_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n"
				     "wait_seconds_sum{a=\"b\"} 6.05\n"
				     "wait_seconds_count{a=\"b\"} 4\n"));
	buf_fini(&b);
}

static void
a_gauge_in_protobuf_is_a_family_behind_its_length(void **arg)
{
	static const char expected[] = "\x34" /* 52 bytes */
				       "\x0a\x05level"
				       "\x12\x08how high"
				       "\x18\x01" /* GAUGE */
				       "\x22\x1f"
				       "\x0a\x12"
				       "\x0a\x06region\x12\x08us-east1"
				       "\x12\x09\x09\x00\x00\x00\x00\x00\x00\x00\xc0"; /* -2.0 */
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_PROTOBUF };
	struct metric_label labels[] = { label("region", "us-east1") };

	(void)arg;
	exposition_begin(&x, &level);
	exposition_value(&x, labels, 1, -2);
	exposition_end(&x);
	exposition_finish(&x);
	assert_int_equal(b.n, sizeof(expected) - 1);
	assert_memory_equal(b.p, expected, b.n);
	buf_fini(&b);
}

/* Whether the bytes occur. */
static bool
has_bytes(const struct buf *b, const char *bytes, size_t n)
{
	for (size_t i = 0; i + n <= b->n; i++)
		if (memcmp(b->p + i, bytes, n) == 0)
			return true;
	return false;
}
#define HAS(b, literal) has_bytes((b), (literal), sizeof(literal) - 1)

static void
a_histogram_in_protobuf_is_native_as_well(void **arg)
{
	struct histogram_view v = some_view();
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_PROTOBUF };

	(void)arg;
	exposition_begin(&x, &wait);
	exposition_histogram(&x, NULL, 0, &v);
	exposition_end(&x);
	assert_true(HAS(&b, "\x18\x04\x22")); /* HISTOGRAM */
	assert_true(HAS(&b, "\x08\x04\x11")); /* sample_count 4, sample_sum … */
	assert_true(HAS(&b, "\x33\x33\x33\x33\x33\x33\x18\x40")); /* … 6.05 */
	assert_true(HAS(&b, "\x28\x06\x31"));                     /* schema 3 (zigzag) */
	/* buckets 0 and 1, then, 11 further, bucket 13 */
	assert_true(HAS(&b, "\x62\x04\x08\x00\x10\x02\x62\x04\x08\x16\x10\x01"));
	/* counts 2, 1, 1 as differences: +2, -1, 0 */
	assert_true(HAS(&b, "\x6a\x03\x04\x01\x00"));
	/* classic: at most 2.5 s are 3 */
	assert_true(HAS(&b, "\x1a\x0b\x08\x03\x11\x00\x00\x00\x00\x00\x00\x04\x40"));
	buf_fini(&b);
}

static void
a_native_histogram_without_observations_has_an_empty_span(void **arg)
{
	static const struct histogram_view none;
	struct buf b = { 0 };
	struct exposition x = { .out = &b, .format = EXPOSITION_PROTOBUF };

	(void)arg;
	exposition_begin(&x, &wait);
	exposition_histogram(&x, NULL, 0, &none);
	exposition_end(&x);
	assert_true(HAS(&b, "\x62\x04\x08\x00\x10\x00"));
	buf_fini(&b);
}

static enum exposition_format
asked_by(const char *first, const char *second)
{
	struct buf text = { 0 };
	struct http_head head;
	struct http_error e;
	enum exposition_format f;
	size_t used;

	buf_printf(&text, "GET /metrics HTTP/1.1\r\nHost: a\r\n");
	if (first != NULL)
		buf_printf(&text, "Accept: %s\r\n", first);
	if (second != NULL)
		buf_printf(&text, "accept: %s\r\n", second);
	buf_str(&text, "\r\n");
	assert_int_equal(http_parse_head(buf_view(&text), 8192, &head, &used, &e), PARSE_DONE);
	f = exposition_accept(&head);
	buf_fini(&text);
	return f;
}

static void
who_names_no_form_gets_text(void **arg)
{
	(void)arg;
	assert_int_equal(asked_by(NULL, NULL), EXPOSITION_TEXT);
	assert_int_equal(asked_by("*/*", NULL), EXPOSITION_TEXT);
	assert_int_equal(asked_by("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", NULL),
			 EXPOSITION_TEXT);
	assert_int_equal(asked_by(",;,=;q,  ", ""), EXPOSITION_TEXT);
	assert_int_equal(asked_by("application/json", NULL), EXPOSITION_TEXT);
}

static void
prometheus_gets_what_it_prefers(void **arg)
{
	(void)arg;
	assert_int_equal(asked_by("application/openmetrics-text;version=1.0.0,"
				  "application/openmetrics-text;version=0.0.1;q=0.75,"
				  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
				  NULL),
			 EXPOSITION_OPENMETRICS);
	assert_int_equal(
	    asked_by("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		     "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
		     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		     NULL),
	    EXPOSITION_PROTOBUF);
	assert_int_equal(asked_by("text/plain;version=0.0.4;q=1,*/*;q=0.1", NULL), EXPOSITION_TEXT);
	assert_int_equal(asked_by("text/plain ; q=0.5", "Application/OpenMetrics-Text; q=0.6"),
			 EXPOSITION_OPENMETRICS);
}

static void
a_form_that_is_not_ours_is_not_taken_for_ours(void **arg)
{
	(void)arg;
	assert_int_equal(asked_by("application/vnd.google.protobuf;proto=other.Message", NULL),
			 EXPOSITION_TEXT);
	assert_int_equal(
	    asked_by("application/vnd.google.protobuf;"
		     "proto=io.prometheus.client.MetricFamily;encoding=text,text/plain;q=0.1",
		     NULL),
	    EXPOSITION_TEXT);
	assert_int_equal(asked_by("application/openmetrics-text;q=0", NULL), EXPOSITION_TEXT);
	assert_int_equal(asked_by("application/openmetrics-text;q=x", NULL), EXPOSITION_TEXT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_prometheus_text),
		cmocka_unit_test(openmetrics_names_families_without_total_and_says_that_it_ends),
		cmocka_unit_test(what_is_not_utf8_is_replaced),
		cmocka_unit_test(a_histogram_in_text_has_classic_buckets),
		cmocka_unit_test(a_gauge_in_protobuf_is_a_family_behind_its_length),
		cmocka_unit_test(a_histogram_in_protobuf_is_native_as_well),
		cmocka_unit_test(a_native_histogram_without_observations_has_an_empty_span),
		cmocka_unit_test(who_names_no_form_gets_text),
		cmocka_unit_test(prometheus_gets_what_it_prefers),
		cmocka_unit_test(a_form_that_is_not_ours_is_not_taken_for_ours),
	};

	return cmocka_run_group_tests_name("exposition", tests, NULL, NULL);
}
