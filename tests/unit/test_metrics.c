/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/http/metrics.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/states.h"
#include "proxy/session/why.h"

#include <stdlib.h>

#include "base/clock.h"
#include "tests/unit/movr.h"

#include "tests/unit/unit.h"

static struct stats *
some_stats(void)
{
	struct stats *s = xcalloc(1, sizeof(*s));

	stat_add(&s->logins, 3);
	stat_add(&s->rx_bytes, 5000000000);
	stat_add(&s->why[WHY_SERVER_DIED], 2);
	stat_add(&s->located[SOURCE_HEADER], 7);
	stat_add(&s->routes[SOURCE_HEADER][ROUTE_SPILLED], 4);
	stats_error(s, ERROR_OF_NODE, slice_str("23505"));
	stats_error(s, ERROR_OF_NODE, slice_str("MINE1"));
	stats_error(s, ERROR_OF_MERIDIAN, slice_str("53300"));
	stats_http_answer(s, 404);
	stats_http_answer(s, 0);
	stats_http_answer(s, 600);
	stat_enter(&s->states[SESSION_RELAY]);
	stat_enter(&s->states[SESSION_RELAY]);
	stat_leave(&s->states[SESSION_RELAY]);
	histogram_observe(&s->login, 20 * USEC_PER_MSEC);
	return s;
}

/* The sum of two workers. */
static const struct readtally *
some_reads(readtally_list *sum)
{
	for (unsigned i = 0; i < 2; i++) {
		readtally_list of_worker = NULL;
		struct readtally *t = readtally_get(&of_worker, "movr", "europe-west1");

		stat_add(&t->n[CLASSIFY_READ], 3);
		stat_add(&t->waited[CLASSIFY_READ], i);
		assert_ptr_equal(readtally_get(&of_worker, "movr", "europe-west1"), t);
		stat_add(&readtally_get(&of_worker, "movr", "us-east1")->n[CLASSIFY_CHANGES], 1);
		readtally_sum(sum, &of_worker);
		readtally_fini(&of_worker);
	}
	return readtally_first(sum);
}

/* The text of all of it; the caller frees. */
static char *
told_as(enum exposition_format format, const struct topology *t, const struct stats *stats)
{
	readtally_list reads = NULL;
	struct metrics m = { .stats = stats,
			     .reads = some_reads(&reads),
			     .topology = t,
			     .now_us = NOW,
			     .resident_bytes = -1,
			     .clients_max = 1000,
			     .throttled = 3,
			     .trusted = 70,
			     .limited_users = 5,
			     .limited_addresses = 6 };
	struct buf b = { 0 };
	char *text;

	metrics_put(&b, format, &m);
	assert_false(b.failed);
	text = xstrndup(buf_text(&b), b.n);
	buf_fini(&b);
	readtally_fini(&reads);
	return text;
}

#define HAS(text, line) assert_non_null(strstr((text), "\n" line "\n"))

static void
counters_are_told_with_their_labels(void **arg)
{
	struct stats *stats = some_stats();
	struct topology *t = movr();
	char *text = told_as(EXPOSITION_TEXT, t, stats);

	(void)arg;
	HAS(text, "meridian_logins_total 3");
	HAS(text, "meridian_rx_bytes_total 5000000000");
	HAS(text, "meridian_session_ends_total{reason=\"server_died\"} 2");
	HAS(text, "meridian_localities_total{source=\"header\"} 7");
	HAS(text, "meridian_routes_total{source=\"header\",verdict=\"spilled\"} 4");
	HAS(text, "meridian_errors_total{said_by=\"node\",sqlstate=\"23505\"} 1");
	HAS(text, "meridian_errors_total{said_by=\"node\",sqlstate=\"other\"} 1");
	HAS(text, "meridian_errors_total{said_by=\"meridian\",sqlstate=\"53300\"} 1");
	HAS(text, "meridian_http_answers_total{status=\"404\"} 1");
	HAS(text,
	    "meridian_reads_total{database=\"movr\",region=\"europe-west1\",runs=\"near\",reason="
	    "\"READ\"} 6");
	HAS(text, "meridian_reads_total{database=\"movr\",region=\"us-east1\",runs=\"home\",reason="
		  "\"CHANGES\"} 2");
	HAS(text, "meridian_reads_waited_total{database=\"movr\",region=\"europe-west1\"} 1");
	HAS(text, "meridian_sessions{state=\"relay\"} 1");
	HAS(text, "meridian_login_seconds_bucket{le=\"0.01\"} 0");
	HAS(text, "meridian_login_seconds_bucket{le=\"0.025\"} 1");
	HAS(text, "meridian_login_seconds_sum 0.02");
	HAS(text, "meridian_clients_max 1000");
	HAS(text, "meridian_logins_throttled_pairs 3");
	HAS(text, "meridian_logins_trusted_pairs 70");
	HAS(text, "meridian_logins_limited_users 5");
	HAS(text, "meridian_logins_limited_addresses 6");
	free(text);
	free(stats);
	topology_unref(t);
}

static void
what_never_happened_has_no_series_of_its_own(void **arg)
{
	struct stats *stats = some_stats();
	struct topology *t = movr();
	char *text = told_as(EXPOSITION_TEXT, t, stats);

	(void)arg;
	assert_null(strstr(text, "MINE1"));
	assert_null(strstr(text, "sqlstate=\"23503\""));
	assert_null(strstr(text, "status=\"200\""));
	assert_null(strstr(text, "reason=\"LOCKS\""));
	assert_null(
	    strstr(text, "meridian_reads_waited_total{database=\"movr\",region=\"us-east1\""));
	assert_null(strstr(text, "\nprocess_resident_memory_bytes "));
	free(text);
	free(stats);
	topology_unref(t);
}

static void
regions_and_nodes_are_told_as_they_are(void **arg)
{
	struct stats *stats = some_stats();
	struct topology *t = movr();
	char *text;

	(void)arg;
	t->nodes[2].state = NODE_DOWN;
	t->nodes[0].rtt_us = 1500;
	t->nodes[0].lag_us = t->nodes[0].lag_bytes = -1;
	t->nodes[1].role = ROLE_STANDBY;
	t->nodes[1].lag_us = 3 * SEC;
	t->nodes[1].lag_bytes = 4096;
	t->nodes[1].server_version = 150006;
	t->regions[EUROPE].drained = true;
	atomic_store(&t->nodes[0].live->sessions, 4);
	atomic_store(&t->nodes[1].live->sessions, 5);
	atomic_store(&t->nodes[1].live->failures, 6);
	text = told_as(EXPOSITION_TEXT, t, stats);
	HAS(text, "meridian_region_usable{region=\"gcp-us-east1\"} 1");
	HAS(text, "meridian_region_usable{region=\"gcp-us-west1\"} 0");
	HAS(text, "meridian_region_usable{region=\"gcp-europe-west1\"} 0");
	HAS(text, "meridian_region_drained{region=\"gcp-europe-west1\"} 1");
	HAS(text, "meridian_region_nodes_usable{region=\"gcp-us-east1\"} 2");
	HAS(text, "meridian_region_sessions{region=\"gcp-us-east1\"} 9");
	HAS(text, "meridian_region_rtt_seconds{region=\"gcp-us-east1\"} 0.0015");
	assert_null(strstr(text, "meridian_region_rtt_seconds{region=\"gcp-us-west1\"}"));
#define EAST_1 "{region=\"gcp-us-east1\",node=\"gcp-us-east1:5433\""
#define WEST_0 "{region=\"gcp-us-west1\",node=\"gcp-us-west1:5432\""
	HAS(text, "meridian_node_state" WEST_0 ",state=\"down\"} 1");
	HAS(text, "meridian_node_state" WEST_0 ",state=\"up\"} 0");
	HAS(text, "meridian_node_usable" WEST_0 "} 0");
	HAS(text,
	    "meridian_node_info" EAST_1 ",kind=\"unknown\",role=\"standby\",version=\"150006\"} 1");
	HAS(text, "meridian_node_lag_seconds" EAST_1 "} 3");
	HAS(text, "meridian_node_lag_bytes" EAST_1 "} 4096");
	HAS(text, "meridian_node_failures_total" EAST_1 "} 6");
	HAS(text, "meridian_node_sample_age_seconds" EAST_1 "} 0");
	assert_null(strstr(text, "meridian_node_lag_bytes{region=\"gcp-us-east1\",node=\"gcp-us-"
				 "east1:5432\"}"));
	assert_null(strstr(text, "meridian_node_connections_max{"));
	free(text);
	free(stats);
	topology_unref(t);
}

/* Families stand together and none comes twice, and every sample is of the family above it. */
static void
every_family_stands_by_itself(void **arg)
{
	struct stats *stats = some_stats();
	struct topology *t = movr();
	char *text = told_as(EXPOSITION_OPENMETRICS, t, stats);
	struct slice rest = slice_str(text), family = slice_of("", 0);
	unsigned families = 0;

	(void)arg;
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');
		char again[128];

		if (slice_starts(line, "# HELP ")) {
			family = slice_skip(line, strlen("# HELP "));
			family = slice_cut(&family, ' ');
			families++;
			snprintf(again, sizeof(again), "\n# HELP %.*s ", (int)family.n, family.p);
			assert_null(strstr(family.p, again));
		} else if (line.n > 0 && line.p[0] != '#') {
			assert_true(line.n > family.n && memcmp(line.p, family.p, family.n) == 0);
		} else if (rest.n == 0) {
			assert_true(slice_is(line, "# EOF"));
		}
	}
	assert_true(families > 50);
	free(text);
	free(stats);
	topology_unref(t);
}

static void
sums_are_of_all_counters(void **arg)
{
	struct stats *a = some_stats(), *b = some_stats();

	(void)arg;
	stats_sum(a, b);
	assert_int_equal(stat_get(&a->logins), 6);
	assert_int_equal(stat_get(&a->why[WHY_SERVER_DIED]), 4);
	assert_int_equal(stat_get(&a->states[SESSION_RELAY]), 2);
	assert_int_equal(stat_get(&a->login.sum_us), 40 * USEC_PER_MSEC);
	assert_int_equal(stat_get(&b->logins), 3);
	free(a);
	free(b);
}

static void
a_buffer_that_is_too_small_says_so(void **arg)
{
	struct stats *stats = some_stats();
	struct topology *t = movr();
	struct metrics m = { .stats = stats, .topology = t, .now_us = NOW };

	(void)arg;
	for (int f = EXPOSITION_TEXT; f <= EXPOSITION_PROTOBUF; f++) {
		for (size_t cap = 1; cap < 20000; cap += 97) {
			struct buf b = { .cap = cap };

			metrics_put(&b, (enum exposition_format)f, &m);
			assert_true(b.failed || b.n <= cap);
			buf_fini(&b);
		}
	}
	free(stats);
	topology_unref(t);
}

static void
the_document_has_a_line_for_each_metric(void **arg)
{
	struct buf b = { 0 };
	unsigned lines = 0;

	(void)arg;
	metrics_doc(&b);
	for (const char *p = buf_text(&b); *p != '\0'; p++)
		lines += *p == '\n';
	assert_true(lines > 50);
	assert_non_null(strstr(buf_text(&b), "\n| `meridian_logins_total` | counter |  | "));
	assert_non_null(strstr(buf_text(&b), "\n| `meridian_login_seconds` | histogram |  | "));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_told_with_their_labels),
		cmocka_unit_test(what_never_happened_has_no_series_of_its_own),
		cmocka_unit_test(regions_and_nodes_are_told_as_they_are),
		cmocka_unit_test(every_family_stands_by_itself),
		cmocka_unit_test(sums_are_of_all_counters),
		cmocka_unit_test(a_buffer_that_is_too_small_says_so),
		cmocka_unit_test(the_document_has_a_line_for_each_metric),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
