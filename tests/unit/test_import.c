/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/import/import.h"

#include "proxy/import/import_int.h"

#include "tests/unit/unit.h"

/* Files in memory. */
struct fake {
	const char *path, *text;
	size_t n;
};

static int
load_fake(void *arg, const char *path, const char *from, struct buf *text, struct err *e)
{
	(void)from;
	for (const struct fake *f = arg; f->path != NULL; f++) {
		if (strcmp(f->path, path) == 0) {
			buf_put(text, f->text, f->n);
			return 0;
		}
	}
	return err_set(e, "", "could not open \"%s\"", path);
}

static int
import_bytes(const char *text, size_t n, struct import_result *r, struct err *e)
{
	struct fake files[] = { { "p.ini", text, n },
				{ "more.ini", "[pgbouncer]\nverbose=1\n", 22 },
				{ "self.ini", "%include self.ini\n", 18 },
				{ NULL, NULL, 0 } };
	struct ini_source from = { load_fake, files };

	memset(e, 0, sizeof(*e));
	return import_pgbouncer("p.ini", &from, r, e);
}

/* What is written for `text`, and the list; both must hold what is given. */
static void
expect(const char *text, const char *in_conf, const char *in_notes)
{
	struct import_result r;
	struct err e;
	int rc = import_bytes(text, strlen(text), &r, &e);

	if (rc != 0)
		fail_msg("%s", e.msg);
	if (in_conf != NULL && strstr(buf_text(&r.conf), in_conf) == NULL)
		fail_msg("no \"%s\" in:\n%s", in_conf, buf_text(&r.conf));
	if (in_notes != NULL && strstr(buf_text(&r.notes), in_notes) == NULL)
		fail_msg("no \"%s\" in:\n%s", in_notes, buf_text(&r.notes));
	import_result_fini(&r);
}

static void
expect_error(const char *text, const char *message)
{
	struct import_result r;
	struct err e;

	assert_int_equal(import_bytes(text, strlen(text), &r, &e), -1);
	if (strstr(e.msg, message) == NULL)
		fail_msg("no \"%s\" in: %s", message, e.msg);
	import_result_fini(&r);
}

#define ONE "[databases]\nfoo = host=db1\n[pgbouncer]\nauth_file=/users\n"

static void
options_become_ours(void **state)
{
	(void)state;
	expect(ONE, "listen_port = 6432 ", NULL);
	expect(ONE "listen_port = 7000", "listen_port = 7000 ", NULL);
	expect(ONE, "max_client_conn = 100 ", NULL);
	expect(ONE "client_login_timeout = 90", "client_login_timeout = 90s ", NULL);
	expect(ONE "client_login_timeout = 120.0", "client_login_timeout = 2min ", NULL);
	expect(ONE "query_timeout = 1.5", "query_timeout = 1500ms ", NULL);
	expect(ONE "tcp_user_timeout = 1500", "tcp_user_timeout = 1500ms ", NULL);
	expect(ONE "verbose = 2", "log_level = debug ", NULL);
	expect(ONE "client_tls_cert_file = /c\nclient_tls_key_file = /k", "tls = off ", NULL);
	expect(ONE
	       "client_tls_sslmode = prefer\nclient_tls_cert_file = /c\nclient_tls_key_file = /k",
	       "tls = allow ", NULL);
	expect(ONE "server_tls_sslmode = require", "sslmode = require ", NULL);
	expect(ONE "server_tls_sslmode = verify-full", "sslrootcert = /etc/ssl/certs/ca-", NULL);
	expect(ONE "admin_users = a, b\nadmin_users = c", "admin_users = c ",
	       "p.ini:5: [pgbouncer] admin_users: the same option stands further down");
	expect(ONE "server_lifetime = 0", NULL, "server_lifetime: 0: 0 would keep");
	expect(ONE "server_lifetime = 30", "server_lifetime = 30s ", NULL);
	expect(ONE "server_check_query = <empty>", "server_check_query = SELECT 1 ", NULL);
	expect(ONE "pool_mode = transaction", "pool = transaction ", NULL);
	expect(ONE "pool_mode = transactoin", NULL, "\"transactoin\" is not known");
	/* names of theirs that are ours */
	expect("[databases]\nfoo = host=db1 pool_mode=transaction\n[pgbouncer]\n", "access = any ",
	       "p.ini: neither auth_file nor auth_user says who may log in; so the nodes");
	expect("[databases]\nfoo = host=db1\n[pgbouncer]\nauth_type = pam\n", "access = any ",
	       "p.ini:4: [pgbouncer] auth_type: there is no PAM; ");
	expect(ONE "auth_type = trust", "auth = trust ", NULL);
	expect(ONE, "auth = md5 ", NULL);
	expect(ONE "auth_type = plain", "auth = md5 ",
	       "plain: passwords are not asked for in clear");
	expect(ONE "auth_user = o'neill", "auth_conninfo = user='o\\'neill' ", NULL);
	expect(ONE "auth_user = a\nauth_query = SELECT a, b FROM f($1)",
	       "auth_query = SELECT a, b FROM f($1) ",
	       "auth_query: it ran in the client's database");
	expect(ONE "peer_id = 2\n[peers]\n1 = host=h1\n2 = host=::1 port=7\n3 = host=/tmp",
	       "; peers = 1=h1:6432, 2=[::1]:7\n", "p.ini:9: [peers] 3: a peer has an id");
	expect(ONE "auth_file = /etc/users.txt", "auth_file = /etc/users.txt ", NULL);
	expect(ONE "logfile=/x\n\n pidfile = /y", NULL, "p.ini:7: [pgbouncer] pidfile: ");
	expect(ONE "bogus = 1", NULL, "p.ini:5: [pgbouncer] bogus: this option is not known");
	expect(ONE "[users]\nu = pool_mode=session", NULL, "p.ini:6: [users] u: ");
}

static void
listen_has_addresses_and_the_socket(void **state)
{
	(void)state;
	expect(ONE, "listen = /tmp ", NULL);
	expect(ONE "listen_addr = *", "listen = *, /tmp ", NULL);
	expect(ONE "listen_addr = localhost, ::1\nunix_socket_dir = /run/pg",
	       "listen = 127.0.0.1, [::1], /run/pg ", NULL);
	expect(ONE "listen_addr = 10.0.0.1\nunix_socket_dir =", "listen = 10.0.0.1 ", NULL);
	expect(ONE "listen_addr = gate.example", "listen = /tmp ",
	       "listen_addr: \"gate.example\" is no address");
	expect(ONE "unix_socket_dir = @pg", NULL, "abstract namespace");
}

static void
hosts_become_regions(void **state)
{
	(void)state;
	expect("[databases]\nfoo = host=db1.example port=5433\n",
	       "[region db1]\nnodes = db1.example:5433 ", NULL);
	expect("[databases]\nfoo =\n", "[region local]\nnodes = /tmp:5432 ", NULL);
	expect("[databases]\nfoo = host=::1 dbname='a ''b'\n", "nodes = [::1]:5432 ", NULL);
	expect("[databases]\nfoo = host=a,b port=5433\n", "nodes = a:5433, b:5433 ", NULL);
	expect("[databases]\nfoo = host=a\nbar = host=b\n", "[database bar]\nregions = b ", NULL);
	expect("[databases]\nfoo = host=a\nbar = host=a port=1\n", "[region a-2]\nnodes = a:1 ",
	       NULL);
	expect("[databases]\nfoo = host=x.abc.eu-west-3.rds.amazonaws.com\n",
	       "[region eu-west-3]\nnodes = x.abc.", NULL);
	expect("[databases]\nfoo = host=x.eu-west-3.example\nbar = host=y.eu-west-3.example\n",
	       "[region eu-west-3-2]\nnodes = y.eu-west-3.example:5432         ; p.ini:3 bar\n"
	       "location = ",
	       NULL);
	expect("[databases]\nfoo = host=10.0.0.1\n", "[region 10-0-0-1]\n", NULL);
	expect("[databases]\nfoo = host=a\nfoo = host=b\n", "nodes = b:5432 ",
	       "p.ini:2: [databases] foo: the same database stands further down");
	expect("[databases]\nfoo = host=@a\n", "[region main]", "abstract namespace");
	expect("[databases]\nfoo = host=a port=x\n", "[region main]", "is no place of a server");
}

static void
databases_keep_their_words(void **state)
{
	(void)state;
	expect("[databases]\nfoo = host=a dbname=bar\n", "[database foo]\ndbname = bar ", NULL);
	expect("[databases]\nfoo = host=a\n", "access = any ", "here they are served as well");
	expect("[databases]\nfoo = host=a target_session_attrs=primary\n", "access = primary ",
	       NULL);
	expect("[databases]\nfoo = host=a pool_size=5 reserve_pool=2\n", "pool_size = 5 ", NULL);
	expect("[databases]\nfoo = host=a pool_size=5 reserve_pool=2\n", "reserve_pool_size = 2 ",
	       NULL);
	expect("[databases]\n* = host=a\n", "[database *]\n", NULL);
	expect("[databases]\n\"a-b\" = host=a\n", "[database a-b]\n", NULL);
	expect("[databases]\n\"a\"\"b\" = host=a\n", "[region main]",
	       "no section can have its name");
	expect("[databases]\nmeridian = host=a\n", "[region main]", "the console's name");
	expect("[databases]\nfoo = host=a user=u password=geheim\n", NULL,
	       "p.ini:2: [databases] foo: user: each session logs in");
	expect("[databases]\nfoo = host=a colour=red\n", NULL, "colour: this key");
}

static void
secrets_are_never_told(void **state)
{
	static const char text[] = "[databases]\nfoo = host=a user=u password='ge heim'\n";
	struct import_result r;
	struct err e;

	(void)state;
	assert_int_equal(import_bytes(text, sizeof(text) - 1, &r, &e), 0);
	assert_null(strstr(buf_text(&r.conf), "heim"));
	assert_null(strstr(buf_text(&r.notes), "heim"));
	import_result_fini(&r);
	assert_int_equal(import_bytes("[databases]\nfoo = password='geheim\n", 35, &r, &e), -1);
	assert_null(strstr(e.msg, "geheim"));
	import_result_fini(&r);
}

static void
what_is_no_pgbouncer_ini_is_an_error(void **state)
{
	(void)state;
	expect_error("[databases\n", "p.ini:1: expected \"[section]\"");
	expect_error("foo = bar\n", "p.ini:1: expected a [section] first");
	expect_error("[pgbouncer]\nfoo\n", "p.ini:2: expected \"key = value\"");
	expect_error("[databases]\n\nfoo = host\n", "p.ini:3: [databases] foo: expected key=value");
	expect_error("[databases]\nfoo = host='a'b\n",
		     "p.ini:2: [databases] foo: expected key=value");
	expect_error("%include none.ini\n", "p.ini:1: could not open \"none.ini\"");
	expect_error("%include self.ini\n", "self.ini:1: files include each other too deeply");
	expect_error("[databases]\nfoo = host=a\n[pgbouncer]\nclient_tls_sslmode = require\n",
		     "what it says cannot be used here");
}

static void
includes_are_part_of_the_file(void **state)
{
	(void)state;
	expect(ONE "%include more.ini\nlistener_port = 1", "log_level = debug ",
	       "p.ini:6: [pgbouncer] listener_port");
	expect("\xef\xbb\xbf; comment\r\n# comment\r\n[pgbouncer]\r\nverbose = 1\r\n",
	       "log_level = debug ", NULL);
}

static void
long_lists_are_folded(void **state)
{
	struct buf b = { .cap = 0 };

	(void)state;
	buf_str(&b, ONE "admin_users = ");
	for (int i = 0; i < 40; i++)
		buf_printf(&b, "%suser_number_%d", i > 0 ? ", " : "", i);
	expect(buf_text(&b), "admin_users = user_number_0,", NULL);
	expect(buf_text(&b), "\tuser_number_38,\n\tuser_number_39\n", NULL);
	buf_fini(&b);
}

/* Every rule names an option that there is, and no key has two. */
static void
the_table_is_sound(void **state)
{
	struct rules all[] = { import_rules_global(), import_rules_database() };

	(void)state;
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < all[t].n; i++) {
			const struct rule *r = &all[t].v[i];

			enum section_kind kind = r->to;
			bool there =
			    r->option == NULL || option_find(&kind, slice_str(r->option)) != NULL;

			assert_true(there);
			assert_ptr_equal(import_rule(all[t], r->key), r);
			assert_true((r->how == CARRY_NOT) == (r->why != NULL));
			assert_true(r->how != CARRY_WORD || r->words != NULL);
			assert_true((r->how == CARRY_NOT || r->how == CARRY_APART) ==
				    (r->option == NULL));
		}
	}
}

static const char rich[] =
    "%include more.ini\n[databases]\nfoodb =\nbar = host=localhost dbname=baz\n"
    "forced = host=localhost port=300 user=baz password=foo client_encoding=UNICODE "
    "connect_query='SELECT ''1'''\n\"q-\"\"x\" = pool_size=50\n* = host=a,[::1],/tmp port=6\n"
    "[users]\nu = pool_size=5\n[peers]\n1 = host=h1 pool_size=2\n2 = host=/tmp\n[pgbouncer]\n"
    "listen_addr = *, localhost\nauth_type = any\nserver_lifetime = 1.5\nverbose=0\n"
    "auth_query = SELECT a ;b\nserver_tls_sslmode=verify-ca\npool_mode = statement\n";

/* Cut and bent at each byte it is taken or refused, with a reason. What is taken can be read: that
 * is the importer's own last step. */
static void
nothing_breaks_it(void **state)
{
	static const char bent[] = "'\"=\n[];%\0 \xff";
	char text[sizeof(rich)];
	struct import_result r;
	struct err e;

	(void)state;
	expect(rich, NULL, NULL);
	for (size_t i = 0; i < sizeof(rich) - 1; i++) {
		if (import_bytes(rich, i, &r, &e) != 0)
			assert_true(e.msg[0] != '\0');
		import_result_fini(&r);
		for (size_t j = 0; j < sizeof(bent) - 1; j++) {
			memcpy(text, rich, sizeof(rich));
			text[i] = bent[j];
			if (import_bytes(text, sizeof(rich) - 1, &r, &e) != 0)
				assert_true(e.msg[0] != '\0');
			import_result_fini(&r);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_become_ours),
		cmocka_unit_test(listen_has_addresses_and_the_socket),
		cmocka_unit_test(hosts_become_regions),
		cmocka_unit_test(databases_keep_their_words),
		cmocka_unit_test(secrets_are_never_told),
		cmocka_unit_test(what_is_no_pgbouncer_ini_is_an_error),
		cmocka_unit_test(includes_are_part_of_the_file),
		cmocka_unit_test(long_lists_are_folded),
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(nothing_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
