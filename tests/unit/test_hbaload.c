/* SPDX-License-Identifier: PostgreSQL */
#include <config.h>

#include "proxy/config/hbaload.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/ident.h"
#include "proxy/config/config.h"

#include "tests/unit/unit.h"

#define REGION "[region us-east1]\nnodes = localhost\n"

static char *hba_path, *ident_path, *conf_path;

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A configuration of these options and files; NULL and *e. */
static struct config *
load(const char *options, const char *hba, const char *ident, struct err *e)
{
	struct config_args args = { .path = conf_path };
	char *text = xasprintf("[meridian]\nhba_file = %s\nauth_ident_file = %s\n%s\n" REGION,
			       hba_path, ident_path, options);

	write_text(hba_path, hba);
	write_text(ident_path, ident);
	write_text(conf_path, text);
	free(text);
	return config_load(&args, e);
}

static void
both_files_are_loaded_and_shared_by_copies(void **state)
{
	struct err e = { 0 };
	struct config *copy, *c = load("auth = hba", "local all all trust\n", "m a b\n", &e);

	(void)state;
	assert_non_null(c);
	assert_int_equal(hba_count(c->hba), 1);
	assert_int_equal(ident_count(c->ident), 1);
	write_text(hba_path, "nonsense\n");
	copy = config_set(c, "max_client_conn", "5", &e); /* reads no file */
	assert_non_null(copy);
	assert_ptr_equal(copy->hba, c->hba);
	assert_ptr_equal(copy->ident, c->ident);
	config_unref(c);
	assert_int_equal(hba_count(copy->hba), 1);
	config_unref(copy);
}

static void
set_reads_a_file_anew(void **state)
{
	struct err e = { 0 };
	struct config *copy, *c = load("auth = hba", "local all all trust\n", "m a b\n", &e);

	(void)state;
	write_text(hba_path, "local all all trust\nlocal all all reject\n");
	copy = config_set(c, "hba_file", hba_path, &e);
	assert_non_null(copy);
	assert_int_equal(hba_count(copy->hba), 2);
	assert_int_equal(hba_count(c->hba), 1);
	config_unref(copy);
	write_text(hba_path, "nonsense\n");
	assert_null(config_set(c, "hba_file", hba_path, &e));
	assert_non_null(strstr(e.msg, ":1: invalid connection type \"nonsense\""));
	assert_null(config_set(c, "hba_file", "/nonexistent/hba", &e));
	assert_null(config_set(c, "auth_ident_file", "/nonexistent/ident", &e));
	copy = config_set(c, "auth_ident_file", "", &e);
	assert_null(copy); /* hba_file is broken by now */
	write_text(hba_path, "local all all trust\n");
	copy = config_set(c, "auth_ident_file", "", &e);
	assert_non_null(copy);
	assert_null(copy->ident);
	config_unref(copy);
	config_unref(c);
}

static void
errors_name_the_option_the_file_and_the_line(void **state)
{
	struct err e = { 0 };
	char *expected;

	(void)state;
	assert_null(load("auth = hba", "\nx\n", "", &e));
	expected = xasprintf("hba_file: %s:2: invalid connection type \"x\"", hba_path);
	assert_non_null(strstr(e.msg, expected));
	free(expected);
	assert_null(load("auth = hba", "", "x\n", &e));
	expected = xasprintf("auth_ident_file: %s:1: expected three fields", ident_path);
	assert_non_null(strstr(e.msg, expected));
	free(expected);
}

static void
auth_asks_for_what_it_needs(void **state)
{
	struct config_args args = { .path = conf_path };
	struct err e = { 0 };

	(void)state;
	write_text(conf_path, "[meridian]\nauth = hba\n" REGION);
	assert_null(config_load(&args, &e));
	assert_non_null(strstr(e.msg, ":2: [meridian]: auth = hba needs option \"hba_file\""));
	write_text(conf_path, "[meridian]\nauth = cert\n" REGION);
	assert_null(config_load(&args, &e));
	assert_non_null(strstr(e.msg, "auth = cert needs option \"tls_ca_file\" of a listener"));
	write_text(conf_path, "[meridian]\n" REGION "[database d]\nauth = hba\n");
	assert_null(config_load(&args, &e));
	assert_non_null(strstr(e.msg, ":5: [database d]: auth = hba needs option \"hba_file\""));
}

static int
name_files(void **state)
{
	char dir[] = "/tmp/hbaload.XXXXXX";

	log_set_level(LOG_LEVEL_FATAL);
	assert_non_null(mkdtemp(dir));
	*state = xstrdup(dir);
	hba_path = xasprintf("%s/hba", dir);
	ident_path = xasprintf("%s/ident", dir);
	conf_path = xasprintf("%s/conf", dir);
	return 0;
}

static int
remove_files(void **state)
{
	char *paths[] = { hba_path, ident_path, conf_path };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		unlink(paths[i]);
		free(paths[i]);
	}
	rmdir(*state);
	free(*state);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_files_are_loaded_and_shared_by_copies),
		cmocka_unit_test(set_reads_a_file_anew),
		cmocka_unit_test(errors_name_the_option_the_file_and_the_line),
		cmocka_unit_test(auth_asks_for_what_it_needs),
	};

	return cmocka_run_group_tests(tests, name_files, remove_files);
}
