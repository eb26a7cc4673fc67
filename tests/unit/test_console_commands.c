/* SPDX-License-Identifier: PostgreSQL
 *
 * Commands of the console: who may give them, and what becomes of them.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include <stdio.h>

#include "proxy/admin/commands.h"
#include "proxy/admin/grammar.h"
#include "tests/unit/console_script.h"

#include "tests/unit/unit.h"

static void
stats_may_look_and_admins_may_change(void **state)
{
	static const char *const forbidden[] = {
		"Q DRAIN REGION us-east1",
		"Q UNDRAIN NODE db1:5432",
		"Q OVERRIDE CITY x CLEAR",
		"Q OVERRIDE CITY x TO REGION us-east1",
		"Q OVERRIDE CLEAR",
		"Q SET max_client_conn = 5",
		"Q RELOAD",
		"Q PROBE",
		"Q SHUTDOWN",
		"Q SHUTDOWN WAIT",
		"Q KILL SESSION 1",
		"Q REHOME SESSION 1",
		"P |RELOAD|\nB |||\nE |0\nS",
	};
	static const char *const allowed[] = { "Q SHOW SESSIONS", "Q SET application_name = x",
					       "Q HELP", "Q EXPLAIN ROUTE CITY paris" };
	struct fake *f = fake_new();
	struct buf got = { 0 };

	(void)state;
	fake_sessions(f, 1);
	fake_open(f, PRIVILEGE_STATS);
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		ask(f, forbidden[i], &got);
		assert_non_null(strstr(buf_text(&got), "E(42501 permission denied for "));
	}
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		ask(f, allowed[i], &got);
		assert_null(strstr(buf_text(&got), "E("));
	}
	assert_int_equal(f->workers[0].sessions[0].closed, WHY_NONE);
	assert_int_equal(f->control.last.letter.next == NULL && f->control.last.from == NULL, true);
	buf_fini(&got);
	fake_free(f);
}

static void
whatever_changes_something_needs_admin(void **state)
{
	static const char *const harmless[] = { "SHOW", "EXPLAIN", "HELP", "PLAN", "FOLLOW" };

	(void)state;
	for (const struct command_table *const *t = command_tables(); *t != NULL; t++) {
		/* who may change one may change them all: migration_users */
		bool of_migrations = *t == &commands_migration;

		for (size_t i = 0; i < (*t)->n; i++) {
			const struct command *c = &(*t)->commands[i];
			bool reads = c->help == NULL;

			for (size_t k = 0; k < sizeof(harmless) / sizeof(harmless[0]); k++)
				reads |= slice_starts(slice_str(c->words), harmless[k]);
			assert_int_equal(c->privilege, reads           ? PRIVILEGE_STATS
						       : of_migrations ? PRIVILEGE_MIGRATION
								       : PRIVILEGE_ADMIN);
		}
	}
}

/* HELP has one line of a terminal for each. */
static void
every_command_has_a_short_help(void **state)
{
	const struct command *c;

	(void)state;
	for (size_t n = 0; (c = command_listed(n)) != NULL; n++) {
		if (strlen(c->brief != NULL ? c->brief : c->help) > BRIEF_MAX)
			fail_msg("%s needs a .brief of %d characters", c->words, BRIEF_MAX);
	}
}

static bool
is_of_type(struct slice v, enum column_type type)
{
	if (v.n == 0) /* NULL */
		return true;
	if (type == COLUMN_BOOL)
		return slice_is(v, "t") || slice_is(v, "f");
	if (type != COLUMN_INT4 && type != COLUMN_INT8 && type != COLUMN_FLOAT8)
		return true;
	for (size_t i = 0; i < v.n; i++) {
		if (strchr("-0123456789.", v.p[i]) == NULL)
			return false;
	}
	return true;
}

static void
look_at_row(const struct command *c, const struct heading *h, struct slice row)
{
	unsigned n = 1;

	for (size_t i = 0; i < row.n; i++)
		n += row.p[i] == '|';
	if (n != heading_count(h))
		fail_msg("%s: \"%.*s\" has %u values, not %u", c->words, (int)row.n, row.p, n,
			 heading_count(h));
	for (uint16_t i = 0; i < h->n; i++) {
		struct slice v = slice_of("", 0);

		if (heading_has(h, i))
			v = slice_cut(&row, '|');
		if (!is_of_type(v, column_type(&h->columns[i])))
			fail_msg("%s: \"%.*s\" is no value of %s", c->words, (int)v.n, v.p,
				 h->columns[i].name);
	}
}

/* HELP <command> shows it: it is of this command, and its answer has the columns of the heading. */
static void
every_command_has_an_example_with_its_answer(void **state)
{
	const struct command *c;

	(void)state;
	for (size_t n = 0; (c = command_listed(n)) != NULL; n++) {
		struct slice text = slice_str(c->example != NULL ? c->example : ""), rows;
		struct statement st;
		struct heading h;
		struct err e = { 0 };

		if (statement_parse(&text, command_tables(), &st, &e) != 0)
			fail_msg("%s: \"%s\": %s", c->words, c->example, e.msg);
		if (st.command != c)
			fail_msg("%s %s: \"%s\" is another command", c->words,
				 c->args != NULL ? c->args : "", c->example);
		h = statement_heading(&st);
		if (h.n > 0 && c->answer == NULL)
			fail_msg("%s has rows, and no answer", c->words);
		rows = slice_str(c->answer != NULL ? c->answer : "");
		while (h.n > 0 && rows.n > 0)
			look_at_row(c, &h, slice_cut(&rows, '\n'));
		statement_fini(&st);
	}
}

/* One statement of a command: the first of alternatives, no optional part, 1 for each value. */
static void
spell(struct buf *b, const struct command *c)
{
	int optional = 0, others = 0;

	buf_printf(b, "%s ", c->words);
	for (const char *p = c->args; p != NULL && *p != '\0'; p++) {
		if (*p == '[')
			optional++;
		else if (*p == ']')
			optional--;
		else if (*p == '|')
			others = 1;
		else if (*p == ')')
			others = 0;
		else if (*p == '<')
			buf_str(b, optional + others == 0 ? "1" : "");
		else if (*p != '(' && optional + others == 0)
			buf_put(b, p, 1);
		if (*p == '<')
			p = strchr(p, '>');
	}
}

static void
no_command_of_admins_is_open_to_others(void **state)
{
	struct fake *f = fake_new();
	unsigned n = 0;

	(void)state;
	fake_sessions(f, 1);
	fake_open(f, PRIVILEGE_STATS);
	for (const struct command_table *const *t = command_tables(); *t != NULL; t++) {
		for (size_t i = 0; i < (*t)->n; i++) {
			struct buf script = { .cap = 0 }, expected = { .cap = 0 },
				   got = { .cap = 0 };
			const struct command *c = &(*t)->commands[i];

			if (c->privilege != PRIVILEGE_ADMIN)
				continue;
			buf_str(&script, "Q ");
			spell(&script, c);
			buf_printf(&expected, "E(42501 permission denied for %s) Z", c->words);
			ask(f, buf_text(&script), &got);
			assert_string_equal(buf_text(&got), buf_text(&expected));
			buf_fini(&script);
			buf_fini(&expected);
			buf_fini(&got);
			n++;
		}
	}
	assert_true(n >= 10);
	assert_int_equal(f->workers[0].sessions[0].closed, WHY_NONE);
	assert_null(f->control.last.from);
	fake_free(f);
}

static void
every_listing_without_arguments_answers(void **state)
{
	struct fake *f = fake_new();
	struct buf got = { 0 };
	unsigned n = 0;

	(void)state;
	fake_sessions(f, 1);
	fake_open(f, PRIVILEGE_STATS);
	for (const struct command_table *const *t = command_tables(); *t != NULL; t++) {
		/* those of migrations are answered by a thread that is not here */
		for (size_t i = 0; *t != &commands_migration && i < (*t)->n; i++) {
			const struct command *c = &(*t)->commands[i];
			char script[80];

			if (c->ncolumns == 0 || c->help == NULL ||
			    (c->args != NULL && strpbrk(c->args, "(=") != NULL) ||
			    (c->args != NULL && c->args[0] != '['))
				continue;
			snprintf(script, sizeof(script), "Q %s", c->words);
			ask(f, script, &got);
			assert_memory_equal(buf_text(&got), "T(", 2);
			assert_non_null(strstr(buf_text(&got), " C(SHOW) Z"));
			n++;
		}
	}
	assert_true(n >= 18);
	buf_fini(&got);
	fake_free(f);
}

static void
requests_reach_control_as_they_were_meant(void **state)
{
	static const struct {
		const char *script;
		enum control_verb verb;
		const char *subject, *value, *region;
		int64_t deadline_us;
		int kind;
		bool node, wait;
	} cases[] = {
		{ "Q DRAIN REGION gcp-us-east1", CONTROL_DRAIN, "us-east1", "", "", 0, 0, 0, 0 },
		{ "Q DRAIN NODE db1:5432 DEADLINE '30s'", CONTROL_DRAIN, "db1:5432", "", "",
		  30000000, 0, 1, 0 },
		{ "Q UNDRAIN NODE 'db1:5432'", CONTROL_UNDRAIN, "db1:5432", "", "", 0, 0, 1, 0 },
		{ "Q OVERRIDE CITY 'S\xc3\xa3o Paulo' TO REGION us-west1 FOR '1h'",
		  CONTROL_OVERRIDE, "sao paulo", "", "us-west1", INT64_C(3600000000), OVERRIDE_CITY,
		  0, 0 },
		{ "Q OVERRIDE COUNTRY fr TO REGION us-west1", CONTROL_OVERRIDE, "FR", "",
		  "us-west1", 0, OVERRIDE_COUNTRY, 0, 0 },
		{ "Q OVERRIDE NETWORK 10.0.0.0/8 CLEAR", CONTROL_OVERRIDE_CLEAR, "10.0.0.0/8", "",
		  "", 0, OVERRIDE_NETWORK, 0, 0 },
		{ "Q OVERRIDE CLEAR", CONTROL_OVERRIDE_CLEAR, "", "", "", 0, 0, 0, 0 },
		{ "Q SET max_client_conn = 5", CONTROL_SET, "max_client_conn", "5", "", 0, 0, 0,
		  0 },
		{ "Q SET nearest TO 'proxy'", CONTROL_SET, "nearest", "proxy", "", 0, 0, 0, 0 },
		{ "Q SET locality = startup, geoip", CONTROL_SET, "locality", "startup, geoip", "",
		  0, 0, 0, 0 },
		{ "Q PAUSE", CONTROL_PAUSE, "", "", "", 0, 0, 0, 0 },
		{ "Q PAUSE DATABASE movr REGION us-west1 DEADLINE '5s'", CONTROL_PAUSE, "movr", "",
		  "us-west1", 5000000, 0, 0, 0 },
		{ "Q RESUME REGION gcp-us-west1", CONTROL_RESUME, "", "", "us-west1", 0, 0, 0, 0 },
		{ "Q RELOAD", CONTROL_RELOAD, "", "", "", 0, 0, 0, 0 },
		{ "Q PROBE", CONTROL_PROBE, "", "", "", 0, 0, 0, 0 },
		{ "Q SHUTDOWN", CONTROL_SHUTDOWN, "", "", "", 0, 0, 0, 0 },
		{ "Q SHUTDOWN WAIT", CONTROL_SHUTDOWN, "", "", "", 0, 0, 0, 1 },
	};
	struct fake *f = fake_new();
	struct buf got = { 0 };

	(void)state;
	fake_open(f, PRIVILEGE_ADMIN);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct control_request *q = &f->control.last;

		ask(f, cases[i].script, &got);
		assert_string_equal(buf_text(&got), "C(TAG) Z");
		assert_int_equal(q->verb, cases[i].verb);
		assert_string_equal(q->subject, cases[i].subject);
		assert_string_equal(q->value, cases[i].value);
		assert_string_equal(q->region, cases[i].region);
		assert_true(q->deadline_us == cases[i].deadline_us);
		assert_int_equal(q->kind, cases[i].kind);
		assert_int_equal(q->node, cases[i].node);
		assert_int_equal(q->wait, cases[i].wait);
	}
	err_set(&f->control.refuse, "F0000", "no such file");
	ask(f, "Q RELOAD; PROBE", &got);
	assert_string_equal(buf_text(&got), "E(F0000 no such file) Z");
	buf_fini(&got);
	fake_free(f);
}

static void
ctrl_c_ends_what_waits_and_nothing_else(void **state)
{
	static const char *const scripts[] = { "Q PAUSE", "P |PAUSE|\nB |||\nE |0\nS", "Q PROBE",
					       "Q SHOW SESSIONS" };
	struct fake *f = fake_new();
	struct buf in = { 0 }, got = { 0 };

	(void)state;
	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_ADMIN);
	console_cancel(f->console); /* nothing is going on */
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		buf_clear(&in);
		buf_clear(&got);
		put_script(&in, scripts[i]);
		console_input(f->console, in.p, in.n);
		console_cancel(f->console);
		console_cancel(f->console);
		fake_settle(f);
		fake_print(f, &got);
		assert_non_null(
		    strstr(buf_text(&got), "E(57014 canceling statement due to user request) Z"));
		assert_null(strstr(buf_text(&got), "C("));
		/* a PAUSE is taken back */
		if (i < 2)
			assert_int_equal(f->control.last.verb, CONTROL_PAUSE_LEFT);
		ask(f, "Q SELECT 1", &got);
		assert_string_equal(buf_text(&got), "T(?column?:23) D[1] C(SELECT 1) Z");
	}
	buf_fini(&in);
	buf_fini(&got);
	fake_free(f);
}

#define ROUTE_T                                                                                   \
	"T(rank:23 region:25 node:25 verdict:25 reason:25 distance_km:701 rtt_ms:701 lag_ms:701 " \
	"load:701 score:701)"

static void
a_query_is_explained(void **state)
{
	static const struct {
		const char *script, *row;
	} cases[] = {
		{ "Q EXPLAIN ROUTE QUERY 'SELECT nextval(''s'')' CITY 'new york'",
		  "D[write|home|FUNCTION|nextval|calls a function that may write, or is not known|"
		  "us-east1|db1:5432|||||]" },
		{ "Q EXPLAIN ROUTE QUERY 'SELECT 1' FOR REGION us-west1 DATABASE movr",
		  "D[read|home|NO_NEARER||reads, but no usable standby of its cluster is "
		  "nearer "
		  "than home|us-west1|db3:5432|||||]" },
		{ "Q EXPLAIN ROUTE QUERY 'SELECT 1' SESSION 2",
		  "D[read|home|NO_POSITION||reads, but how far the session has seen its data "
		  "is "
		  "not known|||||5/60||]" },
		{ "P |EXPLAIN ROUTE QUERY $1 CITY paris|\nB ||LOCK TABLE t|\nE |0\nS",
		  "D[write|home|STATEMENT|LockStmt|is no query|" },
	};
	struct fake *f = fake_new();
	struct buf got = { 0 };

	(void)state;
	f->world.gazetteer = gazetteer_open(TEST_GAZETTEER, NULL);
	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_STATS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(f, cases[i].script, &got);
		if (strstr(buf_text(&got), cases[i].row) == NULL)
			fail_msg("%s: %s", cases[i].script, buf_text(&got));
	}
	buf_fini(&got);
	fake_free(f);
}

static void
a_route_is_explained_in_order(void **state)
{
	static const struct {
		const char *script, *first;
	} cases[] = {
		{ "Q EXPLAIN ROUTE CITY 'new york'", "D[1|us-east1|db1:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR LOCATION '50.45,3.82'",
		  "D[1|europe-west1|db4:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR REGION us-west1", "D[1|us-west1|db3:5432|chosen|" },
		{ "Q EXPLAIN ROUTE SESSION 2 ACCESS read-write",
		  "D[1|europe-west1|db4:5432|chosen|" },
		{ "P |EXPLAIN ROUTE CITY $1|\nDS \nB ||new york|\nE |0\nS",
		  "D[1|us-east1|db1:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR 'new york'",
		  "N(00000 'new york' is taken for a city) " ROUTE_T
		  " D[1|us-east1|db1:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR '50.45, 3.82' ACCESS read-write",
		  "N(00000 '50.45, 3.82' is taken for a location) " ROUTE_T
		  " D[1|europe-west1|db4:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR '81.2.69.142'",
		  "N(00000 '81.2.69.142' is taken for an address) " },
		{ "Q EXPLAIN ROUTE FOR us-west1",
		  "N(00000 'us-west1' is taken for a region) " ROUTE_T
		  " D[1|us-west1|db3:5432|chosen|" },
		{ "Q EXPLAIN ROUTE FOR 2 DATABASE movr",
		  "N(00000 '2' is taken for a session) " ROUTE_T
		  " D[1|europe-west1|db4:5432|chosen|" },
		{ "P |EXPLAIN ROUTE FOR $1|\nB ||new york|\nDP \nE |0\nS",
		  "N(00000 'new york' is taken for a city) D[1|us-east1|db1:5432|chosen|" },
		{ "Q EXPLAIN ROUTE", "N(00000 this connection is explained: session 1) " ROUTE_T
				     " D[1|europe-west1|db4:5432|chosen|" },
		{ "Q EXPLAIN ROUTE DATABASE movr ACCESS any",
		  "N(00000 this connection is explained: session 1) " ROUTE_T
		  " D[1|europe-west1|db4:5432|chosen|" },
	};
	struct fake *f = fake_new();
	struct buf got = { 0 };
	const char *at;

	(void)state;
	f->world.gazetteer = gazetteer_open(TEST_GAZETTEER, NULL);
	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_STATS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(f, cases[i].script, &got);
		at = strstr(buf_text(&got), cases[i].first);
		assert_non_null(at);
		at = strstr(at, " D[2|");
		assert_non_null(at);
		at = strstr(at, " D[3|");
		assert_non_null(at);
		assert_non_null(strstr(at, "C(EXPLAIN) Z"));
	}
	ask(f, "Q EXPLAIN LOCALITY CITY 'new york'", &got);
	assert_non_null(strstr(buf_text(&got), "D[startup|city|new york|f|t|"));
	ask(f, "Q EXPLAIN LOCALITY SESSION 1", &got);
	assert_non_null(strstr(buf_text(&got), "D[startup|city|paris|f|t|"));
	ask(f, "Q EXPLAIN LOCALITY", &got);
	assert_non_null(strstr(buf_text(&got), "D[startup|city|paris|f|t|"));
	ask(f, "Q EXPLAIN LOCALITY FOR 'new york'", &got);
	assert_non_null(strstr(buf_text(&got), "D[startup|city|new york|f|t|"));
	ask(f, "Q EXPLAIN LOCALITY FOR '81.2.69.300'", &got);
	assert_string_equal(buf_text(&got), "E(22023 \"81.2.69.300\" is no address, location, "
					    "session, region or city) Z");
	ask(f, "Q EXPLAIN ROUTE FOR '91,2'", &got);
	assert_string_equal(buf_text(&got), "N(00000 '91,2' is taken for a location) "
					    "E(22023 \"91,2\" is no location) Z");
	ask(f, "Q EXPLAIN ROUTE FOR 4711", &got);
	assert_non_null(strstr(buf_text(&got), "E(42704 session 4711 does not exist) Z"));
	ask(f, "Q EXPLAIN ROUTE CITY 'nowhere at all'", &got);
	assert_non_null(
	    strstr(buf_text(&got), "N(01000 the city did not decide where the caller is"));
	buf_fini(&got);
	fake_free(f);
}

static void
a_session_is_shown_in_sections(void **state)
{
	static const char *const wanted[] = {
		"D[facts|id|3]",
		"D[facts|node|db1:5432]",
		"D[history|1970-01-01 00:00:01.000000+00|attaching: db1:5432]",
		"D[locality|city|paris]",
		"D[evidence|startup city|paris: ",
		"D[route|1|europe-west1 db4:5432 chosen: ",
		"D[bytes|queries|0]",
		"D[bytes|client_rtt_us|1500]",
		"D[move|move_block|]",
	};
	struct fake *f = fake_new();
	struct buf got = { 0 };

	(void)state;
	f->world.gazetteer = gazetteer_open(TEST_GAZETTEER, NULL);
	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_STATS);
	ask(f, "Q SHOW SESSION 3", &got);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(strstr(buf_text(&got), wanted[i]));
	buf_fini(&got);
	fake_free(f);
}

static void
a_session_is_killed_once_and_alone(void **state)
{
	struct fake *f = fake_new();
	struct buf got = { 0 };

	(void)state;
	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_ADMIN);
	ask(f, "Q KILL SESSION 4", &got);
	assert_string_equal(buf_text(&got), "C(KILL SESSION) Z");
	assert_int_equal(f->workers[1].sessions[1].closed, WHY_KILLED);
	assert_int_equal(f->workers[1].sessions[0].closed, WHY_NONE);
	assert_int_equal(f->workers[0].sessions[0].closed, WHY_NONE);
	assert_int_equal(f->workers[0].sessions[1].closed, WHY_NONE);
	buf_fini(&got);
	fake_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_may_look_and_admins_may_change),
		cmocka_unit_test(whatever_changes_something_needs_admin),
		cmocka_unit_test(every_command_has_a_short_help),
		cmocka_unit_test(every_command_has_an_example_with_its_answer),
		cmocka_unit_test(no_command_of_admins_is_open_to_others),
		cmocka_unit_test(every_listing_without_arguments_answers),
		cmocka_unit_test(requests_reach_control_as_they_were_meant),
		cmocka_unit_test(ctrl_c_ends_what_waits_and_nothing_else),
		cmocka_unit_test(a_query_is_explained),
		cmocka_unit_test(a_route_is_explained_in_order),
		cmocka_unit_test(a_session_is_shown_in_sections),
		cmocka_unit_test(a_session_is_killed_once_and_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
