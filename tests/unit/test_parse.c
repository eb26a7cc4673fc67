/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/config/parse.h"

#include <stdio.h>

#include "base/log.h"
#include "proxy/config/check.h"
#include "proxy/config/config.h"

#include "tests/unit/unit.h"

#define REGION   "[region us-east1]\nnodes = db1\n"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What config_load() does with a file's text, but for the files that it names. */
static struct config *
load(const char *text, struct err *e)
{
	struct config *c = config_new();
	struct origins origins = { 0 };
	bool good = config_parse(c, slice_str(text), "m.conf", &origins, e) == 0;

	if (good) {
		config_resolve(c);
		good = config_check(c, &origins, false, e) == 0;
	}
	origins_fini(&origins);
	if (good)
		return c;
	config_unref(c);
	return NULL;
}

static struct config *
good(const char *text)
{
	struct err e = { 0 };
	struct config *c = load(text, &e);

	if (c == NULL)
		print_error("%s\n", e.msg);
	assert_non_null(c);
	return c;
}

static void
a_file_with_one_region_gives_the_defaults(void **state)
{
	struct config *c = good(REGION);

	(void)state;
	assert_int_equal(c->nlisteners, 1);
	assert_string_equal(c->listeners[0].name, "main");
	assert_int_equal(c->listeners[0].listen.n, 1);
	assert_string_equal(c->listeners[0].listen.v[0], "127.0.0.1:6433");
	assert_int_equal(c->listeners[0].tls, MODE_OFF);
	assert_int_equal(c->nregions, 1);
	assert_string_equal(c->regions[0].name, "us-east1");
	assert_string_equal(c->regions[0].nodes.v[0], "db1:5432");
	assert_int_equal(c->regions[0].sslmode, SSLMODE_PREFER);
	assert_true(c->regions[0].export_locality);
	assert_true(c->regions[0].has_location);
	assert_int_equal(c->main.workers, 0);
	assert_int_equal(c->main.probe_interval, 2000000);
	assert_int_equal(c->main.stale_after, 6000000);
	assert_int_equal(c->main.hedge_delay, 50000);
	assert_int_equal(c->main.failback_delay, 60000000);
	assert_int_equal(c->main.client_login_timeout, 60000000);
	assert_int_equal(c->main.server_connect_timeout, 15000000);
	assert_int_equal(c->main.max_client_conn, 1000);
	assert_int_equal(c->main.unix_socket_mode, 0777);
	assert_int_equal(c->main.log_level, LOG_LEVEL_INFO);
	assert_true(c->main.tcp_keepalive);
	assert_null(c->main.probe_conninfo);
	assert_int_equal(c->main.nlocality, SOURCE_COUNT);
	for (int i = 0; i < SOURCE_COUNT; i++)
		assert_int_equal(c->main.locality[i], i);
	config_unref(c);
}

static const char every_kind[] =
    "\xef\xbb\xbf; a comment\n"
    "# another\r\n"
    "[meridian]   ; this proxy\n"
    "listen = 10.0.0.1:7000, [::1]:7001,/run/meridian, ::1\r\n"
    "listen_port = 7002\n"
    "  ; a comment inside\n"
    "\n"
    "region = gcp-us-east1\n"
    "nearest=blend\n"
    "blend = 0.25\n"
    "locality = geoip,\n"
    "\tself ; and no more\n"
    "trusted_proxies = 10.0.0.0/8,\n"
    "   2001:db8::/32, ; v6\n"
    "   192.0.2.1\n"
    "probe_conninfo = user=probe\n"
    "    password='a b'\n"
    "probe_interval = 500ms\n"
    "workers = 3\n"
    "unix_socket_mode = 0700\n"
    "log_level = DEBUG\n"
    "[listener lb]\n"
    "listen = *:6434\n"
    "proxy_protocol = require\n"
    "tls_cert_file = /c.pem\n"
    "tls_key_file = /k.pem\n"
    "sni_suffix = db.example\n"
    "[region us-east1]\n"
    "nodes = 10.0.1.5, [2001:db8::5]:5433, ::1, /var/run:5434, db-1.x\n"
    "cities = New York, Boston, São Paulo\n"
    "countries = us, Canada\n"
    "networks = 10.1.0.0/16\n"
    "bias = -99\n"
    "strict_region = yes\n"
    "sslmode = verify-full\n"
    "sslrootcert = /root.pem\n"
    "[region my-place]\n"
    "nodes: db9:6000\n"
    "location = 33.84, -81.16\n"
    "[database movr]\n"
    "dbname = movr2\n"
    "regions = my-place, aws-us-east1\n"
    "access = prefer-standby\n"
    "residency = strict\n"
    "[database *]\n";

static void
every_kind_of_section_and_value_is_read(void **state)
{
	struct config *c = good(every_kind);

	(void)state;
	assert_int_equal(c->listeners[0].listen.n, 4);
	assert_string_equal(c->listeners[0].listen.v[1], "[::1]:7001");
	assert_string_equal(c->listeners[0].listen.v[2], "/run/meridian");
	assert_string_equal(c->listeners[0].listen.v[3], "[::1]:7002");
	assert_int_equal(c->main.nearest, NEAREST_BLEND);
	assert_true(c->main.blend > 0.2499 && c->main.blend < 0.2501);
	assert_int_equal(c->main.nlocality, 2);
	assert_int_equal(c->main.locality[0], SOURCE_GEOIP);
	assert_int_equal(c->main.locality[1], SOURCE_SELF);
	assert_int_equal(c->main.trusted_proxies.n, 3);
	assert_string_equal(c->main.probe_conninfo, "user=probe password='a b'");
	assert_int_equal(c->main.stale_after, 1500000);
	assert_int_equal(c->main.workers, 3);
	assert_int_equal(c->main.unix_socket_mode, 0700);
	assert_int_equal(c->main.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->nlisteners, 2);
	assert_int_equal(c->listeners[1].proxy_protocol, MODE_REQUIRE);
	assert_int_equal(c->listeners[1].tls, MODE_ALLOW);
	assert_string_equal(c->listeners[1].sni_suffix, "db.example");
	assert_int_equal(c->regions[0].nodes.n, 5);
	assert_string_equal(c->regions[0].nodes.v[1], "[2001:db8::5]:5433");
	assert_string_equal(c->regions[0].nodes.v[2], "[::1]:5432");
	assert_string_equal(c->regions[0].nodes.v[3], "/var/run:5434");
	assert_string_equal(c->regions[0].cities.v[2], "sao paulo");
	assert_string_equal(c->regions[0].countries.v[0], "US");
	assert_string_equal(c->regions[0].countries.v[1], "CA");
	assert_int_equal(c->regions[0].bias, -99);
	assert_true(c->regions[0].strict);
	assert_int_equal(c->regions[0].sslmode, SSLMODE_VERIFY_FULL);
	assert_string_equal(c->regions[1].nodes.v[0], "db9:6000");
	assert_true(c->regions[1].lon < -81.15 && c->regions[1].lon > -81.17);
	assert_int_equal(c->ndatabases, 2);
	assert_string_equal(c->databases[0].regions.v[1], "us-east1");
	assert_int_equal(c->databases[0].access, ACCESS_PREFER_STANDBY);
	assert_int_equal(c->databases[0].residency, RESIDENCY_STRICT);
	assert_ptr_equal(config_database(c, SLICE_LITERAL("movr")), &c->databases[0]);
	assert_ptr_equal(config_database(c, SLICE_LITERAL("x")), &c->databases[1]);
	config_unref(c);
}

static void
a_database_without_a_section_has_the_built_in_rules(void **state)
{
	struct config *c = good(REGION);
	const struct conf_database *d = config_database(c, SLICE_LITERAL("x"));

	(void)state;
	assert_int_equal(d->access, ACCESS_READ_WRITE);
	assert_int_equal(d->regions.n, 0);
	assert_null(d->dbname);
	config_unref(c);
}

static void
options_may_be_indented_all_alike(void **state)
{
	struct config *c = good("  [region a]\n  nodes = x,\n    z\n  bias = 3\n\n; -\n"
				"\tcities = lyon\n"
				"[region b]\n    nodes = y\n    bias = 4\n  sslmode = require\n");

	(void)state;
	assert_int_equal(c->nregions, 2);
	assert_int_equal(c->regions[0].nodes.n, 2);
	assert_string_equal(c->regions[0].nodes.v[1], "z:5432");
	assert_int_equal(c->regions[0].bias, 3);
	assert_int_equal(c->regions[0].cities.n, 1);
	assert_string_equal(c->regions[1].nodes.v[0], "y:5432");
	assert_int_equal(c->regions[1].nodes.n, 1);
	assert_int_equal(c->regions[1].bias, 4);
	assert_int_equal(c->regions[1].sslmode, SSLMODE_REQUIRE);
	config_unref(c);
}

/* Every kind of mistake, with the whole message. */
static const struct {
	const char *text, *message;
} mistakes[] = {
	{ "", "m.conf: no region is configured: at least one is required" },
	{ "[meridian]\nlisen = x\n",
	  "m.conf:2: unknown option \"lisen\" in section [meridian] (did you mean \"listen\"?)" },
	{ "[meridian]\nfrobnicate = x\n", "m.conf:2: unknown option \"frobnicate\" in section "
					  "[meridian] (meridian --help-config lists them)" },
	{ "[meridian]\nnodes = x\n", "m.conf:2: option \"nodes\" belongs to section [region NAME], "
				     "not to [meridian]" },
	{ "[region x]\nworkers = 1\n",
	  "m.conf:2: option \"workers\" belongs to section [meridian], not to [region]" },
	{ "\n[regoin x]\n", "m.conf:2: unknown section [regoin x] (did you mean [region]?)" },
	{ "[pgbouncer]\n", "m.conf:1: unknown section [pgbouncer]; expected [meridian], [listener "
			   "NAME], [region NAME] or [database NAME]" },
	{ "[region]\n", "m.conf:1: section [region] needs a name: [region NAME]" },
	{ "[meridian x]\n", "m.conf:1: section [meridian] has no name, but \"x\" was found" },
	{ "[region a/b]\n", "m.conf:1: \"a/b\" cannot name a region: expected up to 63 letters, "
			    "digits, dots, dashes or underscores" },
	{ "[database a b]\n", "m.conf:1: \"a b\" cannot name a database: expected up to 63 "
			      "characters without blanks, quotes and commas" },
	{ REGION REGION, "m.conf:3: section [region us-east1] was already opened in line 1" },
	{ "[meridian]\n\n[meridian]\n",
	  "m.conf:3: section [meridian] was already opened in line 1" },
	{ "[listener main]\n",
	  "m.conf:1: the listener \"main\" is described in section [meridian]" },
	{ "[database meridian]\n", "m.conf:1: the database \"meridian\" is the console" },
	{ "[region x\n",
	  "m.conf:1: expected \"[section]\" and nothing behind it, found \"[region x\"" },
	{ "[region x] nodes = 1\n", "m.conf:1: expected \"[section]\" and nothing behind it, found "
				    "\"[region x] nodes = 1\"" },
	{ "workers = 1\n",
	  "m.conf:1: option \"workers\" stands before any section; begin with [meridian]" },
	{ "[meridian]\nworkers\n",
	  "m.conf:2: expected \"option = value\" or \"[section]\", found \"workers\"" },
	{ "[meridian]\nworkers = 1\n\nworkers = 2\n",
	  "m.conf:4: option \"workers\" was already set in line 2" },
	{ "[meridian]\nworkers = many\n", "m.conf:2: option \"workers\": \"many\" is not a whole "
					  "number from 0 to 256 or auto" },
	{ "[meridian]\nworkers = 257\n", "m.conf:2: option \"workers\": \"257\" is not a whole "
					 "number from 0 to 256 or auto" },
	{ "[meridian]\nworkers =\n", "m.conf:2: option \"workers\": \"\" is not a whole number "
				     "from 0 to 256 or auto" },
	{ "[meridian]\nnearest = callr\n", "m.conf:2: option \"nearest\": \"callr\" is not one of "
					   "caller, proxy, blend (did you mean \"caller\"?)" },
	{ "[database movr]\nreads = home\nconsistency = linear\n",
	  "m.conf:3: option \"consistency\": \"linear\" is not one of session, eventual, "
	  "strict, bounded:TIME" },
	{ "[region us-east1]\nnodes = db1\ndiscover = everything\n",
	  "m.conf:3: option \"discover\": \"everything\" is not one of off, auto, replication, "
	  "citus, cockroachdb, yugabyte, aurora, patroni" },
	{ "[region us-east1]\nnodes =\ndiscover = patroni\npatroni_api = http://db1/patroni\n",
	  "m.conf:4: option \"patroni_api\": \"http://db1/patroni\" is not an address of Patroni's "
	  "REST API (host, host:port, http:// or https://)" },
	{ "[region us-east1]\nnodes = db1\n[region spare]\ndiscover = auto\n",
	  "m.conf:3: [region spare]: option \"nodes\" is missing: a region needs at least one "
	  "node" },
	{ "[meridian]\naddress_map = paris\n",
	  "m.conf:2: option \"address_map\": \"paris\" is not PATTERN=HOST or "
	  "PATTERN=HOST:PORT" },
	{ "[meridian]\naddress_map = paris=/run/postgresql\n",
	  "m.conf:2: option \"address_map\": \"paris=/run/postgresql\" is not PATTERN=HOST or "
	  "PATTERN=HOST:PORT" },
	{ "[meridian]\naddress_map = paris=db1:0\n",
	  "m.conf:2: option \"address_map\": \"paris=db1:0\" is not PATTERN=HOST or "
	  "PATTERN=HOST:PORT" },
	{ "[meridian]\nlisten = 127.0.0.1:6433\nlocality_map = paris=moon\n"
	  "[region us-east1]\nnodes = db1\n",
	  "m.conf:3: [meridian]: there is no region \"moon\"" },
	{ "[database movr]\nconsistency = evental\n",
	  "m.conf:2: option \"consistency\": \"evental\" is not one of session, eventual, "
	  "strict, bounded:TIME (did you mean \"eventual\"?)" },
	{ "[database movr]\nconsistency = bounded:TIME\n",
	  "m.conf:2: option \"consistency\": \"bounded:TIME\" is not one of session, eventual, "
	  "strict, bounded:TIME" },
	{ "[database movr]\nconsistency = bounded:0\n",
	  "m.conf:2: option \"consistency\": \"bounded:0\" is not one of session, eventual, "
	  "strict, bounded:TIME" },
	{ "[database movr]\nconsistency = bounded:2h\n",
	  "m.conf:2: option \"consistency\": \"bounded:2h\" is not one of session, eventual, "
	  "strict, bounded:TIME" },
	{ "[database movr]\nreads = near\n",
	  "m.conf:2: option \"reads\": \"near\" is not one of home, observe, nearest" },
	{ "[meridian]\nblend = 2\n",
	  "m.conf:2: option \"blend\": \"2\" is not a number from 0 to 1" },
	{ "[meridian]\nprobe_interval = fast\n",
	  "m.conf:2: option \"probe_interval\": \"fast\" is not a time from 50ms to 1h (units us, "
	  "ms, s, min, h, d; none: seconds)" },
	{ "[meridian]\nprobe_interval = 1us\n",
	  "m.conf:2: option \"probe_interval\": \"1us\" is not a time from 50ms to 1h (units us, "
	  "ms, s, min, h, d; none: seconds)" },
	{ "[meridian]\nunix_socket_mode = 888\n",
	  "m.conf:2: option \"unix_socket_mode\": \"888\" is not an octal number from 0 to 0777" },
	{ "[meridian]\ntcp_keepalive = maybe\n",
	  "m.conf:2: option \"tcp_keepalive\": \"maybe\" is not on or off" },
	{ "[meridian]\nlocality = geoip, snj\n",
	  "m.conf:2: option \"locality\": \"snj\" is not one of override, startup, sni, header, "
	  "tlv, geoip, self (did you mean \"sni\"?)" },
	{ "[meridian]\nlocality = geoip, geoip\n",
	  "m.conf:2: option \"locality\": \"geoip\" is in the list twice" },
	{ "[meridian]\ntrusted_proxies = 10.0.0.1/8\n",
	  "m.conf:2: option \"trusted_proxies\": \"10.0.0.1/8\" is not an address block "
	  "(10.0.0.0/8, 2001:db8::/32, or an address; no bits behind the mask)" },
	{ "[meridian]\nlisten = 1.2.3.4:99999\n",
	  "m.conf:2: option \"listen\": \"1.2.3.4:99999\" is not an address (127.0.0.1:6433, "
	  "[::1]:6433, *:6433) or the directory of a unix socket" },
	{ "[meridian]\nlisten = localhost:1\n",
	  "m.conf:2: option \"listen\": \"localhost:1\" is not an address (127.0.0.1:6433, "
	  "[::1]:6433, *:6433) or the directory of a unix socket" },
	{ "[meridian]\nlisten = ::1,,b\n",
	  "m.conf:2: option \"listen\": \"\" is not an address (127.0.0.1:6433, [::1]:6433, "
	  "*:6433) or the directory of a unix socket" },
	{ "[meridian]\nprobe_conninfo = user=x password=\n  'geheim\n",
	  "m.conf:3: option \"probe_conninfo\" (which goes on in this indented line): this is not "
	  "a list of libpq's keyword=value words without host and port" },
	{ "[meridian]\nprobe_conninfo = host=x\n",
	  "m.conf:2: option \"probe_conninfo\": this is not a list of libpq's keyword=value words "
	  "without host and port" },
	{ "[meridian]\nworkers = 1\n  2\n", "m.conf:3: an indented line goes on with the option "
					    "above it, but \"workers\" is no list" },
	{ "[meridian]\nlisten = *\n  workers = 2\n",
	  "m.conf:3: option \"listen\" (which goes on in this indented line): \"workers = 2\" "
	  "is not an address (127.0.0.1:6433, [::1]:6433, *:6433) or the directory of a unix "
	  "socket" },
	{ "[region x]\nlocation = 91, 0\n",
	  "m.conf:2: option \"location\": \"91, 0\" is not a latitude and a longitude in "
	  "degrees (48.85, 2.35)" },
	{ "[region x]\ncountries = Atlantis\n",
	  "m.conf:2: option \"countries\": \"Atlantis\" is not a country (its ISO 3166 code or "
	  "name)" },
	{ "[region x]\nnodes = db1:\n",
	  "m.conf:2: option \"nodes\": \"db1:\" is not a node (host, host:port, [address]:port, or "
	  "/directory of a unix socket)" },
	{ "[region x]\nnodes = db1, db1:5432\n",
	  "m.conf:2: option \"nodes\": \"db1:5432\" is in the list twice" },
	{ "[region x]\ncities = !\n",
	  "m.conf:2: option \"cities\": \"!\" is not the name of a city" },
	/* what contradicts */
	{ "[region x]\n[region y]\nnodes = a\n",
	  "m.conf:1: [region x]: option \"nodes\" is missing: a region needs at least one node" },
	{ REGION "[database d]\n\nregions = us-eas1\n",
	  "m.conf:5: [database d]: option \"regions\": unknown region \"us-eas1\" (did you mean "
	  "\"us-east1\"?)" },
	{ REGION "[database d]\nregions = mars\n",
	  "m.conf:4: [database d]: option \"regions\": unknown region \"mars\"" },
	{ "[meridian]\nregion = atlantis\n" REGION,
	  "m.conf:2: [meridian]: option \"region\": unknown region \"atlantis\"" },
	{ "[meridian]\nlisten =\n" REGION,
	  "m.conf:1: [meridian]: option \"listen\" is missing: nothing to listen on" },
	{ "[listener lb]\n" REGION,
	  "m.conf:1: [listener lb]: option \"listen\" is missing: nothing to listen on" },
	{ REGION "[listener lb]\nlisten = 127.0.0.1\n",
	  "m.conf:4: [listener lb]: \"127.0.0.1:6433\" is listened on already, by listener "
	  "\"main\" "
	  "as \"127.0.0.1:6433\"" },
	{ "[meridian]\nlisten = *:1\n" REGION "[listener lb]\nlisten = 0.0.0.0:1\n",
	  "m.conf:6: [listener lb]: \"0.0.0.0:1\" is listened on already, by listener \"main\" as "
	  "\"*:1\"" },
	{ "[meridian]\nauth_query = SELECT 1\n" REGION,
	  "m.conf:2: [meridian]: option \"auth_query\" must have the user's name in it, as $1" },
	{ REGION "[database d]\nauth_query = SELECT 1\n",
	  "m.conf:4: [database d]: option \"auth_query\" must have the user's name in it, as $1" },
	{ "[meridian]\ntls = require\n" REGION,
	  "m.conf:2: [meridian]: tls = require needs option \"tls_cert_file\"" },
	{ "[meridian]\ntls_key_file = /k\n" REGION, "m.conf:2: [meridian]: option \"tls_key_file\" "
						    "needs option \"tls_cert_file\" beside it" },
	{ "[meridian]\ntls_cert_file = /k\n" REGION,
	  "m.conf:2: [meridian]: option \"tls_cert_file\" needs option \"tls_key_file\" beside "
	  "it" },
	{ "[meridian]\nauth = md5\n" REGION,
	  "m.conf:2: [meridian]: auth = md5 needs option \"auth_file\", or \"auth_conninfo\" for "
	  "auth_query" },
	{ REGION "[database movr]\nauth = scram-sha-256\n",
	  "m.conf:4: [database movr]: auth = scram-sha-256 needs option \"auth_file\", or "
	  "\"auth_conninfo\" for auth_query" },
	{ REGION "channel_binding = require\n",
	  "m.conf:3: [region us-east1]: channel_binding = require needs sslmode = require or "
	  "stricter" },
	{ REGION "sslmode = verify-ca\n",
	  "m.conf:3: [region us-east1]: sslmode = verify-ca needs option \"sslrootcert\"" },
	{ REGION "sslcert = /c\n",
	  "m.conf:3: [region us-east1]: option \"sslcert\" needs option \"sslkey\" beside it" },
};

static void
every_mistake_is_told_with_file_and_line_and_what_was_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mistakes); i++) {
		struct err e = { 0 };
		struct config *c = load(mistakes[i].text, &e);

		if (c != NULL)
			print_error("accepted: %s\n", mistakes[i].text);
		assert_null(c);
		assert_string_equal(e.msg, mistakes[i].message);
	}
}

static void
a_line_that_libinih_would_cut_is_refused(void **state)
{
	char text[512];
	struct err e = { 0 };

	(void)state;
	snprintf(text, sizeof(text), REGION "[database d]\ndbname = %0191d\n", 0);
	assert_null(load(text, &e));
	assert_string_equal(e.msg,
			    "m.conf:4: this line has 200 bytes, but at most 199 are possible; "
			    "a list may go on in further lines that are indented");
	snprintf(text, sizeof(text), REGION "[database d]\ndbname = %0190d   ; and %0200d\n", 0, 0);
	config_unref(good(text));
}

static void
a_long_comment_is_no_matter(void **state)
{
	char text[2000];

	(void)state;
	snprintf(text, sizeof(text), "; %0500d = 1\n# %0500d\n" REGION "  ; %0500d\n", 1, 1, 1);
	config_unref(good(text));
}

static void
long_names_of_sections_are_whole(void **state)
{
	/* libinih keeps 49 bytes of a section's name; these differ behind that */
	struct config *c = good("[region a123456789b123456789c123456789d123456789e123456789-x]\n"
				"nodes = n1\n"
				"[region a123456789b123456789c123456789d123456789e123456789-y]\n"
				"nodes = n2\n");

	(void)state;
	assert_int_equal(c->nregions, 2);
	assert_string_equal(c->regions[1].nodes.v[0], "n2:5432");
	config_unref(c);
}

static void
a_control_byte_is_refused(void **state)
{
	static const char text[] = REGION "cities = a\0b\n";
	struct config *c = config_new();
	struct origins origins = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(config_parse(c, slice_of(text, sizeof(text) - 1), "m.conf", &origins, &e),
			 -1);
	assert_string_equal(e.msg, "m.conf:3: a control byte (0x00): this is not a text file");
	origins_fini(&origins);
	config_unref(c);
}

static void
locations_are_on_the_globe(void **state)
{
	static const char *const bad[] = { "90.1, 0", "-90.1, 0", "0, 180.1", "0, -180.1", "1",
					   "1,",      ",1",       "1,2,3",    "a, b" };
	struct err e;
	char text[100];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		snprintf(text, sizeof(text), "[region x]\nnodes = a\nlocation = %s\n", bad[i]);
		assert_null(load(text, &e));
	}
	config_unref(good("[region x]\nnodes = a\nlocation = -90, 180\n"));
	config_unref(good("[region x]\nnodes = a\nlocation = 90,-180\n"));
}

static void
only_the_first_mistake_is_told(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_null(load("[meridian]\nx\nworkers = no\n", &e));
	assert_non_null(strstr(e.msg, "m.conf:2:"));
	assert_null(load("[meridian]\nworkers = no\nx\n", &e));
	assert_non_null(strstr(e.msg, "m.conf:2:"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_with_one_region_gives_the_defaults),
		cmocka_unit_test(every_kind_of_section_and_value_is_read),
		cmocka_unit_test(a_database_without_a_section_has_the_built_in_rules),
		cmocka_unit_test(options_may_be_indented_all_alike),
		cmocka_unit_test(every_mistake_is_told_with_file_and_line_and_what_was_expected),
		cmocka_unit_test(a_line_that_libinih_would_cut_is_refused),
		cmocka_unit_test(a_long_comment_is_no_matter),
		cmocka_unit_test(long_names_of_sections_are_whole),
		cmocka_unit_test(a_control_byte_is_refused),
		cmocka_unit_test(locations_are_on_the_globe),
		cmocka_unit_test(only_the_first_mistake_is_told),
	};

	log_set_level(LOG_LEVEL_FATAL);
	return cmocka_run_group_tests_name("proxy/config/parse", tests, NULL, NULL);
}
