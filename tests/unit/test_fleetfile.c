/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/config/fleetfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/fleetkey.h"
#include "proxy/config/config.h"
#include "tests/unit/secrets.h"

#include "tests/unit/unit.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"

static char path[32];

static void
write_keys(const char *text, mode_t mode)
{
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/meridian-XXXXXX");
	f = fdopen(mkstemp(path), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void
keys_are_read_from_a_file_that_is_ours_alone(void **state)
{
	struct fleet_keys *k;
	struct err e;

	(void)state;
	write_keys(KEY, 0640);
	k = fleetfile_load(path, &e);
	assert_non_null(k);
	assert_int_equal(count_keys(k), 1);
	fleetkey_unref(k);
	assert_int_equal(chmod(path, 0644), 0);
	assert_null(fleetfile_load(path, &e));
	assert_non_null(strstr(e.msg, "others may use it"));
	(void)unlink(path);
	assert_null(fleetfile_load(path, &e));
	assert_non_null(strstr(e.msg, "No such file"));
	assert_null(fleetfile_load("/tmp", &e));
}

static void
a_file_that_is_too_long_is_refused(void **state)
{
	char text[FLEET_FILE_MAX + 1];
	struct err e;

	(void)state;
	memset(text, '#', sizeof(text));
	text[FLEET_FILE_MAX] = '\0';
	write_keys(text, 0600);
	assert_null(fleetfile_load(path, &e));
	assert_non_null(strstr(e.msg, "longer than 4095 bytes"));
	(void)unlink(path);
}

/* NULL, and the complaint in *e, where a row of options is refused. */
static struct config *
configure(const char *const options[], struct err *e)
{
	struct config_args args = { .path = "/dev/null" };
	struct config *c;

	strlist_add(&args.regions, "us-east1=127.0.0.1:1");
	for (size_t i = 0; options[i] != NULL; i++)
		strlist_add(&args.set, options[i]);
	c = config_load(&args, e);
	strlist_fini(&args.regions);
	strlist_fini(&args.set);
	return c;
}

static void
a_fleet_needs_numbers_and_keys(void **state)
{
	static const struct {
		const char *options[4];
		const char *msg;
	} rows[] = {
		{ { "peers=1=a:1" }, "option \"peers\" needs option \"fleet_key_file\" beside it" },
		{ { "fleet_key_file=/dev/null" },
		  "option \"fleet_key_file\" needs option \"peer_id\" beside it" },
		{ { "peer_id=1", "fleet_key_file=/dev/null", "peers=1=a:1, 2=b, 01=c" },
		  "option \"peers\": there are two peers 1" },
		{ { "peers=1024=a:1" }, "\"1024=a:1\" is not" },
		{ { "peers=0=a:1" }, "\"0=a:1\" is not" },
		{ { "peers=a:1" }, "\"a:1\" is not" },
		{ { "peers=1=" }, "\"1=\" is not" },
		{ { "peer_id=1024" }, "\"1024\" is not" },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(configure(rows[i].options, &e));
		if (strstr(e.msg, rows[i].msg) == NULL)
			fail_msg("%s: %s", rows[i].options[0], e.msg);
	}
}

static void
keys_are_shared_by_copies_and_peers_have_one_form(void **state)
{
	char file[64];
	const char *const options[] = { "peer_id=7", file, "peers=1=a, 2 = [::1]:7000,3=b:1",
					NULL };
	struct config *c, *copy;
	struct err e;

	(void)state;
	write_keys(KEY, 0600);
	snprintf(file, sizeof(file), "fleet_key_file=%s", path);
	c = configure(options, &e);
	if (c == NULL)
		fail_msg("%s", e.msg);
	assert_int_equal(c->main.peer_id, 7);
	assert_string_equal(c->main.peers.v[0], "1=a:6433");
	assert_string_equal(c->main.peers.v[1], "2=[::1]:7000");
	assert_string_equal(c->main.peers.v[2], "3=b:1");
	copy = config_set(c, "max_client_conn", "5", &e);
	assert_non_null(copy);
	assert_ptr_equal(copy->fleet_keys, c->fleet_keys);
	config_unref(c);
	assert_int_equal(count_keys(copy->fleet_keys), 1);
	(void)unlink(path);
	assert_null(config_set(copy, "fleet_key_file", path, &e));
	config_unref(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_read_from_a_file_that_is_ours_alone),
		cmocka_unit_test(a_file_that_is_too_long_is_refused),
		cmocka_unit_test(a_fleet_needs_numbers_and_keys),
		cmocka_unit_test(keys_are_shared_by_copies_and_peers_have_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
