/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/connuri.h"

#include <stdio.h>

#include "protocol/frame.h"
#include "protocol/startup.h"

#include "tests/unit/unit.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* "user|password|database|application_name|options", or "" where it is refused. */
static void
describe(struct slice uri, char *to, size_t size)
{
	struct buf text = { 0 };
	struct connuri u;
	struct err e = { 0 };

	to[0] = '\0';
	if (connuri_parse(uri, &text, &u, &e) == 0)
		snprintf(to, size, "%.*s|%.*s|%.*s|%.*s|%.*s", (int)u.user.n, u.user.p,
			 (int)u.password.n, u.password.p, (int)u.database.n, u.database.p,
			 (int)u.application_name.n, u.application_name.p, (int)u.options.n,
			 u.options.p);
	else
		assert_string_equal(e.sqlstate, "08001");
	buf_fini(&text);
}

static void
a_uri_says_who_it_is(void **state)
{
	static const struct {
		const char *uri, *said;
	} cases[] = {
		{ "postgresql://alice:wonder@db.example/movr", "alice|wonder|movr||" },
		{ "postgres://alice@h", "alice||alice||" },
		{ "postgresql://alice:@h:5432/", "alice||alice||" },
		{ "postgresql://a%40b:p%3A%2F%3f%23@h/d%20b", "a@b|p:/?#|d b||" },
		{ "postgresql://a@b:c@h/d", "a@b|c|d||" },
		{ "postgresql://alice:a:b+c@h/d", "alice|a:b+c|d||" },
		{ "postgresql://alice@h1:1,h2:2/d", "alice||d||" },
		{ "postgresql://alice@/d", "alice||d||" },
		{ "postgresql://alice@[::1]:5432/d", "alice||d||" },
		{ "postgresql://alice@h/d?sslmode=require&application_name=pkg%3Anpm%2Fx&"
		  "options=-c%20meridian.city%3Dparis",
		  "alice||d|pkg:npm/x|-c meridian.city=paris" },
		{ "postgresql://alice@h/d?options=-c+a.b%3Dc%2Bd", "alice||d||-c a.b=c+d" },
		{ "postgresql://alice@h?application_name=x", "alice||alice|x|" },
		{ "postgresql://alice@h/d?application_name&options=#application_name=x",
		  "alice||d||" },
		{ "postgresql://h/d", "" },
		{ "postgresql://:p@h/d", "" },
		{ "postgresql://a%4@h/d", "" },
		{ "postgresql://a%zz@h/d", "" },
		{ "postgresql://a%00@h/d", "" },
		{ "postgresql://a@h/d?options=%", "" },
		{ "postgresql:alice", "" },
		{ "mysql://alice@h/d", "" },
		{ "", "" },
	};
	char said[200];

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		describe(slice_str(cases[i].uri), said, sizeof(said));
		assert_string_equal(said, cases[i].said);
	}
}

static void
a_uri_cut_anywhere_is_refused_or_read(void **state)
{
	static const char uri[] =
	    "postgresql://a%40b:p%20w@h:5/d%2f?application_name=%41&options=-c%20x";
	char said[200];

	(void)state;
	for (size_t n = 0; n < sizeof(uri); n++)
		describe(slice_of(uri, n), said, sizeof(said));
}

static void
its_startup_packet_is_read_as_a_clients(void **state)
{
	struct buf text = { 0 }, b = { 0 };
	static struct startup st;
	struct connuri u;
	struct err e;
	struct slice value;

	(void)state;
	assert_int_equal(connuri_parse(slice_str("postgresql://alice:x@h/movr?application_name=app&"
						 "options=-c%20meridian.city%3Dparis"),
				       &text, &u, &e),
			 0);
	connuri_put_startup(&b, &u);
	assert_false(b.failed);
	assert_int_equal(startup_parse(buf_view(&b), &st, &e), PARSE_DONE);
	assert_true(slice_is(st.user, "alice"));
	assert_true(slice_is(st.database, "movr"));
	assert_true(slice_is(st.application_name, "app"));
	assert_true(slice_is(st.options, "-c meridian.city=paris"));
	assert_true(startup_param(&st, "client_encoding", &value) && slice_is(value, "UTF8"));
	buf_fini(&text);
	buf_fini(&b);
}

static void
a_startup_packet_that_is_too_long_fails(void **state)
{
	static char name[STARTUP_BYTES_MAX];
	struct connuri u = { .user = slice_of("a", 1) };
	struct buf b = { 0 };

	(void)state;
	memset(name, 'x', sizeof(name));
	u.database = slice_of(name, sizeof(name));
	connuri_put_startup(&b, &u);
	assert_true(b.failed);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uri_says_who_it_is),
		cmocka_unit_test(a_uri_cut_anywhere_is_refused_or_read),
		cmocka_unit_test(its_startup_packet_is_read_as_a_clients),
		cmocka_unit_test(a_startup_packet_that_is_too_long_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
