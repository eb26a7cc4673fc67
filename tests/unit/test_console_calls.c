/* SPDX-License-Identifier: PostgreSQL
 *
 * Commands about migrations at the console: what is asked of the call, what becomes of what its
 * thread says, and who lets go of whom. The call is the fake's.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include "protocol/message.h"
#include "tests/unit/console_fake.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

static void
send_query(struct fake *f, const char *sql)
{
	struct buf b = { 0 };
	size_t at = buf_message(&b, 'Q');

	buf_cstr(&b, sql);
	buf_message_end(&b, at);
	console_input(f->console, b.p, b.n);
	fake_settle(f);
	buf_fini(&b);
}

/* Parse, Bind with one text parameter (NULL: none) and binary results, Describe, Execute, Sync. */
static void
send_extended(struct fake *f, const char *sql, const char *value)
{
	struct buf b = { 0 };

	say_parse(&b, "", sql, 0);
	say_bind(&b, "", "", value, 1);
	say_target(&b, MSG_DESCRIBE, 'P', "");
	say_execute(&b, "");
	message_put_bare(&b, MSG_SYNC);
	console_input(f->console, b.p, b.n);
	fake_settle(f);
	buf_fini(&b);
}

static void
assert_said(struct fake *f, const char *expected)
{
	struct buf got = { 0 };

	fake_settle(f);
	fake_print(f, &got);
	assert_string_equal(buf_text(&got), expected);
	buf_fini(&got);
}

#define RESULT_T "T(migration:23 name:25 kind:25 state:25 step:25 progress:23 detail:25 next:25)"

static struct fake *
open_console(enum privilege privilege)
{
	struct fake *f = fake_new();

	fake_open(f, privilege);
	return f;
}

static const struct {
	const char *sql, *asked;
} requests[] = {
	{ "CREATE MIGRATION m OF DATABASE d FROM a TO b WITH (x = '1')",
	  "CREATE MIGRATION by ada from 192.0.2.7 [m OF DATABASE d FROM a TO b WITH (x = '1')] "
	  "[CREATE MIGRATION m OF DATABASE d FROM a TO b WITH (x = '1')]" },
	{ "plan migration 1", "PLAN MIGRATION by ada from 192.0.2.7 [1] [TEXT]" },
	{ "plan migration 1 format json", "PLAN MIGRATION by ada from 192.0.2.7 [1] [JSON]" },
	{ "CHECK MIGRATION m DATA",
	  "CHECK MIGRATION by ada from 192.0.2.7 [m] [DATA] [CHECK MIGRATION m DATA]" },
	{ "RUN MIGRATION 1 FINALIZE NOWAIT DEADLINE '5 min' FORCE (data, x)",
	  "RUN MIGRATION by ada from 192.0.2.7 nowait forced [1] [FINALIZE] [5 min] [(data, x)] "
	  "[RUN MIGRATION 1 FINALIZE NOWAIT DEADLINE '5 min' FORCE (data, x)]" },
	{ "RUN MIGRATION 1 STEP 3 WAIT",
	  "RUN MIGRATION by ada from 192.0.2.7 [1] [STEP] [3] [RUN MIGRATION 1 STEP 3 WAIT]" },
	{ "ACK MIGRATION 2 app_deployed 'by hand'",
	  "ACK MIGRATION by ada from 192.0.2.7 [2] [app_deployed] [by hand] [ACK MIGRATION 2 "
	  "app_deployed 'by hand']" },
	{ "ABORT MIGRATION 1 FORCE",
	  "ABORT MIGRATION by ada from 192.0.2.7 forced [1] [ABORT MIGRATION 1 FORCE]" },
	{ "PAUSE MIGRATION 1", "PAUSE MIGRATION by ada from 192.0.2.7 [1] [PAUSE MIGRATION 1]" },
	{ "SET MIGRATION 1 (lint = off, retries = 3);",
	  "SET MIGRATION by ada from 192.0.2.7 [1] [(lint = off, retries = 3)] [SET MIGRATION 1 "
	  "(lint = off, retries = 3)]" },
	{ "VERIFY MIGRATION 1 TABLE a, b.c",
	  "VERIFY MIGRATION by ada from 192.0.2.7 [1] [a, b.c] [VERIFY MIGRATION 1 TABLE a, b.c]" },
	{ "FOLLOW MIGRATION 1", "FOLLOW MIGRATION by ada from 192.0.2.7 [1]" },
	{ "SHOW MIGRATIONS LIKE 'x%'", "SHOW MIGRATIONS by ada from 192.0.2.7 [x%]" },
	{ "SHOW MIGRATIONS STATE done", "SHOW MIGRATIONS by ada from 192.0.2.7 [done]" },
	{ "SHOW MIGRATION 1", "SHOW MIGRATION by ada from 192.0.2.7 [1]" },
	{ "SHOW MIGRATION 1 STEPS", "SHOW MIGRATION STEPS by ada from 192.0.2.7 [1]" },
	{ "SHOW MIGRATION 1 lint", "SHOW MIGRATION option by ada from 192.0.2.7 [1] [lint]" },
	{ "SHOW AUTHORITY", "SHOW AUTHORITY by ada from 192.0.2.7" },
};

static void
each_command_is_asked_as_it_was_meant(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct fake *f = open_console(PRIVILEGE_ADMIN);

		send_query(f, requests[i].sql);
		assert_string_equal(f->call.asked, requests[i].asked);
		fake_free(f);
	}
}

static void
rows_and_notices_come_as_they_are_said(void **state)
{
	struct fake *f = open_console(PRIVILEGE_MIGRATION);

	(void)state;
	send_query(f, "RUN MIGRATION 1 PREPARE");
	assert_said(f, RESULT_T);
	fake_say_notice(f, "one");
	assert_said(f, "N(00000 one)");
	fake_say_notice(f, "two");
	fake_say_notice(f, "three");
	assert_said(f, "N(00000 two) N(00000 three)");
	fake_say_row(f, "1|mv|move|prepared|-|100|-|RUN MIGRATION 1 DATA;");
	fake_call_ends(f, NULL, NULL);
	assert_said(f, "D[1|mv|move|prepared||100||RUN MIGRATION 1 DATA;] C(RUN MIGRATION) Z");
	assert_true(f->call.dropped);
	fake_free(f);
}

static void
an_error_ends_the_command_with_its_sqlstate(void **state)
{
	struct fake *f = open_console(PRIVILEGE_ADMIN);

	(void)state;
	send_query(f, "RUN MIGRATION 1 DATA; SHOW VERSION");
	fake_say_notice(f, "one");
	fake_call_ends(f, "55P03", "somebody else has it");
	assert_said(f, RESULT_T " N(00000 one) E(55P03 somebody else has it) Z");
	fake_free(f);
}

static void
values_are_typed_in_text_and_in_binary(void **state)
{
	struct fake *f = open_console(PRIVILEGE_STATS);

	(void)state;
	send_query(f, "SHOW MIGRATION 1 LOG");
	fake_say_row(f, "7|2026-11-21 20:57:39.5+00|ada|state|-");
	fake_say_row(f, "8|2026-11-21 21:57:39+01:00|ada|state|{}");
	fake_say_row(f, "9|2026-11-21 15:27:39.000001-05:30|-|x");
	fake_say_row(f, "many|then|1|2|3");
	fake_call_ends(f, NULL, NULL);
	assert_said(f, "T(seq:20 at:1184 actor:25 event:25 detail:25) "
		       "D[7|2026-11-21 20:57:39.500000+00|ada|state|] "
		       "D[8|2026-11-21 20:57:39.000000+00|ada|state|{}] "
		       "D[9|2026-11-21 20:57:39.000001+00||x|] D[||1|2|3] C(SHOW) Z");
	send_extended(f, "SHOW MIGRATION $1", "17");
	assert_string_equal(f->call.asked, "SHOW MIGRATION by ada from 192.0.2.7 [17]");
	fake_say_row(f, "17|mv|move|done|-|-|-|-");
	fake_call_ends(f, NULL, NULL);
	assert_said(f, "1 2 T(migration:23:b name:25:b kind:25:b state:25:b step:25:b "
		       "progress:23:b detail:25:b next:25:b) D[\\0\\0\\0\\17|mv|move|done||||] "
		       "C(SHOW) Z");
	fake_free(f);
}

static void
parameters_stand_in_what_is_defined(void **state)
{
	struct fake *f = open_console(PRIVILEGE_ADMIN);

	(void)state;
	send_extended(f, "SET MIGRATION 1 (window = $1)", "it's");
	assert_string_equal(f->call.asked, "SET MIGRATION by ada from 192.0.2.7 [1] [(window = "
					   "'it''s')] [SET MIGRATION 1 (window = 'it''s')]");
	fake_free(f);
}

static void
follow_is_a_copy_of_lines(void **state)
{
	struct fake *f = open_console(PRIVILEGE_STATS);

	(void)state;
	send_query(f, "FOLLOW MIGRATION 1");
	assert_said(f, "");
	fake_say_line(f, "one");
	fake_say_line(f, "two");
	assert_said(f, "H d d");
	fake_call_ends(f, NULL, NULL);
	assert_said(f, "c C(FOLLOW MIGRATION) Z");
	send_extended(f, "FOLLOW MIGRATION $1", "1");
	fake_call_ends(f, NULL, NULL);
	assert_said(f, "1 2 n H c C(FOLLOW MIGRATION) Z");
	fake_free(f);
}

static void
ctrl_c_detaches_and_the_call_is_let_go(void **state)
{
	struct fake *f = open_console(PRIVILEGE_ADMIN);

	(void)state;
	send_query(f, "RUN MIGRATION 1 ALL");
	assert_said(f, RESULT_T);
	console_cancel(f->console);
	assert_said(f,
		    "E(57014 detached from migration 1; it continues: FOLLOW MIGRATION 1; stop it "
		    "with PAUSE MIGRATION 1 or ABORT MIGRATION 1) Z");
	assert_true(f->call.dropped);
	assert_null(f->call.wake);
	send_query(f, "SHOW MIGRATIONS");
	console_cancel(f->console);
	buf_clear(&f->got);
	assert_true(f->call.dropped);
	send_query(f, "SELECT 1");
	assert_said(f, "T(?column?:23) D[1] C(SELECT 1) Z");
	fake_free(f);
}

/* The call may have been about to wake the console, too. */
static void
a_client_that_hangs_up_leaves_the_call_to_itself(void **state)
{
	for (int letters = 0; letters < 2; letters++) {
		struct fake *f = open_console(PRIVILEGE_ADMIN);
		struct buf b = { 0 };
		size_t at = buf_message(&b, 'Q');

		(void)state;
		buf_cstr(&b, "RUN MIGRATION 1 ALL");
		buf_message_end(&b, at);
		console_input(f->console, b.p, b.n);
		buf_fini(&b);
		if (letters > 0)
			fake_say_line(f, "on its way");
		console_free(f->console);
		f->console = NULL;
		assert_true(f->call.dropped);
		fake_settle(f);
		while (f->call.first != NULL) {
			struct call_item *item = f->call.first;

			f->call.first = item->next;
			call_item_free(item);
		}
		fake_free(f);
	}
}

static void
nothing_is_taken_while_the_client_does_not_read(void **state)
{
	struct fake *f = open_console(PRIVILEGE_STATS);
	char line[1000];
	unsigned taken = 0;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	send_query(f, "FOLLOW MIGRATION 1");
	f->full = true;
	for (int i = 0; i < 1000; i++)
		fake_say_line(f, line);
	fake_settle(f);
	for (const struct call_item *i = f->call.first; i != NULL; i = i->next)
		taken++;
	taken = 1000 - taken;
	assert_in_range(taken, 1, 200);
	f->full = false;
	console_drained(f->console);
	fake_settle(f);
	fake_call_ends(f, NULL, NULL);
	fake_settle(f);
	assert_null(f->call.first);
	fake_free(f);
}

static void
who_may_look_may_not_change(void **state)
{
	static const struct {
		const char *sql;
		bool open;
	} cases[] = {
		{ "SHOW MIGRATIONS", true },     { "PLAN MIGRATION 1", true },
		{ "FOLLOW MIGRATION 1", true },  { "RUN MIGRATION 1 ALL", false },
		{ "CREATE MIGRATION x", false }, { "ABORT MIGRATION 1", false },
		{ "VERIFY MIGRATION 1", false }, { "SET MIGRATION 1 (a = b)", false },
		{ "CHECK MIGRATION 1", false },  { "ACK MIGRATION 1 x", false },
		{ "PAUSE MIGRATION 1", false },  { "COMPLETE MIGRATION 1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int p = PRIVILEGE_STATS; p <= PRIVILEGE_MIGRATION; p++) {
			struct fake *f = open_console((enum privilege)p);

			send_query(f, cases[i].sql);
			assert_int_equal(f->call.asked[0] != '\0',
					 cases[i].open || p == PRIVILEGE_MIGRATION);
			fake_free(f);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_command_is_asked_as_it_was_meant),
		cmocka_unit_test(rows_and_notices_come_as_they_are_said),
		cmocka_unit_test(an_error_ends_the_command_with_its_sqlstate),
		cmocka_unit_test(values_are_typed_in_text_and_in_binary),
		cmocka_unit_test(parameters_stand_in_what_is_defined),
		cmocka_unit_test(follow_is_a_copy_of_lines),
		cmocka_unit_test(ctrl_c_detaches_and_the_call_is_let_go),
		cmocka_unit_test(a_client_that_hangs_up_leaves_the_call_to_itself),
		cmocka_unit_test(nothing_is_taken_while_the_client_does_not_read),
		cmocka_unit_test(who_may_look_may_not_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
