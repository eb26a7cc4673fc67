/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hba.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#include "tests/unit/hbafiles.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct hba *
parse(const char *text, struct err *e)
{
	struct hbafiles files[] = {
		{ "hba", text }, { "names", "x y,\"z\"" }, { "none", "# nobody\n" }, { NULL, NULL }
	};
	struct hbafile_source source = hbafiles_source(files);
	struct cidr own[3] = { { .bits = 8 }, { .bits = 24 }, { .bits = 64 } };
	struct hba_own all = { own, COUNT(own) };

	assert_true(addr_parse(SLICE_LITERAL("127.0.0.1"), &own[0].net));
	assert_true(addr_parse(SLICE_LITERAL("192.0.2.7"), &own[1].net));
	assert_true(addr_parse(SLICE_LITERAL("2001:db8::7"), &own[2].net));
	return hba_read(&source, "hba", &all, e);
}

/* "unix" or an address; a word of flags: t TLS, p physical replication. Returns the line, 0: none.
 */
static unsigned
ask(const struct hba *h, const char *flags, const char *from, const char *database,
    const char *user)
{
	struct addr client = { .family = ADDR_UNIX };
	struct hba_question q = { slice_str(database), slice_str(user), &client, false, false };
	const struct hba_rule *rule;

	if (strcmp(from, "unix") != 0)
		assert_true(addr_parse(slice_str(from), &client));
	q.tls = strchr(flags, 't') != NULL;
	q.physical = strchr(flags, 'p') != NULL;
	rule = hba_match(h, &q);
	return rule != NULL ? rule->line : 0;
}

static const struct {
	const char *text, *flags, *from, *database, *user;
	unsigned line;
} questions[] = {
	/* where from */
	{ "local all all trust", "", "unix", "d", "u", 1 },
	{ "local all all trust", "", "127.0.0.1", "d", "u", 0 },
	{ "host all all all trust", "", "unix", "d", "u", 0 },
	{ "host all all all trust", "", "203.0.113.1", "d", "u", 1 },
	{ "host all all all trust", "t", "2001:db8::1", "d", "u", 1 },
	{ "hostssl all all all trust", "", "1.2.3.4", "d", "u", 0 },
	{ "hostssl all all all trust", "t", "1.2.3.4", "d", "u", 1 },
	{ "hostssl all all all trust", "t", "unix", "d", "u", 0 },
	{ "hostnossl all all all trust", "", "1.2.3.4", "d", "u", 1 },
	{ "hostnossl all all all trust", "t", "1.2.3.4", "d", "u", 0 },
	{ "hostgssenc all all all trust", "", "1.2.3.4", "d", "u", 0 },
	{ "hostgssenc all all all trust", "t", "1.2.3.4", "d", "u", 0 },
	{ "hostnogssenc all all all trust", "", "1.2.3.4", "d", "u", 1 },
	{ "hostnogssenc all all all trust", "t", "1.2.3.4", "d", "u", 1 },
	/* addresses */
	{ "host all all 10.0.0.0/8 trust", "", "10.255.0.1", "d", "u", 1 },
	{ "host all all 10.0.0.0/8 trust", "", "11.0.0.1", "d", "u", 0 },
	{ "host all all 10.0.0.0/8 trust", "", "9.0.0.1", "d", "u", 0 },
	{ "host all all 10.0.0.0/8 trust", "", "a00::1", "d", "u", 0 },
	{ "host all all 10.1.2.3/8 trust", "", "10.9.9.9", "d", "u", 1 },
	{ "host all all 10.1.2.3/32 trust", "", "10.1.2.3", "d", "u", 1 },
	{ "host all all 10.1.2.3/32 trust", "", "10.1.2.4", "d", "u", 0 },
	{ "host all all 10.0.0.0/13 trust", "", "10.7.255.255", "d", "u", 1 },
	{ "host all all 10.0.0.0/13 trust", "", "10.8.0.0", "d", "u", 0 },
	{ "host all all 0.0.0.0/0 trust", "", "255.1.2.3", "d", "u", 1 },
	{ "host all all 0.0.0.0/0 trust", "", "::1", "d", "u", 0 },
	{ "host all all ::/0 trust", "", "2001:db8::1", "d", "u", 1 },
	{ "host all all ::/0 trust", "", "1.2.3.4", "d", "u", 0 },
	{ "host all all 2001:db8::/33 trust", "", "2001:db8:7fff::", "d", "u", 1 },
	{ "host all all 2001:db8::/33 trust", "", "2001:db8:8000::", "d", "u", 0 },
	{ "host all all ::ffff:10.0.0.0/104 trust", "", "10.1.1.1", "d", "u", 1 },
	{ "host all all ::ffff:10.0.0.0/104 trust", "", "11.1.1.1", "d", "u", 0 },
	{ "host all all 10.0.0.0 255.0.0.0 trust", "", "10.1.1.1", "d", "u", 1 },
	{ "host all all 10.0.0.0 255.0.0.0 trust", "", "12.1.1.1", "d", "u", 0 },
	{ "host all all 10.0.5.0 255.0.255.0 trust", "", "10.77.5.1", "d", "u", 1 },
	{ "host all all 10.0.5.0 255.0.255.0 trust", "", "10.77.6.1", "d", "u", 0 },
	{ "host all all fe80:: ffff:: trust", "", "fe80:1::1", "d", "u", 1 },
	{ "host all all fe80:: ffff:: trust", "", "fe81::1", "d", "u", 0 },
	{ "host all all samehost trust", "", "192.0.2.7", "d", "u", 1 },
	{ "host all all samehost trust", "", "192.0.2.8", "d", "u", 0 },
	{ "host all all samehost trust", "", "2001:db8::7", "d", "u", 1 },
	{ "host all all samenet trust", "", "192.0.2.8", "d", "u", 1 },
	{ "host all all samenet trust", "", "192.0.3.8", "d", "u", 0 },
	{ "host all all samenet trust", "", "2001:db8::8", "d", "u", 1 },
	{ "host all all samenet trust", "", "2001:db8:0:1::8", "d", "u", 0 },
	/* databases */
	{ "local d all trust", "", "unix", "d", "u", 1 },
	{ "local d all trust", "", "unix", "D", "u", 0 },
	{ "local c,d all trust", "", "unix", "d", "u", 1 },
	{ "local \"all\" all trust", "", "unix", "d", "u", 0 },
	{ "local \"all\" all trust", "", "unix", "all", "u", 1 },
	{ "local sameuser all trust", "", "unix", "u", "u", 1 },
	{ "local sameuser all trust", "", "unix", "d", "u", 0 },
	{ "local \"sameuser\" all trust", "", "unix", "u", "u", 0 },
	{ "local \"+d\" all trust", "", "unix", "+d", "u", 1 },
	{ "local @names all trust", "", "unix", "z", "u", 1 },
	{ "local @names all trust", "", "unix", "zz", "u", 0 },
	{ "local @none all trust", "", "unix", "d", "u", 0 },
	{ "local all @none reject\nlocal all all trust", "", "unix", "d", "u", 2 },
	{ "local /^db[0-9]+$ all trust", "", "unix", "db12", "u", 1 },
	{ "local /^db[0-9]+$ all trust", "", "unix", "db", "u", 0 },
	{ "local \"/^a b$\" all trust", "", "unix", "a b", "u", 1 },
	{ "local /b all trust", "", "unix", "abc", "u", 1 },
	{ "local all all trust", "p", "unix", "d", "u", 0 },
	{ "local replication all trust", "p", "unix", "d", "u", 1 },
	{ "local replication all trust", "", "unix", "d", "u", 0 },
	{ "local replication all trust", "", "unix", "replication", "u", 0 },
	{ "local \"replication\" all trust", "", "unix", "replication", "u", 1 },
	{ "local \"replication\" all trust", "p", "unix", "replication", "u", 0 },
	{ "local sameuser,/. all trust", "p", "unix", "u", "u", 0 },
	{ "local all,replication all trust", "p", "unix", "u", "u", 1 },
	/* users */
	{ "local all u trust", "", "unix", "d", "u", 1 },
	{ "local all v trust", "", "unix", "d", "u", 0 },
	{ "local all v,u trust", "", "unix", "d", "u", 1 },
	{ "local all \"all\" trust", "", "unix", "d", "u", 0 },
	{ "local all sameuser trust", "", "unix", "u", "u", 0 }, /* no word here */
	{ "local all replication trust", "", "unix", "d", "replication", 1 },
	{ "local all samerole trust", "", "unix", "d", "samerole", 1 },
	{ "local all @names trust", "", "unix", "d", "y", 1 },
	{ "local all /^app_ trust", "", "unix", "d", "app_1", 1 },
	{ "local all /^app_ trust", "", "unix", "d", "xapp_1", 0 },
	{ "local all \"+u\" trust", "", "unix", "d", "+u", 1 },
	/* order */
	{ "local d all reject\nlocal all all trust", "", "unix", "d", "u", 1 },
	{ "local d all reject\nlocal all all trust", "", "unix", "e", "u", 2 },
	{ "local d v trust\nlocal d u trust", "", "unix", "d", "u", 2 },
	{ "# nothing\n", "", "unix", "d", "u", 0 },
};

static void
the_first_rule_that_fits_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(questions); i++) {
		struct err e = { 0 };
		struct hba *h = parse(questions[i].text, &e);

		if (h == NULL)
			fail_msg("%s: %s", questions[i].text, e.msg);
		if (ask(h, questions[i].flags, questions[i].from, questions[i].database,
			questions[i].user) != questions[i].line)
			fail_msg("%s: %s %s %s %s", questions[i].text, questions[i].flags,
				 questions[i].from, questions[i].database, questions[i].user);
		hba_unref(h);
	}
}

static void
names_are_cut_where_the_server_cuts_them(void **state)
{
	char text[200], user[80];
	struct err e = { 0 };
	struct hba *h;

	(void)state;
	memset(user, 'u', sizeof(user));
	user[70] = '\0';
	snprintf(text, sizeof(text), "local all %.63s reject\nlocal all all trust\n", user);
	h = parse(text, &e);
	/* a rule against a user would be no obstacle else: the server takes both for the same */
	assert_int_equal(ask(h, "", "unix", "d", user), 1);
	user[62] = '\0';
	assert_int_equal(ask(h, "", "unix", "d", user), 2);
	hba_unref(h);
}

static void
a_rule_says_how(void **state)
{
	static const struct {
		const char *text;
		enum hba_method method;
		enum hba_clientcert clientcert;
		enum hba_clientname clientname;
		const char *map;
	} rows[] = {
		{ "local all all trust", HBA_TRUST, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all reject", HBA_REJECT, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all scram-sha-256", HBA_SCRAM, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all md5", HBA_MD5, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all password", HBA_PASSWORD, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all peer", HBA_PEER, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all ident", HBA_PEER, HBA_CERT_ANY, HBA_NAME_CN, NULL },
		{ "local all all peer map=\"m\"", HBA_PEER, HBA_CERT_ANY, HBA_NAME_CN, "m" },
		{ "hostssl all all all cert", HBA_CERT, HBA_CERT_VERIFY_FULL, HBA_NAME_CN, NULL },
		{ "hostssl all all all cert map=x clientname=DN", HBA_CERT, HBA_CERT_VERIFY_FULL,
		  HBA_NAME_DN, "x" },
		{ "hostssl all all all cert \"map=my map\"", HBA_CERT, HBA_CERT_VERIFY_FULL,
		  HBA_NAME_CN, "my map" },
		{ "hostssl all all all cert map=a map=b", HBA_CERT, HBA_CERT_VERIFY_FULL,
		  HBA_NAME_CN, "b" },
		{ "hostssl all all all cert clientcert=verify-full,clientname=CN", HBA_CERT,
		  HBA_CERT_VERIFY_FULL, HBA_NAME_CN, NULL },
		{ "hostssl all all all scram-sha-256 clientcert=verify-ca", HBA_SCRAM,
		  HBA_CERT_VERIFY_CA, HBA_NAME_CN, NULL },
		{ "hostssl all all all md5 clientcert=verify-full", HBA_MD5, HBA_CERT_VERIFY_FULL,
		  HBA_NAME_CN, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err e = { 0 };
		struct hba *h = parse(rows[i].text, &e);
		const struct hba_rule *rule;

		if (h == NULL)
			fail_msg("%s: %s", rows[i].text, e.msg);
		assert_int_equal(hba_count(h), 1);
		rule = hba_rule(h, 0);
		assert_int_equal(rule->method, rows[i].method);
		assert_int_equal(rule->clientcert, rows[i].clientcert);
		assert_int_equal(rule->clientname, rows[i].clientname);
		if (rows[i].map == NULL)
			assert_null(rule->map);
		else
			assert_string_equal(rule->map, rows[i].map);
		assert_string_equal(rule->file, "hba");
		hba_unref(h);
	}
}

/* Texts, and what is said of them. */
static const struct {
	const char *text, *message;
} wrong_lines[] = {
	{ "x", "hba:1: invalid connection type \"x\"" },
	{ "Local all all trust", "hba:1: invalid connection type \"Local\"" },
	{ "host,local all all all trust",
	  "hba:1: expected one value for connection type, found 2" },
	{ "\nhost", "hba:2: end-of-line before database specification" },
	{ "host all", "hba:1: end-of-line before role specification" },
	{ "host all all", "hba:1: end-of-line before IP address specification" },
	{ "host all all 10.0.0.1", "hba:1: end-of-line before netmask specification" },
	{ "host all all 10.0.0.1 trust", "hba:1: invalid IP mask \"trust\"" },
	{ "host all all 10.0.0.1 ffff:: trust", "hba:1: IP address and mask do not match" },
	{ "host all all 10.0.0.0/8", "hba:1: end-of-line before authentication method" },
	{ "host all all 10.0.0.0/33 trust", "hba:1: invalid CIDR mask in address \"10.0.0.0/33\"" },
	{ "host all all 10.0.0.0/ trust", "hba:1: invalid CIDR mask in address \"10.0.0.0/\"" },
	{ "host all all 10.0.0.0/8x trust", "hba:1: invalid CIDR mask in address \"10.0.0.0/8x\"" },
	{ "host all all ::1/129 trust", "hba:1: invalid CIDR mask in address \"::1/129\"" },
	{ "host all all ::ffff:10.0.0.0/8 trust",
	  "hba:1: invalid CIDR mask in address \"::ffff:10.0.0.0/8\"" },
	{ "host all all db.example trust",
	  "hba:1: \"db.example\" is not an IP address (host names are not supported)" },
	{ "host all all .example trust", "hba:1: \".example\" is not an IP address" },
	{ "host all all \"all\" trust", "hba:1: \"all\" is not an IP address" },
	{ "host all all 10.0.0.0/8,11.0.0.0/8 trust",
	  "hba:1: expected one value for IP address specification, found 2" },
	{ "local all all", "hba:1: end-of-line before authentication method" },
	{ "local all all magic", "hba:1: invalid authentication method \"magic\"" },
	{ "local all all trust,md5",
	  "hba:1: expected one value for authentication method, found 2" },
	{ "host all all all ldap ldapserver=x",
	  "hba:1: authentication method \"ldap\" is not supported by this proxy" },
	{ "host all all all ident",
	  "hba:1: authentication method \"ident\" is not supported by this proxy" },
	{ "host all all all peer",
	  "hba:1: peer authentication is only supported on local sockets" },
	{ "host all all all cert",
	  "hba:1: cert authentication is only supported on hostssl connections" },
	{ "local all all cert",
	  "hba:1: cert authentication is only supported on hostssl connections" },
	{ "local all all trust x", "hba:1: authentication option not in name=value format: \"x\"" },
	{ "local all all trust pamservice=x",
	  "hba:1: unrecognized authentication option name: \"pamservice\"" },
	{ "local all all md5 map=x", "hba:1: authentication option \"map\" is only valid for "
				     "authentication methods peer and cert" },
	{ "host all all all md5 clientcert=verify-ca",
	  "hba:1: clientcert can only be configured for \"hostssl\" rows" },
	{ "hostssl all all all md5 clientcert=1", "hba:1: invalid value for clientcert: \"1\"" },
	{ "hostssl all all all md5 clientcert=", "hba:1: invalid value for clientcert: \"\"" },
	{ "hostssl all all all cert clientcert=verify-ca",
	  "hba:1: clientcert only accepts \"verify-full\" when using \"cert\"" },
	{ "host all all all md5 clientname=DN",
	  "hba:1: clientname can only be configured for \"hostssl\" rows" },
	{ "hostssl all all all cert clientname=cn", "hba:1: invalid value for clientname: \"cn\"" },
	{ "local samerole all trust",
	  "hba:1: \"samerole\": a proxy does not know who is a member of a role" },
	{ "local samegroup all trust",
	  "hba:1: \"samegroup\": a proxy does not know who is a member of a role" },
	{ "local +x all trust", "hba:1: \"+x\": a proxy does not know who is a member of a role" },
	{ "local all all trust\nlocal all +x trust",
	  "hba:2: \"+x\": a proxy does not know who is a member of a role" },
	{ "local all a,/( trust", "hba:1: invalid regular expression \"(\": " },
	{ "local all \"x trust", "hba:1: no closing double quote in the line" },
};

static void
errors_name_the_line_and_what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong_lines); i++) {
		struct err e = { 0 };

		if (parse(wrong_lines[i].text, &e) != NULL)
			fail_msg("accepted: %s", wrong_lines[i].text);
		if (strncmp(e.msg, wrong_lines[i].message, strlen(wrong_lines[i].message)) != 0)
			fail_msg("%s: %s", wrong_lines[i].text, e.msg);
	}
}

static void
rules_are_shown_as_they_could_be_written(void **state)
{
	static const char *const rows[] = {
		"local|all|all||trust|",
		"host|d,e|u|10.0.0.0/8|md5|",
		"host|\"all\",all|\"all\"|::1/128|md5|",
		"hostssl|sameuser|/^a|samehost|cert|clientcert=verify-full map=m",
		"hostssl|\"sameuser\"|\"/^a b\"|samenet|cert|clientcert=verify-full clientname=DN "
		"\"map=a b\"",
		"hostssl|replication|u|all|scram-sha-256|clientcert=verify-ca",
		"hostnossl|\"replication\"|\"+u\",\"@u\"|0.0.0.0/0|reject|",
		"hostnogssenc|all|\"\"|10.0.5.0 255.0.255.0|password|",
		"hostgssenc|all|all|::/0|trust|",
		"local|all|all||peer|map=m",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *text = xstrdup(rows[i]);
		struct buf shown = { .cap = 0 };
		struct err e = { 0 };
		struct hba *h;

		for (char *p = text; *p != '\0'; p++)
			*p = *p == '|' ? ' ' : *p;
		h = parse(text, &e);
		if (h == NULL)
			fail_msg("%s: %s", text, e.msg);
		for (int column = HBA_TYPE; column <= HBA_OPTIONS; column++) {
			if (column > HBA_TYPE)
				buf_u8(&shown, '|');
			hba_put(&shown, hba_rule(h, 0), (enum hba_column)column);
		}
		assert_string_equal(buf_text(&shown), rows[i]);
		buf_fini(&shown);
		hba_unref(h);
		free(text);
	}
}

static void
the_table_is_shared_and_counted(void **state)
{
	struct err e = { 0 };
	struct hba *h = parse("local all all trust\n", &e);

	(void)state;
	assert_ptr_equal(hba_ref(h), h);
	hba_unref(h);
	assert_int_equal(hba_count(h), 1);
	hba_unref(h);
	hba_unref(NULL);
	assert_null(hba_load("/nonexistent/hba", &e));
	assert_non_null(strstr(e.msg, "hba_file: could not open file"));
	assert_string_equal(hba_method_name(HBA_SCRAM), "scram-sha-256");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_fits_decides),
		cmocka_unit_test(names_are_cut_where_the_server_cuts_them),
		cmocka_unit_test(a_rule_says_how),
		cmocka_unit_test(errors_name_the_line_and_what_is_wrong),
		cmocka_unit_test(rules_are_shown_as_they_could_be_written),
		cmocka_unit_test(the_table_is_shared_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
