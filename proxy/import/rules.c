/* SPDX-License-Identifier: PostgreSQL
 *
 * What becomes of each option of PgBouncer: the one table of the import.
 */
#include "config.h"

#include <string.h>

#include "proxy/import/import_int.h"

#define ROWS(r) ((struct rules){ (r), sizeof(r) / sizeof((r)[0]) })

static const struct import_word auth_words[] = {
	{ "trust", "trust", NULL },
	{ "md5", "md5", NULL },
	{ "scram-sha-256", "scram-sha-256", NULL },
	{ "cert", "cert", NULL },
	{ "hba", "hba", NULL },
	{ "plain", "md5", "passwords are not asked for in clear text; auth = md5 was written" },
	{ "any", NULL, "no client may log in under a name that is not checked" },
	{ "pam", NULL, "there is no PAM; an auth_query or an auth_file can say who may log in" },
	{ "ldap", NULL, "there is no LDAP; an auth_query or an auth_file can say who may log in" },
	{ NULL, NULL, NULL },
};

static const struct import_word pool_words[] = {
	{ "session", "session", NULL },
	{ "transaction", "transaction", NULL },
	{ "statement", "transaction",
	  "there is no pool that forbids transactions; pool = "
	  "transaction was written" },
	{ NULL, NULL, NULL },
};

static const struct import_word client_tls_words[] = {
	{ "disable", "off", NULL },
	{ "allow", "allow", NULL },
	{ "prefer", "allow", NULL },
	{ "require", "require", NULL },
	{ "verify-ca", "require",
	  "tls = require was written: a client certificate is checked against tls_ca_file where "
	  "there is one, but only auth = cert and clientcert= in hba_file ask for one" },
	{ "verify-full", "require",
	  "tls = require was written: a client certificate is checked against tls_ca_file where "
	  "there is one, but only auth = cert and clientcert= in hba_file ask for one" },
	{ NULL, NULL, NULL },
};

static const struct import_word level_words[] = {
	{ "0", "info", NULL },  { "1", "debug", NULL }, { "2", "debug", NULL },
	{ "3", "debug", NULL }, { NULL, NULL, NULL },
};

/* Values with a special meaning. */
static const struct import_word lifetime_words[] = {
	{ "0", NULL, "0 would keep connections for ever here; the default (1h) was taken" },
	{ NULL, NULL, NULL },
};

static const struct import_word check_words[] = {
	{ "<empty>", "SELECT 1", NULL },
	{ NULL, NULL, NULL },
};

#define MAIN     .to = SECTION_MERIDIAN
#define REGION   .to = SECTION_REGION
#define DATABASE .to = SECTION_DATABASE

#define SAME(key_, to_)                                              \
	{                                                            \
		.key = key_, .how = CARRY_AS_IS, to_, .option = key_ \
	}
#define SECONDS(key_, to_)                                             \
	{                                                              \
		.key = key_, .how = CARRY_SECONDS, to_, .option = key_ \
	}
#define APART(key_)                             \
	{                                       \
		.key = key_, .how = CARRY_APART \
	}
#define NOT(key_, why_)                                    \
	{                                                  \
		.key = key_, .how = CARRY_NOT, .why = why_ \
	}

#define WHY_LOG    "the log goes to standard error; systemd keeps it in the journal"
#define WHY_UNIT   "the service manager says so (User= and the like in meridian.service)"
#define WHY_BUFFER "buffers size themselves"
#define WHY_CIPHER "TLS 1.2 and newer with the system's ciphers; openssl.cnf can narrow that"

/* clang-format off */
static const struct rule global_rows[] = {
	/* listening */
	APART("listen_addr"),
	APART("unix_socket_dir"),
	{ .key = "listen_port", .how = CARRY_AS_IS, MAIN, .option = "listen_port",
	  .fallback = "6432" },
	SAME("unix_socket_mode", MAIN),
	SAME("listen_backlog", MAIN),
	{ .key = "client_tls_sslmode", .how = CARRY_WORD, MAIN, .option = "tls",
	  .words = client_tls_words },
	{ .key = "client_tls_cert_file", .how = CARRY_AS_IS, MAIN, .option = "tls_cert_file" },
	{ .key = "client_tls_key_file", .how = CARRY_AS_IS, MAIN, .option = "tls_key_file" },
	{ .key = "client_tls_ca_file", .how = CARRY_AS_IS, MAIN, .option = "tls_ca_file" },

	/* login */
	{ .key = "auth_type", .how = CARRY_WORD, MAIN, .option = "auth", .words = auth_words,
	  .fallback = "md5" },
	SAME("auth_file", MAIN),
	{ .key = "auth_hba_file", .how = CARRY_AS_IS, MAIN, .option = "hba_file" },
	SAME("auth_ident_file", MAIN),
	APART("auth_user"),
	SAME("auth_query", MAIN),
	SAME("auth_dbname", MAIN),
	SAME("admin_users", MAIN),
	SAME("stats_users", MAIN),

	/* pools */
	{ .key = "pool_mode", .how = CARRY_WORD, DATABASE, .option = "pool", .words = pool_words,
	  .fallback = "session" },
	SAME("default_pool_size", MAIN),
	SAME("min_pool_size", MAIN),
	SAME("reserve_pool_size", MAIN),
	SECONDS("reserve_pool_timeout", MAIN),
	SAME("max_db_connections", MAIN),
	SAME("max_user_connections", MAIN),
	SAME("max_prepared_statements", MAIN),
	SAME("server_reset_query", MAIN),
	SAME("server_reset_query_always", MAIN),
	{ .key = "server_check_query", .how = CARRY_AS_IS, MAIN, .option = "server_check_query",
	  .words = check_words },
	SECONDS("server_check_delay", MAIN),
	{ .key = "server_lifetime", .how = CARRY_SECONDS, MAIN, .option = "server_lifetime",
	  .words = lifetime_words },
	SECONDS("server_login_retry", MAIN),
	SECONDS("server_idle_timeout", MAIN),

	/* limits and timeouts */
	{ .key = "max_client_conn", .how = CARRY_AS_IS, MAIN, .option = "max_client_conn",
	  .fallback = "100" },
	SECONDS("query_wait_timeout", MAIN),
	SECONDS("query_wait_notify", MAIN),
	SECONDS("server_connect_timeout", MAIN),
	SECONDS("client_login_timeout", MAIN),
	SECONDS("client_idle_timeout", MAIN),
	SECONDS("idle_transaction_timeout", MAIN),
	SECONDS("query_timeout", MAIN),
	SECONDS("dns_max_ttl", MAIN),
	SAME("tcp_keepalive", MAIN),
	SAME("tcp_keepcnt", MAIN),
	SAME("tcp_keepidle", MAIN),
	SAME("tcp_keepintvl", MAIN),
	{ .key = "tcp_user_timeout", .how = CARRY_MSEC, MAIN, .option = "tcp_user_timeout" },

	/* the log */
	SAME("log_connections", MAIN),
	SAME("log_disconnections", MAIN),
	{ .key = "verbose", .how = CARRY_WORD, MAIN, .option = "log_level", .words = level_words },

	/* the fleet */
	SAME("peer_id", MAIN),

	/* towards the servers */
	{ .key = "server_tls_sslmode", .how = CARRY_AS_IS, REGION, .option = "sslmode" },
	{ .key = "server_tls_ca_file", .how = CARRY_AS_IS, REGION, .option = "sslrootcert" },
	{ .key = "server_tls_cert_file", .how = CARRY_AS_IS, REGION, .option = "sslcert" },
	{ .key = "server_tls_key_file", .how = CARRY_AS_IS, REGION, .option = "sslkey" },

	/* what has no counterpart */
	NOT("application_name_add_host", "the application's name is left as it is; SHOW SESSIONS FULL "
					 "has the addresses"),
	NOT("auth_ldap_options", "there is no LDAP"),
	NOT("auth_pam_confdir", "there is no PAM"),
	NOT("autodb_idle_timeout", "databases have no objects that could idle"),
	NOT("cancel_wait_timeout", "a cancel request does not wait for a pool"),
	NOT("client_tls13_ciphers", WHY_CIPHER),
	NOT("client_tls_ciphers", WHY_CIPHER),
	NOT("client_tls_dheparams", WHY_CIPHER),
	NOT("client_tls_ecdhcurve", WHY_CIPHER),
	NOT("client_tls_protocols", WHY_CIPHER),
	NOT("conffile", "the file is named on the command line"),
	NOT("disable_pqexec", "both protocols are always spoken"),
	NOT("dns_nxdomain_ttl", "a name that cannot be found is looked up again by the prober"),
	NOT("dns_zone_check_period", "names are looked up again after dns_max_ttl"),
	NOT("ignore_startup_parameters", "none is refused: what a client sends reaches the server"),
	NOT("job_name", "there is no service of that name"),
	NOT("log_pooler_errors", "errors that end a session are always logged"),
	NOT("log_stats", "counters are in SHOW STATS and in /metrics, not in the log"),
	NOT("logfile", WHY_LOG),
	NOT("login_notify_message", "clients get no welcome message"),
	NOT("max_db_client_connections", "only max_client_conn limits clients"),
	NOT("max_packet_size", "messages stream through, whatever their size"),
	NOT("max_user_client_connections", "only max_client_conn limits clients"),
	NOT("pidfile", "it runs in the foreground; the service manager knows its process"),
	NOT("pkt_buf", WHY_BUFFER),
	NOT("pool_idle_timeout", "empty pools go by themselves"),
	NOT("resolv_conf", "names are looked up by the system's resolver"),
	NOT("sbuf_loopcnt", WHY_BUFFER),
	NOT("scram_iterations", "verifiers made of plain passwords have 4,096 iterations"),
	NOT("server_fast_close", "RECONNECT lets sessions that hold their connection keep it"),
	NOT("server_round_robin", "the connection that was used last is used first"),
	NOT("server_tls13_ciphers", WHY_CIPHER),
	NOT("server_tls_ciphers", WHY_CIPHER),
	NOT("server_tls_protocols", WHY_CIPHER),
	NOT("service_name", "there is no service of that name"),
	NOT("so_reuseport", "one process has many workers, and they share the port"),
	NOT("stats_period", "counters are in SHOW STATS and in /metrics; averages are theirs to make "
			    "who read them"),
	NOT("suspend_timeout", "there is no SUSPEND"),
	NOT("syslog", WHY_LOG),
	NOT("syslog_facility", WHY_LOG),
	NOT("syslog_ident", WHY_LOG),
	NOT("tcp_defer_accept", "a connection that says nothing ends after client_login_timeout"),
	NOT("tcp_socket_buffer", "the kernel sizes its buffers"),
	NOT("track_extra_parameters", "all settings are tracked"),
	NOT("transaction_timeout", "PostgreSQL 17 has a setting of that name"),
	NOT("unix_socket_group", WHY_UNIT),
	NOT("user", WHY_UNIT),
};

static const struct rule database_rows[] = {
	APART("host"),
	APART("port"),
	SAME("dbname", DATABASE),
	{ .key = "target_session_attrs", .how = CARRY_AS_IS, DATABASE, .option = "access",
	  .fallback = "any" },
	{ .key = "pool_mode", .how = CARRY_WORD, DATABASE, .option = "pool", .words = pool_words },
	SAME("pool_size", DATABASE),
	SAME("min_pool_size", DATABASE),
	SAME("reserve_pool_size", DATABASE),
	{ .key = "reserve_pool", .how = CARRY_AS_IS, DATABASE, .option = "reserve_pool_size" },
	SAME("auth_query", DATABASE),
	SAME("auth_dbname", DATABASE),
	NOT("user", "each session logs in to the server under its client's own name: clients of this "
		    "database need a role of theirs there"),
	NOT("password", "each session logs in to the server with its client's own secret"),
	NOT("application_name", "a client says this itself, or ALTER DATABASE does"),
	NOT("auth_user", "there is one auth_conninfo for all databases"),
	NOT("client_encoding", "a client says this itself, or ALTER DATABASE does"),
	NOT("connect_query", "ALTER DATABASE or ALTER ROLE can set what it would have set"),
	NOT("datestyle", "a client says this itself, or ALTER DATABASE does"),
	NOT("load_balance_hosts", "each session goes to the best node of its region"),
	NOT("max_db_client_connections", "only max_client_conn limits clients"),
	NOT("max_db_connections", "max_db_connections of [meridian] counts for each database"),
	NOT("query_wait_timeout", "that of [meridian] counts for all databases"),
	NOT("server_lifetime", "that of [meridian] counts for all databases"),
	NOT("timezone", "a client says this itself, or ALTER DATABASE does"),
};
/* clang-format on */

struct rules
import_rules_global(void)
{
	return ROWS(global_rows);
}

struct rules
import_rules_database(void)
{
	return ROWS(database_rows);
}

const struct rule *
import_rule(struct rules rules, const char *key)
{
	for (size_t i = 0; i < rules.n; i++) {
		if (strcmp(rules.v[i].key, key) == 0)
			return &rules.v[i];
	}
	return NULL;
}
