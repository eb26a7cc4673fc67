/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/args.h"

#include "tests/unit/unit.h"

#define WORDS_MAX 16

/* The words, with a NULL behind the last, as main() gets them. */
static int
parse(const char *const *words, struct args *out, struct err *e)
{
	char *argv[WORDS_MAX];
	int argc = 1;

	argv[0] = (char *)(uintptr_t) "meridian";
	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	argv[argc] = NULL;
	memset(e, 0, sizeof(*e));
	return args_parse(argc, argv, out, e);
}

#define PARSE(out, e, ...) parse((const char *const[]){ __VA_ARGS__ }, out, e)

static void
no_argument_means_run_with_the_default_file(void **state)
{
	struct args a;
	struct err e;

	(void)state;
	assert_int_equal(PARSE(&a, &e, NULL), 0);
	assert_int_equal(a.action, ACTION_RUN);
	assert_null(a.config.path);
	args_fini(&a);
}

static void
every_option_finds_its_place(void **state)
{
	struct args a;
	struct err e;

	(void)state;
	assert_int_equal(PARSE(&a, &e, "--listen", "127.0.0.1:1", "--listen=[::1]:2", "--region",
			       "us-east1=db1:5432,db2", "--set", "a=b=c", "--geoip", "x.mmdb",
			       "--socket-dir", "/run/x", "-c", "m.conf", NULL),
			 0);
	assert_int_equal(a.action, ACTION_CHECK);
	assert_string_equal(a.config.path, "m.conf");
	assert_int_equal(a.config.listen.n, 2);
	assert_string_equal(a.config.listen.v[1], "[::1]:2");
	assert_string_equal(a.config.regions.v[0], "us-east1=db1:5432,db2");
	assert_string_equal(a.config.set.v[0], "a=b=c");
	assert_string_equal(a.config.geoip.v[0], "x.mmdb");
	assert_string_equal(a.config.socket_dir, "/run/x");
	args_fini(&a);
}

static void
what_only_prints_wins_over_what_acts(void **state)
{
	struct args a;
	struct err e;

	(void)state;
	assert_int_equal(PARSE(&a, &e, "--help", "--check", NULL), 0);
	assert_int_equal(a.action, ACTION_HELP);
	args_fini(&a);
	assert_int_equal(PARSE(&a, &e, "-V", NULL), 0);
	assert_int_equal(a.action, ACTION_VERSION);
	args_fini(&a);
}

static void
behind_two_dashes_only_a_file_can_stand(void **state)
{
	struct args a;
	struct err e;

	(void)state;
	assert_int_equal(PARSE(&a, &e, "--", "--check", NULL), 0);
	assert_int_equal(a.action, ACTION_RUN);
	assert_string_equal(a.config.path, "--check");
	args_fini(&a);
}

static void
mistakes_are_named(void **state)
{
	struct args a;
	struct err e;

	(void)state;
	assert_int_equal(PARSE(&a, &e, "--listn", "x", NULL), -1);
	assert_string_equal(e.msg, "unknown option --listn");
	assert_string_equal(e.hint, "Did you mean --listen?");
	assert_int_equal(PARSE(&a, &e, "-x", NULL), -1);
	assert_string_equal(e.msg, "unknown option -x");
	assert_string_equal(e.hint, "See meridian --help.");
	assert_int_equal(PARSE(&a, &e, "-cx", NULL), -1);
	assert_string_equal(e.msg, "unknown option -cx");
	assert_int_equal(PARSE(&a, &e, "--region", NULL), -1);
	assert_string_equal(e.msg, "option --region needs a value: --region NAME=HOST:PORT[,...]");
	assert_int_equal(PARSE(&a, &e, "--check=yes", NULL), -1);
	assert_string_equal(e.msg, "option --check takes no value");
	assert_int_equal(PARSE(&a, &e, "a.conf", "b.conf", NULL), -1);
	assert_string_equal(e.msg, "only one configuration file is possible: \"a.conf\" and "
				   "\"b.conf\" were given");
}

static void
each_printing_action_has_an_answer(void **state)
{
	static const struct {
		enum action action;
		const char *part;
	} cases[] = {
		{ ACTION_VERSION, "meridian " PACKAGE_VERSION "\n" },
		{ ACTION_HELP, "  -c, --check " },
		{ ACTION_HELP_CONFIG, "[region NAME]" },
		{ ACTION_DUMP_SAMPLE, ";max_client_conn = 1000\n" },
		{ ACTION_DUMP_MAN, ".B max_client_conn\n" },
		{ ACTION_DUMP_COMMANDS, "\\fBSHOW REGIONS\\fR\n" },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&b);
		assert_true(args_answer(cases[i].action, &b));
		assert_non_null(strstr(buf_text(&b), cases[i].part));
	}
	buf_clear(&b);
	assert_false(args_answer(ACTION_RUN, &b));
	assert_false(args_answer(ACTION_CHECK, &b));
	assert_false(args_answer(ACTION_DUMP_STATES, &b));
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_argument_means_run_with_the_default_file),
		cmocka_unit_test(every_option_finds_its_place),
		cmocka_unit_test(what_only_prints_wins_over_what_acts),
		cmocka_unit_test(behind_two_dashes_only_a_file_can_stand),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(each_printing_action_has_an_answer),
	};

	return cmocka_run_group_tests_name("proxy/args", tests, NULL, NULL);
}
