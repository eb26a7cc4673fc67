/* SPDX-License-Identifier: PostgreSQL
 *
 * The prober: bare handshakes, what makes a node suspect, and roles that logins tell.
 */
#include "config.h"

#include "routing/watch/probe.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "routing/watch/probe_int.h"
#include "tests/unit/probe_fake.h"

#include "tests/unit/unit.h"

/* ---- bare handshakes ---- */

static void
any_answer_means_alive(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	assert_false(prober_round_done(w.prober));
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_true(node(&w)->rtt_us > 0 && node(&w)->connect_us > 0);
	assert_true(node(&w)->sampled_at_us > 0);
	assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
	assert_false(node(&w)->probed);
	assert_string_equal(node(&w)->reason, "");
	stop(&w);
}

static void
failures_are_told_apart(void **state)
{
	static const struct {
		enum manner manner;
		const char *conninfo, *reason;
	} table[] = {
		{ SILENT, NULL, "no answer within 150 ms" },
		{ HANGS_UP, NULL, "closed the connection without an answer" },
		{ SILENT, "user=x sslmode=disable", "no answer within 150 ms" },
		{ HANGS_UP, "user=x sslmode=disable", "server closed the connection unexpectedly" },
		{ NONSENSE, "user=x sslmode=disable", NULL },
		{ NONSENSE, "user=x sslmode=require", NULL },
		{ ANSWERS, "user=x sslmode=require",
		  "server does not support SSL, but SSL was required" },
		{ ANSWERS, "user='x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;

		start(&w, table[i].manner, table[i].conninfo);
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, NODE_SUSPECT);
		assert_int_equal(node(&w)->sampled_at_us, 0);
		if (table[i].reason != NULL)
			assert_string_equal(node(&w)->reason, table[i].reason);
		else
			assert_true(strlen(node(&w)->reason) > 10);
		stop(&w);
	}
}

static void
nobody_there_is_told_and_a_return_noticed(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	fake_stop(&w.fake);
	run_until(&w, is_down);
	assert_string_equal(node(&w)->reason, "connection refused");
	assert_int_equal(node(&w)->up_since_us, 0);
	fake_start(&w.fake, w.loop);
	node(&w)->port = w.fake.port; /* another port is another node: the prober is told by id */
	w.t->nodes[0].live->id = 99;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	w.fake.manner = SILENT;
	run_until(&w, is_down);
	w.fake.manner = ANSWERS;
	run_until(&w, is_up);
	assert_true(node(&w)->up_since_us > 0);
	assert_string_equal(node(&w)->reason, "");
	stop(&w);
}

static void
the_second_address_is_tried(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	node(&w)->addrs[1] = node(&w)->addrs[0];
	assert_true(addr_parse(slice_str("127.0.0.2"), &node(&w)->addrs[0]));
	node(&w)->naddrs = 2;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	stop(&w);
}

static void
a_name_without_an_address_waits_for_one(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	node(&w)->naddrs = 0;
	node(&w)->live->id = 99;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason, "the host name has no address");
	node(&w)->live->id = 100;
	w.conf.timeout_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run(&w, 50);
	node(&w)->naddrs = 1; /* it comes while a probe waits for it */
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	stop(&w);
}

static void
evidence_makes_suspect_and_probes_at_once(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	prober_evidence(w.prober, 12345, "nobody knows this node");
	w.fake.manner = SILENT;
	prober_evidence(w.prober, node(&w)->live->id, "it died during startup");
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason,
			    "a session could not be opened: it died during startup");
	run_until(&w, is_down);
	prober_evidence(w.prober, node(&w)->live->id, "down is down");
	run(&w, 50);
	assert_int_equal(node(&w)->state, NODE_DOWN);
	stop(&w);
}

static void
evidence_does_not_become_a_storm(void **state)
{
	struct world w;
	int64_t began, took;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	w.fake.connections = 0;
	began = clock_us();
	for (int i = 0; i < 50; i++) {
		prober_evidence(w.prober, node(&w)->live->id, "again");
		run(&w, 10);
	}
	took = clock_us() - began;
	assert_true(w.fake.connections >= 1 && w.fake.connections <= 6 * (1 + took / (750 * MS)));
	stop(&w);
}

static void
a_round_can_be_asked_for(void **state)
{
	struct world w;
	int64_t before;

	(void)state;
	start(&w, ANSWERS, NULL);
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, round_done);
	before = node(&w)->sampled_at_us;
	prober_probe_now(w.prober);
	assert_false(prober_round_done(w.prober));
	run_until(&w, round_done);
	assert_true(node(&w)->sampled_at_us > before);
	stop(&w);
}

static void
no_nodes_is_a_round_at_once(void **state)
{
	struct topology *none = topology_new();
	struct world w;

	(void)state;
	start(&w, SILENT, NULL);
	run(&w, 20); /* a probe is under way when its node goes */
	prober_configure(w.prober, &w.conf, none);
	assert_true(prober_round_done(w.prober));
	w.changes = 0;
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(w.changes, 1);
	topology_unref(none);
	stop(&w);
}

static void
want_of_our_own_is_no_word_against_the_node(void **state)
{
	struct rlimit limit, none;
	struct world w;
	char why[128];

	(void)state;
	for (int login = 0; login < 2; login++) {
		start(&w, login ? SPEAKS : ANSWERS, login ? CONNINFO : NULL);
		w.fake.row = "f|off|7|1|1||f||97|1|f";
		run_until(&w, is_up);
		fake_hang_up(&w.fake);
		getrlimit(RLIMIT_NOFILE, &limit);
		none = (struct rlimit){ 3, limit.rlim_max };
		setrlimit(RLIMIT_NOFILE, &none);
		for (int i = 0; i < 4; i++) {
			prober_probe_now(w.prober);
			run_until(&w, round_done);
		}
		setrlimit(RLIMIT_NOFILE, &limit);
		assert_int_equal(node(&w)->state, NODE_UP);
		stop(&w);
	}
	snprintf(why, sizeof(why), "could not create socket: %s", strerror(EMFILE));
	assert_true(login_is_our_fault(why));
	assert_false(login_is_our_fault("connection refused"));
}

/* ---- roles that logins tell ---- */

static void
roles_are_learnt_from_logins(void **state)
{
	struct probe_learned said = { 1, 0, 150004, KIND_POSTGRES };
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->server_version, 150004);
	assert_int_equal(node(&w)->kind, KIND_POSTGRES);
	assert_int_equal(node(&w)->lag_us, -1);
	assert_false(node(&w)->probed);
	said = (struct probe_learned){ 0, 1, 150004, KIND_POSTGRES };
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_PRIMARY);
	assert_true(node(&w)->read_only);
	said = (struct probe_learned){ 0, 0, 130000, KIND_COCKROACHDB };
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_MULTI);
	stop(&w);
}

/* As they come: each ParameterStatus of a login is a lesson of its own. */
static void
a_login_tells_one_thing_at_a_time(void **state)
{
	static const struct probe_learned lessons[] = { { -1, 1, 0, KIND_UNKNOWN },
							{ 1, -1, 0, KIND_UNKNOWN },
							{ -1, -1, 150004, KIND_UNKNOWN },
							{ -1, -1, 0, KIND_COCKROACHDB } };
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	for (size_t i = 0; i < 3; i++)
		prober_learned(w.prober, node(&w)->live->id, &lessons[i]);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_true(node(&w)->read_only);
	assert_int_equal(node(&w)->server_version, 150004);
	prober_learned(w.prober, node(&w)->live->id, &lessons[3]);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->kind, KIND_COCKROACHDB);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	stop(&w);
}

static void
a_standby_is_not_believed_for_ever(void **state)
{
	struct watch w = { .said = { 1, 0, 0, KIND_UNKNOWN },
			   .said_at_us = 1000,
			   .health = { .last_good_us = 1000 } };

	(void)state;
	assert_int_equal(facts_role(&w, 59 * USEC_PER_SEC), ROLE_STANDBY);
	assert_int_equal(facts_role(&w, 61 * USEC_PER_SEC), ROLE_UNKNOWN);
	w.said.in_hot_standby = 0;
	assert_int_equal(facts_role(&w, 61 * USEC_PER_SEC), ROLE_PRIMARY);
	/* by a probe: as long as the node does not answer without saying so again */
	w = (struct watch){ .facts = { .at_us = 1000, .recovery = true },
			    .said = { -1, -1, 0, KIND_UNKNOWN },
			    .health = { .last_good_us = 1000 } };
	assert_int_equal(facts_role(&w, 600 * USEC_PER_SEC), ROLE_STANDBY);
	w.health.last_good_us = 62 * USEC_PER_SEC;
	assert_int_equal(facts_role(&w, 62 * USEC_PER_SEC), ROLE_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_answer_means_alive),
		cmocka_unit_test(failures_are_told_apart),
		cmocka_unit_test(nobody_there_is_told_and_a_return_noticed),
		cmocka_unit_test(the_second_address_is_tried),
		cmocka_unit_test(a_name_without_an_address_waits_for_one),
		cmocka_unit_test(evidence_makes_suspect_and_probes_at_once),
		cmocka_unit_test(evidence_does_not_become_a_storm),
		cmocka_unit_test(a_round_can_be_asked_for),
		cmocka_unit_test(no_nodes_is_a_round_at_once),
		cmocka_unit_test(want_of_our_own_is_no_word_against_the_node),
		cmocka_unit_test(roles_are_learnt_from_logins),
		cmocka_unit_test(a_login_tells_one_thing_at_a_time),
		cmocka_unit_test(a_standby_is_not_believed_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
