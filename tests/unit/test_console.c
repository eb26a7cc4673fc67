/* SPDX-License-Identifier: PostgreSQL
 *
 * The console driven through its port: conversations (scripts of console_script.h), each run whole
 * and cut at every byte, with the same answer.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/console_script.h"

#include "tests/unit/unit.h"

#define SESSIONS_T                                                                                \
	"T(id:20 worker:23 database:25 user:25 client_addr:25 true_addr:25 state:25 city:25 "     \
	"country:25 locality_source:25 home:25 node:25 tls:25 application_name:25 "               \
	"connected_at:1184 rx_bytes:20 tx_bytes:20 queries:20 client_rtt_us:20 server_rtt_us:20 " \
	"move_block:25 confidence:25 listener:25 server_pid:20 transport:25 endpoint:25)"
#define SHORT_SESSIONS_T "T(id:20 database:25 user:25 client_addr:25 state:25 city:25 home:25)"
#define SHORT_POOLS_T                                                                      \
	"T(database:25 user:25 node:25 worker:23 cl_active:23 cl_waiting:23 sv_active:23 " \
	"sv_idle:23 maxwait:23)"
#define ROUTE_T                                                                                   \
	"T(rank:23 region:25 node:25 verdict:25 reason:25 distance_km:701 rtt_ms:701 lag_ms:701 " \
	"load:701 score:701)"
#define SERVERS_T                                                                              \
	"T(region:25 node:25 server_pid:20 session:20 worker:23 database:25 user:25 state:25 " \
	"server_rtt_us:20 connected_at:1184 queries:20 pool_mode:25 state_since:1184 "         \
	"close_needed:16 tls:25 prepared_statements:23 tls_cipher:25)"
#define OWN(id, worker)                             \
	"D[us-east1|db1:5432|4711|" #id "|" #worker \
	"|movr|other|idle||1970-01-01 00:00:00.000000+00|0|off||f|||]"
#define POOL_SERVER(worker)                \
	"D[us-west1|db3:5432|77||" #worker \
	"|movr|app|idle||||transaction||f|TLSv1.3|4|TLS_AES_256_GCM_SHA384]"
#define NODE_1 \
	"D[us-east1|db1:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f|||||||configured]"
#define NODE_2                                                          \
	"D[us-east1|db2:5432|unknown|unknown|down|f|||||0||connection " \
	"refused|||0|0|f|||||||configured]"
#define NODE_3 \
	"D[us-west1|db3:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f|||||||configured]"
#define NODE_4                                                                            \
	"D[europe-west1|db4:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f|||||||" \
	"configured]"
#define VERSION_ROW "D[15.0 (Meridian " PACKAGE_VERSION ")]"

static const struct {
	const char *script, *answer;
} conversations[] = {
	/* simple queries */
	{ "Q SELECT 1", "T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "Q show overrides",
	  "T(kind:25 value:25 region:25 until:1184) D[country|JP|us-west1|] C(SHOW) Z" },
	{ "Q ", "I Z" },
	{ "Q  ; -- nothing", "I Z" },
	{ "Q BEGIN; SELECT 1 ;; COMMIT;", "C(BEGIN) T(?column?:23) D[1] C(SELECT 1) C(COMMIT) Z" },
	{ "Q SELECT 1; show region", "T(?column?:23) D[1] C(SELECT 1) T(region:25) D[] C(SHOW) Z" },
	{ "Q SELECT 1; SHOW nonsense; SELECT 1",
	  "T(?column?:23) D[1] C(SELECT 1) E(42704 there is no option \"nonsense\") Z" },
	{ "Q SELECT 1; HELPP", "E(42601 syntax error at or near \"HELPP\") Z" },
	{ "Q SELECT $1",
	  "E(0A000 the console has no tables or catalogs, and understands no SQL) Z" },
	{ "Q SHOW SESSION $1", "E(42P02 there is no parameter $1) Z" },
	{ "Q SHOW server_version", "T(server_version:25) " VERSION_ROW " C(SHOW) Z" },
	{ "Q SELECT 1\nQ SELECT 1",
	  "T(?column?:23) D[1] C(SELECT 1) Z T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "F", "E(0A000 the console has no functions to call) Z" },
	{ "d\nQ SELECT 1", "T(?column?:23) D[1] C(SELECT 1) Z" },
	/* what drivers send */
	{ "Q SET extra_float_digits = 3", "C(SET) Z" },
	{ "Q SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "C(SET) Z" },
	{ "Q SET client_encoding TO 'UTF8'", "C(SET) Z" },
	{ "Q SET NAMES 'latin1'", "E(22023 the console speaks UTF8 only, not \"latin1\") Z" },
	{ "Q SHOW TRANSACTION ISOLATION LEVEL",
	  "T(transaction_isolation:25) D[read committed] C(SHOW) Z" },
	{ "Q select pg_catalog.version()",
	  "T(version:25) D[PostgreSQL 15.0 (Meridian " PACKAGE_VERSION " console)] C(SELECT 1) Z" },
	{ "Q SELECT pg_catalog.pg_is_in_recovery()", "T(pg_is_in_recovery:16) D[f] C(SELECT 1) Z" },
	{ "Q RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();",
	  "C(RESET) C(CLOSE CURSOR ALL) C(UNLISTEN) T(pg_advisory_unlock_all:25) D[] C(SELECT 1) "
	  "Z" },
	{ "Q SELECT current_user", "T(current_user:25) D[ada] C(SELECT 1) Z" },
	/* the extended protocol */
	{ "P |SELECT 1|\nB |||\nDP \nE |0\nS", "1 2 T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "P |SELECT 1|\nB |||b\nDP \nE |0\nS",
	  "1 2 T(?column?:23:b) D[\\0\\0\\0\\1] C(SELECT 1) Z" },
	{ "P s|SHOW $1|\nDS s\nB p|s|server_version|\nDP p\nE p|0\nS",
	  "1 t(25) T(option:25) 2 T(server_version:25) " VERSION_ROW " C(SHOW) Z" },
	{ "P s|SHOW SESSION $1|20\nDS s\nS", "1 t(20) T(section:25 key:25 value:25) Z" },
	{ "P ||\nB |||\nDP \nE |0\nS", "1 2 n I Z" },
	{ "P |BEGIN|\nDS \nB |||\nE |0\nS", "1 t() n 2 C(BEGIN) Z" },
	{ "P |SHOW REGIONS|\nB |||\nE |2\nE |2\nE |2\nS",
	  "1 2 D[us-east1|33.84|-81.16|2|1|f|0|12.345|0|t|f|new york||] "
	  "D[us-west1|45.59|-121.18|1|1|f|0|12.345|0|f|f|||] s "
	  "D[europe-west1|50.45|3.82|1|1|f|0|12.345|0|f|f|||] C(SHOW) C(SHOW) Z" },
	/* a portal that was left half-way outlives the Sync; COMMIT ends it */
	{ "P |SHOW NODES FULL|\nB c|||\nE c|1\nS\nE c|3\nS\nQ COMMIT\nE c|1\nS",
	  "1 2 " NODE_1 " s Z " NODE_2 " " NODE_3 " " NODE_4 " s Z C(COMMIT) Z "
	  "E(34000 portal \"c\" does not exist) Z" },
	{ "P |SELECT 1|\nB c|||\nE c|0\nS\nE c|0\nS",
	  "1 2 D[1] C(SELECT 1) Z E(34000 portal \"c\" does not exist) Z" },
	{ "P a|SELECT 1|\nP a|SELECT 1|\nB |a||\nS\nB |a||\nE |0\nS",
	  "1 E(42P05 prepared statement \"a\" already exists) Z 2 D[1] C(SELECT 1) Z" },
	{ "P a|SELECT 1|\nB c|a||\nB c|a||\nS", "1 2 E(42P03 cursor \"c\" already exists) Z" },
	{ "P a|SELECT 1|\nCS a\nCS a\nB |a||\nS",
	  "1 3 3 E(26000 prepared statement \"a\" does not exist) Z" },
	{ "P |SELECT 1|\nB c|||\nCP c\nE c|0\nS", "1 2 3 E(34000 portal \"c\" does not exist) Z" },
	{ "P |SELECT 1; SELECT 1|\nS",
	  "E(42601 cannot insert multiple commands into a prepared statement) Z" },
	{ "P |;SELECT 1;|\nB |||\nE |0\nS", "1 2 D[1] C(SELECT 1) Z" },
	{ "P |SHOW $1|\nB |||\nS",
	  "1 E(08P01 bind message supplies 0 parameters, but prepared statement requires 1) Z" },
	{ "P |SHOW $1|\nB ||NULL|\nS", "1 E(22004 parameter $1 may not be null) Z" },
	{ "P |SELECT 1|\nB |||tt\nS",
	  "1 E(08P01 bind message has 2 result formats but query has 1 columns) Z" },
	{ "P |SHOW nonsense|\nB |||\nE |0\nE |0\nP |SELECT 1|\nS\nQ SELECT 1",
	  "1 2 E(42704 there is no option \"nonsense\") Z T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "P |HELPP|\nQ SELECT 1\nS", "E(42601 syntax error at or near \"HELPP\") Z" },
	{ "P a|SELECT 1|\nS\nQ DEALLOCATE ALL\nDS a\nS",
	  "1 Z C(DEALLOCATE ALL) Z E(26000 prepared statement \"a\" does not exist) Z" },
	{ "H\nS", "Z" },
	{ "P |SELECT 1|\nH\nDS \nB |||\nH\nE |0\nS", "1 t() T(?column?:23) 2 D[1] C(SELECT 1) Z" },
	/* over two workers and back */
	{ "Q SHOW USERS; SELECT 1",
	  "T(user:25 privilege:25 secret:25 source:25 sessions:20 server_connections:20 "
	  "max_user_connections:20 throttled_until:1184 throttled_addresses:20 "
	  "trusted_addresses:20 limited_until:1184) D[admin|admin|||0|0|0||0|0|] "
	  "D[app|||node|2|2|0||0|0|] D[eve|stats|||0|0|0||0|0|] D[monitor|stats|||0|0|0||0|0|] "
	  "D[other|||node|2|2|0||0|0|] C(SHOW) T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "Q SHOW SERVERS USER other", SERVERS_T " " OWN(3, 1) " " OWN(4, 2) " C(SHOW) Z" },
	{ "Q SHOW SERVERS REGION us-west1",
	  SERVERS_T " " POOL_SERVER(1) " " POOL_SERVER(2) " C(SHOW) Z" },
	{ "Q SHOW POOLS FULL USER app REGION us-east1",
	  "T(database:25 user:25 region:25 node:25 worker:23 cl_active:23 cl_waiting:23 "
	  "sv_active:23 sv_idle:23 sv_reset:23 sv_held:23 sv_login:23 maxwait:23 maxwait_us:23 "
	  "pool_mode:25 pool_size:23 paused:16 lent:20 waited:20 wait_us:20 options:25 reason:25) "
	  "D[movr|app|us-east1|db1:5432|1|5|2|3|1|0|0|0|1|500000|transaction|10|f|7|0|0||] "
	  "D[movr|app|us-east1|db1:5432|2|5|2|3|1|0|0|0|1|500000|transaction|10|f|7|0|0||] "
	  "C(SHOW) Z" },
	{ "Q SHOW PAUSES", "T(database:25 region:25 worker:23 paused_at:1184 held:23 open:23 "
			   "migration:23) "
			   "D[movr||1|1970-01-01 00:00:00.000000+00|3|1|] C(SHOW) Z" },
	{ "Q RECONNECT DATABASE movr", "C(RECONNECT) Z" },
	{ "Q RECONNECT", "N(00000 4 sessions keep a connection of their own) C(RECONNECT) Z" },
	{ "Q RECONNECT REGION mars", "E(42704 region \"mars\" does not exist) Z" },
	{ "Q SHOW SESSIONS FULL REGION europe-west1; SELECT 1",
	  SESSIONS_T " C(SHOW) T(?column?:23) D[1] "
		     "C(SELECT 1) Z" },
	{ "Q SHOW SESSIONS FULL REGION mars", "E(42704 region \"mars\" does not exist) Z" },
	{ "Q SHOW SESSIONS FULL USER app",
	  SESSIONS_T " D[1|1|movr|app|-|-|idle|paris|FR|startup|us-east1|db1:5432||caf\xef\xbf\xbd|"
		     "1970-01-01 00:00:00.000000+00|0|0|0|1500|||city|main|4711|tcp|] "
		     "D[2|2|movr|app|-|-|idle|paris|FR|startup|us-east1|db1:5432||caf\xef\xbf\xbd|"
		     "1970-01-01 00:00:00.000000+00|0|0|0|1500|||city|main|4711|tcp|] C(SHOW) Z" },
	{ "Q SHOW SESSIONS USER app",
	  SHORT_SESSIONS_T " D[1|movr|app|-|idle|paris|us-east1] "
			   "D[2|movr|app|-|idle|paris|us-east1] C(SHOW) Z" },
	{ "P |SHOW SESSIONS USER $1|\nDS \nB ||app|bt\nS",
	  "1 t(25) " SHORT_SESSIONS_T " E(08P01 bind message has 2 result formats but query has 7 "
	  "columns) Z" },
	{ "P |SHOW POOLS USER $1|\nDS \nB ||app|\nDP \nE |1\nS",
	  "1 t(25) " SHORT_POOLS_T " 2 " SHORT_POOLS_T " D[movr|app|db1:5432|1|5|2|3|1|1] s Z" },
	{ "P |SHOW NODES|\nB |||ttttttbtt\nDP \nE |1\nS",
	  "1 2 T(region:25 node:25 role:25 state:25 drained:16 rtt_ms:701 lag_ms:701:b reason:25 "
	  "tls:25) "
	  "D[us-east1|db1:5432|primary|up|f|12.345|\\0\\0\\0\\0\\0\\0\\0\\0||] s Z" },
	{ "P |SHOW SERVERS USER other|\nB |||\nE |1\nS\nE |3\nS",
	  "1 2 " OWN(3, 1) " s Z " OWN(4, 2) " C(SHOW) Z" },
	{ "Q KILL SESSION 99", "E(42704 session 99 does not exist) Z" },
	{ "Q KILL SESSION abc", "E(22023 \"abc\" is no session id) Z" },
	{ "Q SHOW SESSION 0", "E(22023 \"0\" is no session id) Z" },
	{ "Q REHOME SESSION 99", "T(id:20 home:25 node:25) E(42704 session 99 does not exist) Z" },
	{ "Q REHOME SESSION abc", "E(22023 \"abc\" is no session id) Z" },
	{ "Q REHOME SESSION 3",
	  "T(id:20 home:25 node:25) E(55000 session 3 cannot be moved: temp table) Z" },
	{ "Q REHOME SESSION 4 TO REGION us-east1",
	  "T(id:20 home:25 node:25) D[4|us-east1|db1:5432] C(REHOME SESSION) Z" },
	{ "Q REHOME SESSION 4 TO REGION us-west1",
	  "T(id:20 home:25 node:25) E(55000 no node of region us-west1) Z" },
	{ "Q REHOME SESSION 4 TO REGION nowhere", "E(42704 region \"nowhere\" does not exist) Z" },
	{ "Q KILL SESSION 4; KILL SESSION 1", "C(KILL SESSION) C(KILL SESSION) Z" },
	/* to the control thread and back */
	{ "Q RELOAD; PROBE", "C(TAG) C(TAG) Z" },
	{ "P |DRAIN REGION $1 DEADLINE $2|\nB ||gcp-us-east1,30s|\nE |0\nS", "1 2 C(TAG) Z" },
	{ "Q PAUSE DATABASE meridian", "E(22023 the console cannot be paused) Z" },
	{ "Q PAUSE REGION mars", "E(42704 region \"mars\" does not exist) Z" },
	{ "Q DRAIN REGION us-east", "E(42704 region \"us-east\" does not exist) Z" },
	{ "Q DRAIN NODE db1", "E(42704 node \"db1\" does not exist) Z" },
	{ "Q DRAIN NODE db1:5432 DEADLINE 'soon'", "E(22023 \"soon\" is no duration) Z" },
	{ "Q OVERRIDE NETWORK '10.0.0.1/8' TO REGION us-east1",
	  "E(22023 \"10.0.0.1/8\" is no address block) Z" },
	/* EXPLAIN */
	{ "Q EXPLAIN LOCALITY COUNTRY 'fra'",
	  "E(22023 \"fra\" is no ISO 3166 country code of two letters) Z" },
	{ "Q EXPLAIN ROUTE LOCATION '91,0'", "E(22023 \"91,0\" is no location) Z" },
	{ "Q EXPLAIN ROUTE ADDRESS 'x'", "E(22023 \"x\" is no IP address) Z" },
	{ "Q EXPLAIN ROUTE CITY 'x' ACCESS write", "E(22023 \"write\" is no access) Z" },
	{ "Q EXPLAIN ROUTE SESSION 77", ROUTE_T " E(42704 session 77 does not exist) Z" },
};

static void
converse(const char *script, size_t cut, struct buf *answer)
{
	struct fake *f = fake_new();
	struct buf in = { 0 };

	fake_sessions(f, 2);
	fake_open(f, PRIVILEGE_ADMIN);
	put_script(&in, script);
	if (cut > in.n)
		cut = in.n;
	feed(f, in.p, cut);
	feed(f, in.p + cut, in.n - cut);
	fake_print(f, answer);
	buf_fini(&in);
	fake_free(f);
}

static void
conversations_are_answered(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		struct buf got = { 0 };

		converse(conversations[i].script, SIZE_MAX, &got);
		if (strcmp(buf_text(&got), conversations[i].answer) != 0)
			print_message("# %s\n", conversations[i].script);
		assert_string_equal(buf_text(&got), conversations[i].answer);
		buf_fini(&got);
	}
}

static void
where_input_is_cut_makes_no_difference(void **state)
{
	struct buf in = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		buf_clear(&in);
		put_script(&in, conversations[i].script);
		for (size_t cut = 0; cut < in.n; cut++) {
			struct buf got = { 0 };

			converse(conversations[i].script, cut, &got);
			assert_string_equal(buf_text(&got), conversations[i].answer);
			buf_fini(&got);
		}
	}
	buf_fini(&in);
}

static void
the_greeting_is_what_drivers_need(void **state)
{
	static const char *const wanted[] = { "server_version",
					      "server_encoding",
					      "client_encoding",
					      "DateStyle",
					      "TimeZone",
					      "integer_datetimes",
					      "standard_conforming_strings",
					      "in_hot_standby",
					      "default_transaction_read_only" };
	struct buf out = { 0 };
	size_t found = 0;
	struct frame m;

	(void)state;
	console_greeting(&out);
	for (struct slice rest = buf_view(&out); rest.n > 0; rest = slice_skip(rest, m.total)) {
		struct message_parameter p;

		assert_int_equal(frame_cut(rest, 1000, &m), PARSE_DONE);
		assert_int_equal(message_parse_parameter(m.body, &p), PARSE_DONE);
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			found += slice_is(p.name, wanted[i]);
		if (slice_is(p.name, "server_version"))
			assert_true(slice_starts(p.value, "15.0 "));
	}
	assert_int_equal(found, sizeof(wanted) / sizeof(wanted[0]));
	buf_clear(&out);
	console_ready(&out);
	assert_memory_equal(out.p, "Z\0\0\0\5I", 6);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_are_answered),
		cmocka_unit_test(where_input_is_cut_makes_no_difference),
		cmocka_unit_test(the_greeting_is_what_drivers_need),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
