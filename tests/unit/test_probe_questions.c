/* SPDX-License-Identifier: PostgreSQL
 *
 * What the prober asks a node, what it makes of the answers, and of those that do not come.
 */
#include "config.h"

#include "routing/watch/probe.h"

#include <stdlib.h>

#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"
#include "tests/unit/probe_fake.h"

#include "tests/unit/unit.h"

static bool
is_probed(struct world *w)
{
	return node(w)->probed;
}

static bool
four_were_asked(struct world *w)
{
	return w->fake.queries >= 4;
}

static void
the_answer_is_read(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|on|7710592690727318555|3|4096||f||97|12|f";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_PRIMARY);
	assert_int_equal(node(&w)->kind, KIND_POSTGRES);
	assert_true(node(&w)->read_only);
	assert_true(node(&w)->system_id == UINT64_C(7710592690727318555));
	assert_int_equal(node(&w)->timeline, 3);
	assert_int_equal(node(&w)->max_connections, 97);
	assert_int_equal(node(&w)->used_connections, 12);
	assert_int_equal(node(&w)->server_version, 150004);
	assert_int_equal(node(&w)->lag_us, 0);
	run_until(&w, four_were_asked);
	assert_int_equal(w.fake.connections, 1); /* kept */
	stop(&w);
}

static void
a_standby_without_its_primary_tells_its_own_lag(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "t|off|7|1|4000|5000|t|2000000|97|1|f";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->lag_us, 2000000);
	assert_int_equal(node(&w)->lag_bytes, 1000);
	stop(&w);
}

static void
answers_that_make_no_sense_read_as_unknown(void **state)
{
	static const char *const rows[] = {
		"f|on",
		"|||||||||||||",
		"x|y|-1|99999999999999999999|-|-|-|-|-|-|-",
		"t|off|18446744073709551616|4294967296|99999999999999999999|x|t|-5|-7|2147483648|f",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.row = rows[i];
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, NODE_UP);
		assert_int_equal(node(&w)->timeline, 0);
		assert_int_equal(node(&w)->max_connections, 0);
		assert_int_equal(node(&w)->used_connections, 0);
		stop(&w);
	}
}

static void
a_refused_question_is_asked_smaller(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.error = "42501";
	w.fake.row = "t|off|||||||||";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->lag_us, -1);
	assert_null(strstr(w.fake.last_query, "pg_control_system"));
	run(&w, 400);
	assert_null(strstr(w.fake.last_query, "pg_control_system"));
	stop(&w);
}

static void
an_error_of_the_moment_changes_nothing(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.error = "55000";
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
	run_until(&w, is_probed);
	assert_non_null(strstr(w.fake.last_query, "pg_control_system"));
	stop(&w);
}

static void
cockroachdb_takes_writes_everywhere(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.parameter = "crdb_version";
	w.fake.value = "CockroachDB CCL v21.1.0";
	w.fake.row = "f|off|||||||||";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->kind, KIND_COCKROACHDB);
	assert_int_equal(node(&w)->role, ROLE_MULTI);
	assert_null(strstr(w.fake.last_query, "pg_is_in_recovery"));
	stop(&w);
}

static void
citus_takes_writes_where_it_has_metadata(void **state)
{
	(void)state;
	for (int has = 0; has < 2; has++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.row = "f|off|7|1|1||f||97|1|t";
		w.fake.citus = has ? "t" : "f";
		run_until(&w, is_probed);
		assert_int_equal(node(&w)->kind, KIND_CITUS);
		assert_int_equal(node(&w)->role, has ? ROLE_MULTI : ROLE_PRIMARY);
		stop(&w);
	}
}

static void
a_role_that_is_refused_leaves_the_node_up(void **state)
{
	static const struct {
		const char *sqlstate;
		enum node_state expect;
	} table[] = {
		{ "28P01", NODE_UP },      { "3D000", NODE_UP },      { "53300", NODE_UP },
		{ "57P03", NODE_SUSPECT }, { "XX000", NODE_SUSPECT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.login_error = table[i].sqlstate;
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, table[i].expect);
		assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
		if (table[i].expect != NODE_UP)
			assert_string_equal(node(&w)->reason, "it does not like you");
		stop(&w);
	}
}

static void
a_connection_that_breaks_under_a_question_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	w.conf.health.fall = 1;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_probed);
	run(&w, 250);
	w.fake.leave_after = 2;
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(w.fake.connections, 2);
	run(&w, 250);
	w.fake.leave_after = 1; /* once more, and then not even a login */
	w.fake.login_error = "57P01";
	prober_probe_now(w.prober);
	run_until(&w, is_down);
	stop(&w);
}

static void
a_lost_connection_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_probed);
	fake_hang_up(&w.fake);
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(w.fake.connections, 2);
	run(&w, 250);
	fake_stop(&w.fake); /* and nobody answers any more: no waiting for the next probe */
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason, "connection refused");
	stop(&w);
}

static void
messages_are_cut_to_what_matters(void **state)
{
	static const struct {
		const char *message, *why, *sqlstate;
	} table[] = {
		{ "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
		  "\tIs the server running on that host and accepting TCP/IP connections?\n",
		  "connection refused", "" },
		{ "connection to server at \"::1\", port 1 failed: Connection refused\n\tIs it?\n"
		  "connection to server at \"127.0.0.1\", port 1 failed: FATAL:  28P01: password "
		  "authentication failed for user \"x\"\nLOCATION:  auth_failed, auth.c:342\n",
		  "password authentication failed for user \"x\"", "28P01" },
		{ "connection to server at \"h\", port 1 failed: SSL error: certificate verify "
		  "failed\n",
		  "SSL error: certificate verify failed", "" },
		{ "connection to server on socket \"/x/.s.PGSQL.1\" failed: FATAL:  57P03: the "
		  "database system is starting up\n",
		  "the database system is starting up", "57P03" },
		{ "server closed the connection unexpectedly\n\tThis probably means …\n",
		  "server closed the connection unexpectedly", "" },
		{ "FATAL:  bad\a thing\n", "bad? thing", "" },
		{ "FATAL:  28P0", "28P0", "" },
		{ ":  ", "", "" },
		{ "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char why[128], sqlstate[6];
		char *copy = strdup(table[i].message); /* so that reading past it is seen */

		pgdial_explain(copy, why, sqlstate);
		assert_string_equal(why, table[i].why);
		assert_string_equal(sqlstate, table[i].sqlstate);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_is_read),
		cmocka_unit_test(a_standby_without_its_primary_tells_its_own_lag),
		cmocka_unit_test(answers_that_make_no_sense_read_as_unknown),
		cmocka_unit_test(a_refused_question_is_asked_smaller),
		cmocka_unit_test(an_error_of_the_moment_changes_nothing),
		cmocka_unit_test(cockroachdb_takes_writes_everywhere),
		cmocka_unit_test(citus_takes_writes_where_it_has_metadata),
		cmocka_unit_test(a_role_that_is_refused_leaves_the_node_up),
		cmocka_unit_test(a_connection_that_breaks_under_a_question_is_made_anew),
		cmocka_unit_test(a_lost_connection_is_made_anew),
		cmocka_unit_test(messages_are_cut_to_what_matters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
