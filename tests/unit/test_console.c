/* SPDX-License-Identifier: PostgreSQL
 *
 * The console driven through its port. Conversations are scripts of client messages, one per line:
 *
 *     Q sql                 P name|sql|oid,oid     B portal|statement|value,value|formats
 *     DS name   DP name     E portal|rows          CS name   CP name      S  H  X  F  d
 *
 * Each runs whole and cut at every byte, with the same answer.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/admin/commands.h"
#include "tests/unit/console_fake.h"

#include "tests/unit/unit.h"

/* ---- scripts ---- */

static void
put_list(struct buf *b, struct slice list)
{
	struct slice rest = list;
	size_t at = b->n;
	uint16_t n = 0;

	buf_u16(b, 0);
	for (; rest.n > 0; n++) {
		struct slice value = slice_cut(&rest, ',');

		if (slice_is(value, "NULL")) {
			buf_u32(b, UINT32_MAX);
			continue;
		}
		buf_u32(b, (uint32_t)value.n);
		buf_slice(b, value);
	}
	b->p[at + 1] = (char)n;
}

static void
put_string(struct buf *b, struct slice s)
{
	buf_slice(b, s);
	buf_u8(b, 0);
}

static void
put_oids(struct buf *b, struct slice list)
{
	size_t at = b->n;
	uint16_t n = 0;

	buf_u16(b, 0);
	for (; list.n > 0; n++)
		buf_u32(b, (uint32_t)strtoul(slice_cut(&list, ',').p, NULL, 10));
	b->p[at + 1] = (char)n;
}

static void
put_bind(struct buf *b, struct slice line)
{
	put_string(b, slice_cut(&line, '|'));
	put_string(b, slice_cut(&line, '|'));
	buf_u16(b, 0);
	put_list(b, slice_cut(&line, '|'));
	buf_u16(b, (uint16_t)line.n);
	for (size_t i = 0; i < line.n; i++)
		buf_u16(b, line.p[i] == 'b');
}

static void
put_line(struct buf *b, struct slice line)
{
	size_t at = buf_message(b, line.p[0]);
	char kind = line.p[0];

	if ((kind == 'D' || kind == 'C') && line.n > 1)
		buf_u8(b, (uint8_t)line.p[1]);
	line = slice_skip(line, kind == 'D' || kind == 'C' ? 3 : 2);
	if (kind == 'Q' || kind == 'D' || kind == 'C') {
		put_string(b, line);
	} else if (kind == 'P') {
		put_string(b, slice_cut(&line, '|'));
		put_string(b, slice_cut(&line, '|'));
		put_oids(b, line);
	} else if (kind == 'B') {
		put_bind(b, line);
	} else if (kind == 'E') {
		put_string(b, slice_cut(&line, '|'));
		buf_u32(b, (uint32_t)strtoul(line.n > 0 ? line.p : "0", NULL, 10));
	}
	buf_message_end(b, at);
}

static void
put_script(struct buf *b, const char *script)
{
	struct slice rest = slice_str(script);

	while (rest.n > 0)
		put_line(b, slice_cut(&rest, '\n'));
}

/* ---- conversations ---- */

#define SESSIONS_T                                                                                \
	"T(id:20 worker:23 database:25 user:25 client_addr:25 true_addr:25 state:25 city:25 "     \
	"country:25 locality_source:25 home:25 node:25 tls:25 application_name:25 "               \
	"connected_at:1184 rx_bytes:20 tx_bytes:20 queries:20 client_rtt_us:20 server_rtt_us:20 " \
	"move_block:25 confidence:25 listener:25 server_pid:20 transport:25 endpoint:25)"
#define ROUTE_T                                                                                   \
	"T(rank:23 region:25 node:25 verdict:25 reason:25 distance_km:701 rtt_ms:701 lag_ms:701 " \
	"load:701 score:701)"
#define SERVERS_T                                                                              \
	"T(region:25 node:25 server_pid:20 session:20 worker:23 database:25 user:25 state:25 " \
	"server_rtt_us:20 connected_at:1184 queries:20 pool_mode:25 state_since:1184 "         \
	"close_needed:16 tls:25 prepared_statements:23)"
#define OWN(id, worker)                             \
	"D[us-east1|db1:5432|4711|" #id "|" #worker \
	"|movr|other|idle||1970-01-01 00:00:00.000000+00|0|off||f||]"
#define POOL_SERVER(worker) \
	"D[us-west1|db3:5432|77||" #worker "|movr|app|idle||||transaction||f|TLSv1.3|4]"
#define NODE_1      "D[us-east1|db1:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f||||]"
#define NODE_2      "D[us-east1|db2:5432|unknown|unknown|down|f|||||0||connection refused|||0|0|f||||]"
#define NODE_3      "D[us-west1|db3:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f||||]"
#define NODE_4      "D[europe-west1|db4:5432|postgres|primary|up|f|12.345|0|||0|15.6||||0|0|f||||]"
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
	{ "P |SHOW NODES|\nB c|||\nE c|1\nS\nE c|3\nS\nQ COMMIT\nE c|1\nS",
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
	  "max_user_connections:20 throttled_until:1184) D[admin|admin|||0|0|0|] "
	  "D[app|||node|2|2|0|] D[eve|stats|||0|0|0|] D[monitor|stats|||0|0|0|] "
	  "D[other|||node|2|2|0|] C(SHOW) T(?column?:23) D[1] C(SELECT 1) Z" },
	{ "Q SHOW SERVERS USER other", SERVERS_T " " OWN(3, 1) " " OWN(4, 2) " C(SHOW) Z" },
	{ "Q SHOW SERVERS REGION us-west1",
	  SERVERS_T " " POOL_SERVER(1) " " POOL_SERVER(2) " C(SHOW) Z" },
	{ "Q SHOW POOLS USER app REGION us-east1",
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
	{ "Q SHOW SESSIONS REGION europe-west1; SELECT 1",
	  SESSIONS_T " C(SHOW) T(?column?:23) D[1] "
		     "C(SELECT 1) Z" },
	{ "Q SHOW SESSIONS REGION mars", "E(42704 region \"mars\" does not exist) Z" },
	{ "Q SHOW SESSIONS USER app",
	  SESSIONS_T " D[1|1|movr|app|-|-|idle|paris|FR|startup|us-east1|db1:5432||caf\xef\xbf\xbd|"
		     "1970-01-01 00:00:00.000000+00|0|0|0|1500|||city|main|4711|tcp|] "
		     "D[2|2|movr|app|-|-|idle|paris|FR|startup|us-east1|db1:5432||caf\xef\xbf\xbd|"
		     "1970-01-01 00:00:00.000000+00|0|0|0|1500|||city|main|4711|tcp|] C(SHOW) Z" },
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
feed(struct fake *f, const char *p, size_t n)
{
	if (n > 0)
		console_input(f->console, p, n);
	fake_settle(f);
}

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

/* ---- one by one ---- */

static void
ask(struct fake *f, const char *script, struct buf *answer)
{
	struct buf in = { 0 };

	put_script(&in, script);
	buf_clear(answer);
	feed(f, in.p, in.n);
	fake_print(f, answer);
	buf_fini(&in);
}

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

/* ---- long listings ---- */

static void
send_query(struct fake *f, const char *sql)
{
	struct buf in = { 0 };

	message_put_query(&in, slice_str(sql));
	console_input(f->console, in.p, in.n);
	buf_fini(&in);
}

static unsigned
count_rows(struct fake *f)
{
	struct buf got = { 0 };
	unsigned n = 0;

	fake_print(f, &got);
	for (const char *at = buf_text(&got); (at = strstr(at, "D[")) != NULL; at++)
		n++;
	buf_fini(&got);
	return n;
}

static void
a_long_listing_yields_between_chunks(void **state)
{
	struct fake *f = fake_new();
	unsigned letters = 0, rows = 0, chunk;

	(void)state;
	fake_sessions(f, 1000);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW SESSIONS");
	while (fake_deliver(f)) {
		letters++;
		chunk = count_rows(f);
		assert_true(chunk <= 256);
		rows += chunk;
	}
	assert_int_equal(rows, 2000);
	assert_true(letters >= 16); /* four chunks on each of two workers, there and back */
	fake_free(f);
}

static void
a_listing_of_the_world_yields_too(void **state)
{
	struct fake *f = fake_new();
	unsigned letters = 0, rows;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		topology_add_override(f->world.topology, OVERRIDE_CITY, "x", 0, 0);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW OVERRIDES");
	rows = count_rows(f);
	assert_int_equal(rows, 256);
	while (fake_deliver(f)) {
		letters++;
		rows += count_rows(f);
	}
	assert_int_equal(rows, 1001);
	assert_int_equal(letters, 3);
	fake_free(f);
}

static void
nothing_is_produced_while_the_client_does_not_read(void **state)
{
	struct fake *f = fake_new();
	unsigned rows = 0;

	(void)state;
	fake_sessions(f, 1000);
	fake_open(f, PRIVILEGE_STATS);
	f->full = true;
	send_query(f, "SHOW SESSIONS; SHOW OVERRIDES");
	for (int turn = 0; turn < 40; turn++) {
		unsigned chunk;

		fake_settle(f);
		chunk = count_rows(f);
		assert_true(chunk <= 256);
		rows += chunk;
		console_drained(f->console);
	}
	fake_settle(f);
	rows += count_rows(f);
	assert_int_equal(rows, 2001);
	fake_free(f);
}

static void
an_operator_may_hang_up_at_any_moment(void **state)
{
	static const char *const scripts[] = {
		"Q SHOW SESSIONS", "Q SHOW SESSION 3", "Q EXPLAIN ROUTE SESSION 4",
		"Q RELOAD",        "Q SHOW OVERRIDES", "P a|SHOW SESSIONS|\nB b|a||\nE b|1\nS",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		for (unsigned letters = 0; letters < 12; letters++) {
			struct fake *f = fake_new();
			struct buf in = { 0 };

			for (unsigned k = 0; k < 600; k++)
				topology_add_override(f->world.topology, OVERRIDE_CITY, "x", 0, 0);
			fake_sessions(f, 600);
			fake_open(f, PRIVILEGE_ADMIN);
			put_script(&in, scripts[i]);
			console_input(f->console, in.p, in.n);
			for (unsigned k = 0; k < letters; k++)
				fake_deliver(f);
			console_free(f->console);
			f->console = NULL;
			fake_settle(f);
			assert_int_equal(atomic_load(&f->world.refs.n), 1);
			buf_fini(&in);
			fake_free(f);
		}
	}
}

/* ---- the protocol broken ---- */

static void
a_client_that_breaks_the_protocol_is_told_and_left(void **state)
{
	static const struct {
		struct slice bytes;
		const char *answer;
	} cases[] = {
		{ { "!\0\0\0\4", 5 }, "E(08P01 invalid frontend message type 33)" },
		{ { "\0\0\0\0\4", 5 }, "E(08P01 invalid frontend message type 0)" },
		{ { "Q\0\0\0\3", 5 }, "E(08P01 invalid message length)" },
		{ { "Q\x7f\0\0\0", 5 }, "E(08P01 invalid message length)" },
		{ { "X\0\0\0\4Q", 6 }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f = fake_new();
		struct buf got = { 0 };

		fake_open(f, PRIVILEGE_STATS);
		console_input(f->console, cases[i].bytes.p, cases[i].bytes.n);
		fake_print(f, &got);
		assert_string_equal(buf_text(&got), cases[i].answer);
		assert_true(f->closed);
		send_query(f, "SELECT 1");
		assert_int_equal(f->got.n, 0);
		buf_fini(&got);
		fake_free(f);
	}
}

static void
messages_with_a_broken_body_are_errors(void **state)
{
	static const struct {
		struct slice bytes;
		const char *answer;
	} cases[] = {
		{ { "Q\0\0\0\5x", 6 }, "E(08P01 invalid Query message) Z" },
		{ { "Q\0\0\0\6\xff\0", 7 },
		  "E(22021 invalid byte sequence for encoding \"UTF8\") Z" },
		{ { "P\0\0\0\5x", 6 }, "E(08P01 invalid Parse message)" },
		{ { "P\0\0\0\x09\0\xff\0\0\0", 10 },
		  "E(22021 invalid byte sequence for encoding \"UTF8\")" },
		{ { "B\0\0\0\5x", 6 }, "E(08P01 invalid Bind message)" },
		{ { "D\0\0\0\5S", 6 }, "E(08P01 invalid Describe message)" },
		{ { "E\0\0\0\5\0", 6 }, "E(08P01 invalid Execute message)" },
		{ { "C\0\0\0\5P", 6 }, "E(08P01 invalid Close message)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f = fake_new();
		struct buf got = { 0 };

		fake_open(f, PRIVILEGE_STATS);
		console_input(f->console, cases[i].bytes.p, cases[i].bytes.n);
		fake_print(f, &got);
		assert_string_equal(buf_text(&got), cases[i].answer);
		assert_false(f->closed);
		buf_fini(&got);
		fake_free(f);
	}
}

static void
what_is_sent_ahead_is_bounded(void **state)
{
	struct fake *f = fake_new();
	char *flood = xcalloc(1, 64 * 1024);
	struct buf got = { 0 };

	(void)state;
	fake_sessions(f, 1);
	fake_open(f, PRIVILEGE_STATS);
	send_query(f, "SHOW SESSIONS"); /* waits for a letter that nobody delivers */
	for (int i = 0; i < 64 && !f->closed; i++)
		console_input(f->console, flood, 64 * 1024);
	assert_true(f->closed);
	fake_print(f, &got);
	assert_non_null(strstr(buf_text(&got), "E(54000 too much was sent"));
	free(flood);
	buf_fini(&got);
	fake_free(f);
}

static void
statements_and_portals_are_bounded(void **state)
{
	struct fake *f = fake_new();
	struct buf got = { 0 };
	char script[64];
	int i;

	(void)state;
	fake_open(f, PRIVILEGE_STATS);
	for (i = 0; i < 2000; i++) {
		snprintf(script, sizeof(script), "P s%d|SELECT 1|\nS", i);
		ask(f, script, &got);
		if (strstr(buf_text(&got), "E(54000 too many prepared statements") != NULL)
			break;
	}
	assert_int_equal(i, 1024);
	for (i = 0; i < 200; i++) {
		snprintf(script, sizeof(script), "B p%d|s1||", i);
		ask(f, script, &got);
		if (strstr(buf_text(&got), "E(54000 too many portals") != NULL)
			break;
	}
	assert_int_equal(i, 64);
	buf_fini(&got);
	fake_free(f);
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
		cmocka_unit_test(stats_may_look_and_admins_may_change),
		cmocka_unit_test(whatever_changes_something_needs_admin),
		cmocka_unit_test(no_command_of_admins_is_open_to_others),
		cmocka_unit_test(every_listing_without_arguments_answers),
		cmocka_unit_test(requests_reach_control_as_they_were_meant),
		cmocka_unit_test(ctrl_c_ends_what_waits_and_nothing_else),
		cmocka_unit_test(a_route_is_explained_in_order),
		cmocka_unit_test(a_session_is_shown_in_sections),
		cmocka_unit_test(a_session_is_killed_once_and_alone),
		cmocka_unit_test(a_long_listing_yields_between_chunks),
		cmocka_unit_test(a_listing_of_the_world_yields_too),
		cmocka_unit_test(nothing_is_produced_while_the_client_does_not_read),
		cmocka_unit_test(an_operator_may_hang_up_at_any_moment),
		cmocka_unit_test(a_client_that_breaks_the_protocol_is_told_and_left),
		cmocka_unit_test(messages_with_a_broken_body_are_errors),
		cmocka_unit_test(what_is_sent_ahead_is_bounded),
		cmocka_unit_test(statements_and_portals_are_bounded),
		cmocka_unit_test(the_greeting_is_what_drivers_need),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
