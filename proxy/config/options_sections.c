/* SPDX-License-Identifier: PostgreSQL
 *
 * The options of [listener], [region] and [database].
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/options_int.h"

#include "base/log.h"
#include "proxy/config/values.h"

/* clang-format off */
static const struct option listener_rows[] = {
	{ .name = "listen", .type = OPT_LIST, AT(conf_listener, listen, struct strlist),
	  .apply = APPLY_RESTART, .fallback = "127.0.0.1", .item = item_listen,
	  .expected = "an address (127.0.0.1:6433, [::1]:6433, *:6433) or the directory of a unix "
		      "socket",
	  .group = "Listening",
	  .text = "Where clients may connect: addresses (* for every one; without a port: "
		  "listen_port) and directories for unix sockets. The default is that of "
		  "[meridian]; a [listener] has none." },
	{ .name = "proxy_protocol", .type = OPT_ENUM, AT_ENUM(conf_listener, proxy_protocol),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .words = tri_mode_words,
	  .group = "Listening",
	  .text = "Whether a connection may, or must, begin with a PROXY header (version 1 or 2). "
		  "What it says counts only from trusted_proxies." },
	{ .name = "tls", .type = OPT_ENUM, AT_ENUM(conf_listener, tls_choice),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "auto", .words = tls_choice_words, .group = "Listening",
	  .text = "Whether clients may, or must, use TLS; auto: allow where a certificate is set, "
		  "else off. Clients on unix sockets need none." },
	{ .name = "tls_cert_file", .type = OPT_STRING, AT(conf_listener, tls_cert_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Listening",
	  .text = "The certificate that clients get, with its chain, in PEM. Read again at "
		  "each reload." },
	{ .name = "tls_key_file", .type = OPT_STRING, AT(conf_listener, tls_key_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Listening",
	  .text = "Private key of the certificate, in PEM. A handshake with a client costs least with "
		  "ECDSA (P-256), and many times that with RSA of 3072 bits or more." },
	{ .name = "tls_ca_file", .type = OPT_STRING, AT(conf_listener, tls_ca_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Listening",
	  .text = "Certificates of authorities, in PEM. A client certificate that none of "
		  "them has signed is refused; a client needs none, unless auth or hba_file "
		  "asks for one." },
	{ .name = "http", .type = OPT_BOOL, AT(conf_listener, http, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .group = "Listening",
	  .text = "Speak HTTP/1.1 too: PostgreSQL in a WebSocket (on any path that is not "
		  "named here) or behind CONNECT, SQL by POST /sql, and GET /healthz. Plain "
		  "PostgreSQL clients are served as well: the first byte tells them apart." },
	{ .name = "metrics", .type = OPT_BOOL, AT(conf_listener, metrics, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .group = "Listening",
	  .text = "With http = on: serve GET /metrics, without authentication." },
	{ .name = "peers_only", .type = OPT_BOOL, AT(conf_listener, peers_only, bool),
	  .apply = APPLY_RESTART, .fallback = "off", .group = "Listening",
	  .text = "Serve only the proxies of the fleet (see peers), and stay open while the "
		  "proxy drains: cancel requests still find the sessions that go on. Load "
		  "balancers must not know this address." },
	{ .name = "sni_suffix", .type = OPT_STRING, AT(conf_listener, sni_suffix, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Listening",
	  .text = "With db.example, a client that connects to paris.db.example claims by its "
		  "TLS server name that it is in Paris; a region's name works as well." },
};

static const struct option region_rows[] = {
	{ .name = "nodes", .type = OPT_LIST, AT(conf_region, nodes, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_node,
	  .expected = "a node (host, host:port, [address]:port, or /directory of a unix socket)",
	  .group = "Region",
	  .text = "The database servers of the region; the port is 5432 where none is given. "
		  "The prober finds out which of them takes writes." },
	{ .name = "discover", .type = OPT_LIST, AT(conf_region, discover, struct strlist),
	  .apply = APPLY_AT_ONCE, .fallback = "off", .item = item_discover,
	  .expected = "one of off, auto, replication, citus, cockroachdb, yugabyte, aurora, patroni",
	  .group = "Region",
	  .text = "What the nodes of this region are asked for other nodes of their cluster, so "
		  "that one address is enough. replication: the standbys that stream from a "
		  "server, and the server that a standby streams from; citus: pg_dist_node; "
		  "cockroachdb: gossip_nodes; yugabyte: yb_servers(); aurora: "
		  "aurora_replica_status(); auto: replication, also citus where the extension is "
		  "there, and cockroachdb instead. The probe asks, so that needs probe_conninfo, "
		  "with a role that is a member of pg_monitor. patroni: the members of a Patroni "
		  "cluster, by its REST API (see patroni_api). A node that is found is probed, "
		  "then used as if it stood in nodes; one that is gone gets no new sessions, and "
		  "is forgotten when it has none. Then nodes may be empty in other regions. See "
		  "SHOW DISCOVERY." },
	{ .name = "patroni_api", .type = OPT_LIST, AT(conf_region, patroni_api, struct strlist),
	  .apply = APPLY_AT_ONCE, .fallback = "", .item = item_patroni_api,
	  .expected = "an address of Patroni's REST API (host, host:port, http:// or https://)",
	  .group = "Region",
	  .text = "Where discover = patroni asks GET /cluster: any member of the cluster, or a load "
		  "balancer in front of them; the port is 8008 where none is given. When it does "
		  "not answer, the others are asked at the addresses that they have told. Empty: "
		  "port 8008 of the hosts in nodes. A member is drained while its PostgreSQL does "
		  "not run, and a replica with the tag noloadbalance; a tag region says where it "
		  "is." },
	{ .name = "patroni_ca_file", .type = OPT_STRING, AT(conf_region, patroni_ca_file, char *),
	  .apply = APPLY_AT_ONCE, .fallback = "", .group = "Region",
	  .text = "Certificates of the authorities that an https:// address in patroni_api is "
		  "checked against, in PEM; empty: those of the system." },
	{ .name = "location", .type = OPT_LOCATION, AT(conf_region, has_location, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "Latitude and longitude in degrees. Needed only if the name is not that of "
		  "a known cloud region." },
	{ .name = "cities", .type = OPT_LIST, AT(conf_region, cities, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_city,
	  .expected = "the name of a city", .group = "Region",
	  .text = "Clients from these cities belong here, whatever the distance. Case, "
		  "accents and punctuation do not matter." },
	{ .name = "countries", .type = OPT_LIST, AT(conf_region, countries, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_country,
	  .expected = "a country (its ISO 3166 code or name)", .group = "Region",
	  .text = "Clients of which only the country is known belong here." },
	{ .name = "networks", .type = OPT_ORIGINS, AT(conf_region, networks, struct cidrlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "Clients from these address blocks belong here, and those that come through "
		  "these private endpoints, which a PROXY header names: vpce-0123abcd (AWS), "
		  "psc:123 (the connection id of Google Cloud's Private Service Connect), "
		  "azure:123 (the LINKID of an Azure private endpoint)." },
	{ .name = "bias", .type = OPT_INT, AT(conf_region, bias, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = -99, .max = 99, .group = "Region",
	  .text = "Makes the region look nearer (positive, up to 99) or farther (negative, down to "
		  "-99) than it is." },
	{ .name = "strict_region", .type = OPT_BOOL, AT(conf_region, strict, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .group = "Region",
	  .text = "Clients that belong here go nowhere else: if no node here is usable they "
		  "get an error." },
	{ .name = "export_locality", .type = OPT_BOOL, AT(conf_region, export_locality, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "on", .group = "Region",
	  .text = "Give each server session the settings meridian.region, meridian.city and "
		  "meridian.country of its client." },
	{ .name = "sslmode", .type = OPT_ENUM, AT_ENUM(conf_region, sslmode),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "prefer", .words = sslmode_words,
	  .group = "Region", .text = "TLS towards the nodes: libpq's words with libpq's meaning." },
	{ .name = "sslrootcert", .type = OPT_STRING, AT(conf_region, sslrootcert, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "Certificates of the authorities that the nodes' certificates are checked "
		  "against, in PEM." },
	{ .name = "sslcert", .type = OPT_STRING, AT(conf_region, sslcert, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "The certificate that nodes get, in PEM." },
	{ .name = "sslkey", .type = OPT_STRING, AT(conf_region, sslkey, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "Private key of sslcert, in PEM." },
	{ .name = "channel_binding", .type = OPT_ENUM, AT_ENUM(conf_region, channel_binding),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "prefer", .words = binding_mode_words,
	  .group = "Region",
	  .text = "Where Meridian itself logs in to the nodes: whether it binds SCRAM to "
		  "their certificates, so that no man in the middle can pass the login on. "
		  "libpq's words: disable, prefer (if the node is on TLS and offers it), "
		  "require." },
	{ .name = "entry", .type = OPT_STRING, AT(conf_region, entry, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Region",
	  .text = "The address that clients of this region connect to, host:port, as clients "
		  "are told it that still come by a region from which a migration has moved "
		  "their database here. When the migration's redirect_until is over they are "
		  "refused (57P03) with this address; without it they are still forwarded." },
	{ .name = "migration_peer_conninfo", .type = OPT_CONNINFO,
	  AT(conf_region, migration_peer_conninfo, char *), .apply = APPLY_AT_ONCE, .fallback = "",
	  .with_host = true, .group = "Region",
	  .text = "How servers of other regions reach this one when they replicate from it: "
		  "libpq's keyword = value words (host, port, user, password, sslmode and so on) "
		  "that win over the node's own and over migration_conninfo." },
	{ .name = "migration_through_conninfo", .type = OPT_CONNINFO,
	  AT(conf_region, migration_through_conninfo, char *), .apply = APPLY_AT_ONCE,
	  .fallback = "", .with_host = true, .group = "Region",
	  .text = "How this region's servers reach Meridian, for moves with connection = "
		  "through_meridian: libpq's keyword = value words (host, port, sslmode and "
		  "so on) of one of its listeners. Empty: they cannot replicate through it." },
};

static const struct option database_rows[] = {
	{ .name = "dbname", .type = OPT_STRING, AT(conf_database, dbname, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Database",
	  .text = "Its name on the servers, if that is another one." },
	{ .name = "auth", .type = OPT_ENUM, AT_ENUM(conf_database, auth),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "global", .words = auth_method_words, .nwords = METHOD_GLOBAL + 1,
	  .group = "Database",
	  .text = "How its clients prove who they are, in the words of [meridian]; global: as "
		  "in [meridian]." },
	{ .name = "regions", .type = OPT_LIST, AT(conf_database, regions, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_text,
	  .expected = "the name of a region", .group = "Database",
	  .text = "The regions that serve it; empty: all of them." },
	{ .name = "access", .type = OPT_ENUM, AT_ENUM(conf_database, access),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "read-write", .words = access_words,
	  .group = "Database",
	  .text = "Which nodes its sessions may use: libpq's target_session_attrs words. A "
		  "client may choose otherwise by options=-c meridian.access=any (or another "
		  "of them)." },
	{ .name = "pool", .type = OPT_ENUM, AT_ENUM(conf_database, pool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .words = pool_mode_words, .group = "Database",
	  .text = "Whether server connections are shared; that needs an auth other than "
		  "passthrough. off: each session has its own. session: a session has one "
		  "from its first query until it ends, and then leaves it to others. "
		  "transaction: a session has one for the length of a transaction." },
	{ .name = "pool_size", .type = OPT_INT, AT(conf_database, pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "-1", .min = -1, .max = 100000, .group = "Database",
	  .text = "default_pool_size of its pools; -1, or 0: that of [meridian]." },
	{ .name = "min_pool_size", .type = OPT_INT, AT(conf_database, min_pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "-1", .min = -1, .max = 100000, .group = "Database",
	  .text = "min_pool_size of its pools; -1: that of [meridian]." },
	{ .name = "reserve_pool_size", .type = OPT_INT, AT(conf_database, reserve_pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "-1", .min = -1, .max = 100000, .group = "Database",
	  .text = "reserve_pool_size of its pools; -1: that of [meridian]." },
	{ .name = "auth_query", .type = OPT_STRING, AT(conf_database, auth_query, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Database",
	  .text = "The auth_query of users of this database; empty: that of [meridian]." },
	{ .name = "auth_dbname", .type = OPT_STRING, AT(conf_database, auth_dbname, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Database",
	  .text = "The database in which the auth_query of users of this database runs; empty: "
		  "that of [meridian]." },
	{ .name = "reads", .type = OPT_ENUM, AT_ENUM(conf_database, reads),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "home", .words = reads_mode_words,
	  .group = "Database",
	  .text = "Where transactions go that only read. home: to the node of the session. "
		  "nearest: to the standby nearest to the client, where one of the same cluster is "
		  "nearer than home; that needs pool = transaction, and probe_conninfo. observe: "
		  "home, and SHOW READS counts where they would have gone." },
	{ .name = "consistency", .type = OPT_CONSISTENCY, AT_ENUM(conf_database, consistency),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "session", .words = consistency_mode_words,
	  .group = "Database",
	  .text = "What reads = nearest must see. session: all that its session has written or "
		  "read before. strict: all that is committed at the session's home when it reads, "
		  "which is asked for that: one round trip. eventual: what the standby has, which is "
		  "not further behind than max_lag. bounded:500ms: the same, and not further behind "
		  "than that, by the last word of the standby's probe and how long ago that was "
		  "(probe_interval)." },
	{ .name = "consistency_wait", .type = OPT_TIME, AT(conf_database, consistency_wait, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "50ms", .min = 0, .max = 3600 * USEC_PER_SEC,
	  .group = "Database",
	  .text = "How long a read waits for the standby to replay what it must see, before it "
		  "goes home." },
	{ .name = "lost_wal", .type = OPT_ENUM, AT_ENUM(conf_database, lost_wal),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "home", .words = lost_wal_mode_words,
	  .group = "Database",
	  .text = "What becomes of a read whose session has seen more than a fail-over has left. "
		  "home: it goes home, with a warning. fail: it is an error, until the session "
		  "says RESET meridian.token. That needs a probe_conninfo whose role may execute "
		  "pg_read_file(text, bigint, bigint, boolean), to know where timelines end." },
	{ .name = "statement_sample", .type = OPT_INT, AT(conf_database, statement_sample, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 1000000,
	  .group = "Database",
	  .text = "One statement of this many, chosen at random, is sampled for SHOW "
		  "FINGERPRINTS and for migrations that ask for the traffic: which statements "
		  "run, how often, and how long their answers take, in the last 24 hours. "
		  "Kept without constants, in the memory of this process alone. 1: every one; "
		  "0: none." },
	{ .name = "residency", .type = OPT_ENUM, AT_ENUM(conf_database, residency),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "prefer", .words = residency_mode_words,
	  .group = "Database",
	  .text = "strict: the client's place counts only if a trusted source tells it, not "
		  "if the client claims it, and only the client's own region serves it." },
};
/* clang-format on */

const struct section section_listener = {
	.word = "listener",
	.arg = "NAME",
	.text = "A further place to listen, with rules of its own.",
	ROWS(listener_rows),
	.size = sizeof(struct conf_listener),
};

const struct section section_region = {
	.word = "region",
	.arg = "NAME",
	.text = "A place with database servers. At least one is needed. The "
		"name is free; that of a cloud region (us-east1, gcp-us-east1, "
		"eu-west-3) brings its coordinates along.",
	ROWS(region_rows),
	.size = sizeof(struct conf_region),
};

const struct section section_database = {
	.word = "database",
	.arg = "NAME",
	.text = "Rules for one database; the name * stands for all that have "
		"no section of their own.",
	ROWS(database_rows),
	.size = sizeof(struct conf_database),
};
