/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "proxy/auth/authfile.h"
#include "proxy/config/options.h"

#include "tests/unit/unit.h"

/* One file in a folder of its own, gone with file_remove(). */
struct file {
	char dir[64];
	char path[96];
};

static struct file
file_write(const char *text)
{
	struct file f = { .dir = "/tmp/meridian-test-XXXXXX" };
	FILE *out;

	assert_non_null(mkdtemp(f.dir));
	snprintf(f.path, sizeof(f.path), "%s/m.conf", f.dir);
	out = fopen(f.path, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
	return f;
}

static void
file_remove(const struct file *f)
{
	unlink(f->path);
	rmdir(f->dir);
}

static struct config *
load_text(const char *text, struct config_args *args, struct err *e)
{
	struct file f = file_write(text);
	struct config *c;

	memset(e, 0, sizeof(*e));
	args->path = f.path;
	c = config_load(args, e);
	file_remove(&f);
	return c;
}

static struct config *
good(const char *text)
{
	struct config_args args = { 0 };
	struct err e;
	struct config *c = load_text(text, &args, &e);

	if (c == NULL)
		print_error("%s\n", e.msg);
	assert_non_null(c);
	return c;
}

#define REGION "[region us-east1]\nnodes = db1\n"

static void
a_file_is_loaded_and_named(void **state)
{
	struct config *c = good(REGION);

	(void)state;
	assert_non_null(strstr(c->path, "/m.conf"));
	assert_int_equal(c->version, 1);
	config_unref(config_ref(c));
	config_unref(c);
	config_unref(NULL);
}

static void
an_absent_file_is_an_error_where_it_was_named(void **state)
{
	struct config_args args = { .path = "/nonexistent/m.conf" };
	struct err e;

	(void)state;
	assert_null(config_load(&args, &e));
	assert_string_equal(e.msg, "could not open configuration file \"/nonexistent/m.conf\": No "
				   "such file or directory");
}

static void
a_mistake_names_the_path_as_it_was_given(void **state)
{
	struct config_args args = { 0 };
	struct file f = file_write("[meridian]\n\nworkerz = 3\n");
	struct err e;
	char expected[200];

	(void)state;
	args.path = f.path;
	assert_null(config_load(&args, &e));
	snprintf(expected, sizeof(expected),
		 "%s:3: unknown option \"workerz\" in section [meridian] (did you mean "
		 "\"workers\"?)",
		 f.path);
	assert_string_equal(e.msg, expected);
	file_remove(&f);
}

static void
arguments_win_over_the_file(void **state)
{
	struct config_args args = { 0 };
	struct config *c;
	struct err e;

	(void)state;
	strlist_add(&args.listen, "127.0.0.1:7001");
	strlist_add(&args.listen, "[::1]:7002");
	strlist_add(&args.regions, "us-east1=a:1,b:2");
	strlist_add(&args.regions, "europe-west1=c");
	strlist_add(&args.regions, "us-east1 = d:4");
	strlist_add(&args.set, "workers=2");
	strlist_add(&args.set, "probe_conninfo=user=x dbname=y");
	strlist_add(&args.set, "listen_port = 7003");
	args.socket_dir = xstrdup("/run/x");
	c = load_text("[meridian]\nlisten = 127.0.0.1:1\nworkers = 9\n" REGION, &args, &e);
	assert_non_null(c);
	assert_int_equal(c->listeners[0].listen.n, 3);
	assert_string_equal(c->listeners[0].listen.v[0], "127.0.0.1:7001");
	assert_string_equal(c->listeners[0].listen.v[2], "/run/x");
	assert_int_equal(c->main.workers, 2);
	assert_int_equal(c->main.listen_port, 7003);
	assert_string_equal(c->main.probe_conninfo, "user=x dbname=y");
	assert_int_equal(c->nregions, 2);
	assert_int_equal(c->regions[0].nodes.n, 3);
	assert_string_equal(c->regions[0].nodes.v[1], "b:2");
	assert_string_equal(c->regions[0].nodes.v[2], "d:4");
	assert_string_equal(c->regions[1].name, "europe-west1");
	assert_string_equal(c->regions[1].nodes.v[0], "c:5432");
	config_unref(c);
	strlist_fini(&args.listen);
	strlist_fini(&args.regions);
	strlist_fini(&args.set);
	free(args.socket_dir);
}

static const char *
argument_error(const char *set, const char *region, const char *listen, struct err *e)
{
	struct config_args args = { 0 };

	if (set != NULL)
		strlist_add(&args.set, set);
	if (region != NULL)
		strlist_add(&args.regions, region);
	if (listen != NULL)
		strlist_add(&args.listen, listen);
	assert_null(load_text(REGION, &args, e));
	strlist_fini(&args.set);
	strlist_fini(&args.regions);
	strlist_fini(&args.listen);
	return e->msg;
}

static void
bad_arguments_are_named(void **state)
{
	struct err e;

	(void)state;
	assert_string_equal(argument_error("workers", NULL, NULL, &e),
			    "--set: expected OPTION=VALUE, found \"workers\"");
	assert_string_equal(argument_error("worker=1", NULL, NULL, &e),
			    "--set worker: unknown option \"worker\"");
	assert_string_equal(e.hint, "Did you mean \"workers\"?");
	assert_string_equal(argument_error("workers=x", NULL, NULL, &e),
			    "--set workers: \"x\" is not a whole number from 0 to 256 or auto");
	assert_string_equal(argument_error(NULL, "r1", NULL, &e),
			    "--region: expected NAME=HOST:PORT[,…], found \"r1\"");
	assert_string_equal(argument_error(NULL, "a b=c", NULL, &e),
			    "--region: expected a name of up to 63 letters, digits, dots, dashes "
			    "or underscores, found \"a b\"");
	assert_string_equal(argument_error(NULL, "r1=db:x", NULL, &e),
			    "--region r1: \"db:x\" is not a node (host, host:port, "
			    "[address]:port, or /directory of a unix socket)");
	assert_non_null(strstr(argument_error(NULL, NULL, "nowhere:x", &e), "--listen: "));
}

static void
files_that_are_named_must_be_readable(void **state)
{
	struct config_args args = { 0 };
	struct err e;

	(void)state;
	assert_null(load_text("[meridian]\ntls_cert_file = /proc/self/stat\n"
			      "tls_key_file = /nonexistent/k\n" REGION,
			      &args, &e));
	assert_non_null(strstr(e.msg,
			       "m.conf:3: [meridian]: option \"tls_key_file\": could not open "
			       "\"/nonexistent/k\": No such file or directory"));
	assert_null(load_text("[meridian]\ntls_cert_file = /proc/self/stat\n"
			      "tls_key_file = /dev/zero\n" REGION,
			      &args, &e));
	assert_non_null(
	    strstr(e.msg, "option \"tls_key_file\": \"/dev/zero\" is not a regular file"));
	assert_null(load_text("[meridian]\nauth_file = /nonexistent/u\n" REGION, &args, &e));
	assert_non_null(strstr(e.msg, "/nonexistent/u"));
}

static void
a_pool_needs_to_know_who_its_clients_are(void **state)
{
	struct config_args args = { 0 };
	struct err e;

	(void)state;
	assert_null(load_text(REGION "[database x]\npool = transaction\n", &args, &e));
	assert_non_null(strstr(e.msg, "pool = transaction needs an auth other than passthrough"));
	config_unref(good("[meridian]\nauth = trust\n" REGION "[database x]\npool = session\n"));
	config_unref(good(REGION "[database x]\npool = session\nauth = trust\n"));
}

static void
auth_file_is_loaded_and_shared_by_copies(void **state)
{
	struct file users = file_write("\"admin\" \"\"\n");
	struct config *c, *copy;
	struct err e;
	char text[200];

	(void)state;
	snprintf(text, sizeof(text), "[meridian]\nauth_file = %s\n" REGION, users.path);
	c = good(text);
	file_remove(&users);
	assert_int_equal(authfile_count(c->auth), 1);
	copy = config_set(c, "max_client_conn", "5", &e);
	assert_non_null(copy);
	assert_ptr_equal(copy->auth, c->auth);
	config_unref(c);
	assert_int_equal(authfile_count(copy->auth), 1);
	assert_null(config_set(copy, "auth_file", "/nonexistent/u", &e));
	config_unref(copy);
}

static void
set_changes_one_option_of_a_copy(void **state)
{
	struct config *c = good("[meridian]\nadmin_users = a, b\n"
				"trusted_proxies = 10.0.0.0/8\n"
				"[listener lb]\nlisten = *:6434\n" REGION
				"cities = paris\n[database x]\nregions = us-east1\n");
	struct config *copy;
	struct err e;

	(void)state;
	copy = config_set(c, "probe_interval", "100ms", &e);
	assert_non_null(copy);
	assert_int_equal(c->main.probe_interval, 2000000);
	assert_int_equal(copy->main.probe_interval, 100000);
	assert_int_equal(copy->main.stale_after, 300000);
	assert_int_equal(copy->version, c->version + 1);
	config_unref(c);
	/* the copy stands on its own */
	assert_string_equal(copy->main.admin_users.v[1], "b");
	assert_int_equal(copy->main.trusted_proxies.n, 1);
	assert_string_equal(copy->listeners[1].listen.v[0], "*:6434");
	assert_string_equal(copy->regions[0].cities.v[0], "paris");
	assert_string_equal(copy->databases[0].regions.v[0], "us-east1");
	config_unref(copy);
}

static void
set_refuses_what_is_unknown_or_wrong_or_takes_a_restart(void **state)
{
	struct config *c = good(REGION);
	struct err e;

	(void)state;
	assert_null(config_set(c, "max_client_con", "5", &e));
	assert_string_equal(e.sqlstate, "42704");
	assert_string_equal(e.msg, "unknown option \"max_client_con\"");
	assert_string_equal(e.hint, "Did you mean \"max_client_conn\"?");
	assert_null(config_set(c, "max_client_conn", "none", &e));
	assert_string_equal(e.sqlstate, "22023");
	assert_string_equal(e.msg, "option \"max_client_conn\": \"none\" is not a whole number "
				   "from 1 to 10000000");
	assert_null(config_set(c, "listen", "*:1", &e));
	assert_string_equal(e.sqlstate, "55P02");
	assert_null(config_set(c, "region", "mars", &e));
	assert_string_equal(e.msg, "[meridian]: option \"region\": unknown region \"mars\"");
	assert_null(config_set(c, "tls", "require", &e));
	assert_string_equal(e.msg, "[meridian]: tls = require needs option \"tls_cert_file\"");
	config_unref(c);
}

static void
the_difference_of_a_reload_is_told_line_by_line(void **state)
{
	struct config *a =
	    good("[meridian]\nmax_client_conn = 100\nadmin_users = x\n"
		 "probe_conninfo = user=p password=one\n" REGION "[region gone]\nnodes = z\n");
	struct config *b = good("[meridian]\nmax_client_conn = 200\nworkers = 4\n"
				"probe_conninfo = user=p password=two\n" REGION
				"bias = 3\n[database d]\n[listener lb]\nlisten = *:6434\n");
	struct buf text = { 0 };

	(void)state;
	assert_int_equal(config_diff(a, b, DIFF_ALL, &text), 8);
	assert_string_equal(
	    buf_text(&text),
	    "workers: auto -> 4 (restart)\n"
	    "admin_users: x -> (none) (new sessions)\n"
	    "probe_conninfo: user=p password=******** -> user=p password=******** (at once)\n"
	    "max_client_conn: 100 -> 200 (at once)\n"
	    "[listener lb] added (restart)\n"
	    "[region us-east1] bias: 0 -> 3 (new sessions)\n"
	    "[region gone] removed (new sessions)\n"
	    "[database d] added (new sessions)\n");
	buf_clear(&text);
	assert_int_equal(config_diff(a, a, DIFF_ALL, &text), 0);
	assert_int_equal(text.n, 0);
	buf_fini(&text);
	config_unref(a);
	config_unref(b);
}

static const struct config_row *
find_row_since(const struct config *begun, const struct config *c, const char *key,
	       struct config_row *row)
{
	for (size_t i = 0; i < config_nrows(); i++) {
		config_row(c, begun, i, row);
		if (strcmp(row->key, key) == 0)
			return row;
	}
	fail_msg("no row %s", key);
	return NULL;
}

static const struct config_row *
find_row(const struct config *c, const char *key, struct config_row *row)
{
	return find_row_since(c, c, key, row);
}

static void
rows_show_every_option_and_no_password(void **state)
{
	struct config *c = good("[meridian]\nprobe_conninfo = user='a b' password=geheim "
				"dbname=''\n" REGION);
	struct config_row row;

	(void)state;
	assert_string_equal(find_row(c, "max_client_conn", &row)->value, "1000");
	assert_string_equal(row.fallback, "1000");
	assert_string_equal(row.changeable, "at once");
	assert_string_equal(find_row(c, "stale_after", &row)->value, "auto");
	assert_string_equal(find_row(c, "workers", &row)->changeable, "restart");
	assert_string_equal(find_row(c, "listen", &row)->value, "127.0.0.1:6433");
	assert_string_equal(find_row(c, "unix_socket_mode", &row)->value, "0777");
	assert_string_equal(find_row(c, "probe_conninfo", &row)->value,
			    "user='a b' password=******** dbname=''");
	for (size_t i = 0; i < config_nrows(); i++) {
		config_row(c, c, i, &row);
		assert_null(strstr(row.value, "geheim"));
		assert_true(strlen(row.text) > 20);
	}
	config_unref(c);
}

static void
unix_sockets_are_named_after_the_port_beside_them(void **state)
{
	static const struct {
		const char *text;
		int first, second;
	} v[] = {
		{ "listen = /a\n", 7000, 7000 },
		{ "listen = /a\n[listener x]\nlisten = /b\n", 6433, 6433 },
		{ "listen = /a, [::1]:7001, *:7002\n", 7001, 7000 },
		{ "listen = /a, ::1\n", 6433, 7000 },
		{ "listen = /a, *:7001\n[listener x]\nlisten = /b\n", 7001, 7001 },
		{ "listen = /a, *:7001\nlisten_port = 7009\n", 7009, 7009 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		bool has_second = strstr(v[i].text, "[listener") != NULL;
		char text[256];
		struct config *c;

		snprintf(text, sizeof(text), "[meridian]\n%s%s" REGION, v[i].text,
			 has_second ? "" : "[listener x]\nlisten = 127.0.0.1:7000, /b\n");
		c = good(text);
		assert_int_equal(c->listeners[0].socket_port, v[i].first);
		assert_int_equal(c->listeners[1].socket_port, v[i].second);
		config_unref(c);
	}
}

static void
a_row_shows_what_is_in_force_and_what_a_restart_brings(void **state)
{
	static const struct {
		const char *key, *value, *pending;
	} v[] = { { "workers", "2", "3" },
		  { "max_client_conn", "20", "" },
		  { "listen", "127.0.0.1:1", "127.0.0.1:2" },
		  { "listen_port", "auto", "" } };
	struct config *begun = good("[meridian]\nworkers = 2\nlisten = 127.0.0.1:1\n"
				    "max_client_conn = 10\n" REGION);
	struct config *c = good("[meridian]\nworkers = 3\nlisten = 127.0.0.1:2\n"
				"max_client_conn = 20\n" REGION);
	struct config_row row;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		find_row_since(begun, c, v[i].key, &row);
		assert_string_equal(row.value, v[i].value);
		assert_string_equal(row.pending, v[i].pending);
	}
	config_unref(begun);
	config_unref(c);
}

static void
a_value_that_does_not_fit_its_row_is_cut_visibly(void **state)
{
	struct buf text = { 0 };
	struct config_row row;
	struct config *c;

	(void)state;
	buf_str(&text, REGION "[meridian]\nadmin_users = first\n");
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "  , user%08d\n", i);
	for (char *p = text.p; (p = strstr(p, "\n  , ")) != NULL; p++)
		memcpy(p, ",\n   ", 5);
	c = good(buf_text(&text));
	assert_int_equal(c->main.admin_users.n, 101);
	find_row(c, "admin_users", &row);
	assert_int_equal(strlen(row.value), sizeof(row.value) - 1);
	assert_string_equal(row.value + sizeof(row.value) - 4, "...");
	config_unref(c);
	buf_fini(&text);
}

static void
the_sample_is_the_defaults(void **state)
{
	struct buf sample = { 0 }, diff = { 0 };
	struct config *a, *b = good(REGION "[database *]\n");

	(void)state;
	config_sample(&sample);
	a = good(buf_text(&sample));
	assert_string_equal(a->regions[0].nodes.v[0], "127.0.0.1:5432");
	assert_int_equal(config_diff(a, b, DIFF_ALL, &diff), 1);
	assert_string_equal(buf_text(&diff), "[region us-east1] nodes: 127.0.0.1:5432 -> db1:5432 "
					     "(new sessions)\n");
	config_unref(a);
	config_unref(b);
	buf_fini(&sample);
	buf_fini(&diff);
}

/* Uncomment each ";option = default" from `p` to `end`; returns how many. What is commented out for
 * another reason stays: the example of a listener, and nodes, which is set already. */
static size_t
uncomment(char *p, const char *end)
{
	size_t n = 0;

	for (p = strstr(p, "\n;"); p != NULL && p < end; p = strstr(p + 1, "\n;")) {
		char *eol = strchr(p + 1, '\n');

		if (p[2] < 'a' || p[2] > 'z' || strncmp(p + 2, "nodes ", 6) == 0)
			continue;
		/* not a blank in front: an indented line would go on with the one above */
		memmove(p + 1, p + 2, (size_t)(eol - (p + 2)));
		eol[-1] = ' ';
		n++;
	}
	return n;
}

static void
the_sample_with_every_default_written_out_is_the_same(void **state)
{
	struct buf sample = { 0 }, diff = { 0 };
	struct config *a, *b;
	char *listener, *region;

	(void)state;
	config_sample(&sample);
	a = good(buf_text(&sample));
	listener = strstr(sample.p, "\n;[listener lb]");
	region = strstr(sample.p, "\n[region us-east1]");
	assert_int_equal(uncomment(sample.p, listener), config_nrows());
	assert_int_equal(uncomment(region, sample.p + sample.n),
			 section_of(SECTION_REGION)->nrows - 1 +
			     section_of(SECTION_DATABASE)->nrows);
	b = good(buf_text(&sample));
	assert_int_equal(config_diff(a, b, DIFF_ALL, &diff), 0);
	config_unref(a);
	config_unref(b);
	buf_fini(&sample);
	buf_fini(&diff);
}

static void
help_and_manual_name_every_option(void **state)
{
	struct buf help = { 0 }, man = { 0 };

	(void)state;
	config_help(&help);
	config_man(&man);
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		const struct section *s = section_of((enum section_kind)k);

		for (size_t i = 0; i < s->nrows; i++) {
			char line[100];

			snprintf(line, sizeof(line), "\n  %s =", s->rows[i].name);
			assert_non_null(strstr(buf_text(&help), line));
			snprintf(line, sizeof(line), "\n.B %s\n", s->rows[i].name);
			assert_non_null(strstr(buf_text(&man), line));
		}
	}
	buf_fini(&help);
	buf_fini(&man);
}

static void
no_option_is_described_twice(void **state)
{
	(void)state;
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		const struct section *s = section_of((enum section_kind)k);

		for (size_t i = 0; i < s->nrows; i++) {
			enum section_kind kind = (enum section_kind)k;

			assert_ptr_equal(option_find(&kind, slice_str(s->rows[i].name)),
					 &s->rows[i]);
			/* [meridian] and [listener] meet in one section */
			kind = SECTION_MERIDIAN;
			if (k == SECTION_LISTENER)
				assert_ptr_equal(option_find(&kind, slice_str(s->rows[i].name)),
						 &s->rows[i]);
		}
	}
}

static void
words_are_those_of_the_enums(void **state)
{
	(void)state;
	assert_string_equal(nearest_words[NEAREST_PROXY], "proxy");
	assert_string_equal(access_words[ACCESS_PREFER_STANDBY], "prefer-standby");
	assert_string_equal(log_level_words[LOG_LEVEL_FATAL], "fatal");
	assert_string_equal(pool_mode_words[POOL_TRANSACTION], "transaction");
	assert_string_equal(sslmode_words[SSLMODE_VERIFY_FULL], "verify-full");
	assert_string_equal(tri_mode_words[MODE_REQUIRE], "require");
}

static void
headers_and_types_of_tlvs_are_read(void **state)
{
	struct config *c = good("[meridian]\nheader_names = X-Town:city, GCP, X-City\n"
				"tlv_city = 0xF1\ntlv_location = 230\ntlv_country = off\n"
				"unique_id = city\n" REGION
				"networks = 10.0.0.0/8, VPCE-0aB1, psc:77\n  azure:8\n");
	struct config *copy;
	struct buf text = { .cap = 4096 };
	struct err e;

	(void)state;
	assert_int_equal(c->main.header_names.n, 3);
	assert_string_equal(c->main.header_names.v[0], "x-town:city");
	assert_string_equal(c->main.header_names.v[1], "gcp");
	assert_string_equal(c->main.header_names.v[2], "x-city:city");
	assert_int_equal(c->main.tlv.city, 0xf1);
	assert_int_equal(c->main.tlv.location, 0xe6);
	assert_int_equal(c->main.tlv.country, 0);
	assert_int_equal(c->main.tlv.pairs, 0xe8);
	assert_int_equal(c->main.tlv.unique_id, UNIQUE_ID_CITY);
	assert_int_equal(c->regions[0].networks.n, 1);
	assert_int_equal(c->regions[0].endpoints.n, 3);
	assert_string_equal(c->regions[0].endpoints.v[0], "vpce-0ab1");
	copy = config_set(c, "header_names", "cloudflare", &e);
	assert_non_null(copy);
	assert_int_equal(copy->regions[0].endpoints.n, 3);
	assert_ptr_not_equal(copy->regions[0].endpoints.v[0], c->regions[0].endpoints.v[0]);
	assert_int_equal(config_diff(c, copy, DIFF_ALL, &text), 1);
	assert_string_equal(buf_text(&text), "header_names: x-town:city, gcp, x-city:city -> "
					     "cloudflare (new sessions)\n");
	buf_fini(&text);
	config_unref(copy);
	config_unref(c);
}

static void
headers_and_types_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *option, *value;
	} rows[] = {
		{ "header_names", "X-Town" },   { "header_names", "X-Town:town" },
		{ "header_names", "gcp, gcp" }, { "tlv_city", "0xe0" },
		{ "tlv_city", "0xEA" },         { "tlv_city", "0xee" },
		{ "tlv_city", "0xf8" },         { "tlv_city", "5" },
		{ "tlv_city", "0xe" },          { "tlv_city", "0xeg" },
		{ "tlv_city", "e4" },           { "tlv_city", "0" },
		{ "tlv_city", "0xe5" }, /* the location's */
		{ "unique_id", "on" },          { "trusted_hops", "-1" },
	};
	struct config *c = good(REGION);
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *copy = config_set(c, rows[i].option, rows[i].value, &e);

		if (copy != NULL)
			print_error("%s = %s\n", rows[i].option, rows[i].value);
		assert_null(copy);
	}
	config_unref(c);
}

static void
regions_are_found_without_their_provider(void **state)
{
	struct config *c = good("[region gcp-us-east1]\nnodes = a\n[region us-east1]\nnodes = b\n"
				"[region aws-eu-west-3]\nnodes = c\n");

	(void)state;
	assert_int_equal(config_region(c, SLICE_LITERAL("us-east1")), 1);
	assert_int_equal(config_region(c, SLICE_LITERAL("gcp-us-east1")), 0);
	assert_int_equal(config_region(c, SLICE_LITERAL("eu-west-3")), 2);
	assert_int_equal(config_region(c, SLICE_LITERAL("EU-WEST-3")), 2);
	assert_int_equal(config_region(c, SLICE_LITERAL("eu-west-2")), -1);
	config_unref(c);
}

static void
a_database_has_its_own_auth_or_the_global_one(void **state)
{
	struct config *c = good("[meridian]\nauth = trust\n[region r]\nnodes = h\n"
				"[database own]\nauth = passthrough\n[database other]\n");

	(void)state;
	assert_int_equal(config_auth(c, config_database(c, slice_str("own"))), METHOD_PASSTHROUGH);
	assert_int_equal(config_auth(c, config_database(c, slice_str("other"))), METHOD_TRUST);
	assert_int_equal(config_auth(c, config_database(c, slice_str("none"))), METHOD_TRUST);
	assert_string_equal(auth_method_words[METHOD_SCRAM], "scram-sha-256");
	assert_string_equal(auth_method_words[METHOD_REJECT], "reject");
	config_unref(c);
}

/* In whatever order they stand, and with names that begin like others'. */
static void
a_section_is_found_among_thousands(void **state)
{
	enum { MANY = 4000, STEP = 1237 };
	struct buf text = { 0 };
	struct config *c, *copy;
	char name[16];
	struct err e;

	(void)state;
	buf_printf(&text, "[region r]\nnodes = h\n[database *]\npool_size = 5000\n");
	for (unsigned i = 0; i < MANY; i++)
		buf_printf(&text, "[database d%u]\npool_size = %u\n", i * STEP % MANY,
			   i * STEP % MANY + 1);
	c = good(buf_text(&text));
	copy = config_set(c, "max_client_conn", "5", &e);
	assert_non_null(copy);
	for (unsigned i = 0; i < MANY + 2; i++) {
		int expected = i < MANY ? (int)i + 1 : 5000;

		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(config_database(c, slice_str(name))->pool_size, expected);
		assert_int_equal(config_database(copy, slice_str(name))->pool_size, expected);
	}
	assert_int_equal(config_database(c, slice_str(""))->pool_size, 5000);
	assert_int_equal(config_database(c, slice_str("d"))->pool_size, 5000);
	assert_int_equal(config_database(c, slice_of("d17", 2))->pool_size, 2);
	buf_fini(&text);
	config_unref(c);
	config_unref(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_loaded_and_named),
		cmocka_unit_test(an_absent_file_is_an_error_where_it_was_named),
		cmocka_unit_test(a_mistake_names_the_path_as_it_was_given),
		cmocka_unit_test(arguments_win_over_the_file),
		cmocka_unit_test(bad_arguments_are_named),
		cmocka_unit_test(files_that_are_named_must_be_readable),
		cmocka_unit_test(a_pool_needs_to_know_who_its_clients_are),
		cmocka_unit_test(auth_file_is_loaded_and_shared_by_copies),
		cmocka_unit_test(set_changes_one_option_of_a_copy),
		cmocka_unit_test(set_refuses_what_is_unknown_or_wrong_or_takes_a_restart),
		cmocka_unit_test(the_difference_of_a_reload_is_told_line_by_line),
		cmocka_unit_test(rows_show_every_option_and_no_password),
		cmocka_unit_test(unix_sockets_are_named_after_the_port_beside_them),
		cmocka_unit_test(a_row_shows_what_is_in_force_and_what_a_restart_brings),
		cmocka_unit_test(a_value_that_does_not_fit_its_row_is_cut_visibly),
		cmocka_unit_test(the_sample_is_the_defaults),
		cmocka_unit_test(the_sample_with_every_default_written_out_is_the_same),
		cmocka_unit_test(help_and_manual_name_every_option),
		cmocka_unit_test(no_option_is_described_twice),
		cmocka_unit_test(words_are_those_of_the_enums),
		cmocka_unit_test(headers_and_types_of_tlvs_are_read),
		cmocka_unit_test(headers_and_types_that_are_none_are_refused),
		cmocka_unit_test(regions_are_found_without_their_provider),
		cmocka_unit_test(a_database_has_its_own_auth_or_the_global_one),
		cmocka_unit_test(a_section_is_found_among_thousands),
	};

	log_set_level(LOG_LEVEL_FATAL);
	return cmocka_run_group_tests_name("proxy/config/config", tests, NULL, NULL);
}
