/* SPDX-License-Identifier: PostgreSQL
 *
 * The options of [meridian].
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/options_int.h"

#include "base/log.h"
#include "proxy/config/values.h"

/* clang-format off */
static const struct option meridian_rows[] = {
	{ .name = "region", .type = OPT_STRING, AT(conf_main, region, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Place and routing",
	  .text = "The region where this proxy is: one of the configured regions, or any "
		  "known cloud region, which is replaced by the nearest configured one. "
		  "Clients whose place is not known are served from it." },
	{ .name = "nearest", .type = OPT_ENUM, AT_ENUM(conf_main, nearest),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "caller", .words = nearest_words,
	  .group = "Place and routing",
	  .text = "What near means: a region close to the client (caller), a region that "
		  "answers this proxy fast (proxy), or a weighted sum of both (blend). For a "
		  "client whose place is not known it is proxy." },
	{ .name = "blend", .type = OPT_DOUBLE, AT(conf_main, blend, double),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0.5", .min = 0, .max = 1,
	  .group = "Place and routing",
	  .text = "With nearest = blend: the weight of the distance to the client, from 0 to "
		  "1; the rest is the weight of the round-trip time from the proxy." },
	{ .name = "locality", .type = OPT_SOURCES, AT(conf_main, nlocality, size_t),
	  .apply = APPLY_NEW_SESSIONS,
	  .fallback = "override, startup, sni, header, tlv, geoip, self",
	  .group = "Place and routing",
	  .text = "The sources of the client's place; the first one that knows it wins. "
		  "override: the console has set it; startup: meridian.city and the like "
		  "among the startup parameters; sni: the server name in the TLS handshake; "
		  "header: HTTP headers; tlv: the PROXY v2 header; geoip: the client's "
		  "address; self: the region of this proxy. A source that is left out does "
		  "not count." },
	{ .name = "gazetteer", .type = OPT_STRING, AT(conf_main, gazetteer, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "auto", .group = "Place and routing",
	  .text = "The file of the world's cities (of 15,000 inhabitants and more, by their "
		  "names in many languages) that turns the name of a city into a place. auto: "
		  "the one that was installed or built with this program; where it is missing "
		  "the log says so, and only cities that a region lists are known. off: none. "
		  "When the file is replaced on disk, one that is named here is opened anew "
		  "by itself, the installed one by a reload. Data: GeoNames (geonames.org), "
		  "CC BY 4.0." },
	{ .name = "geoip", .type = OPT_LIST, AT(conf_main, geoip, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_text, .expected = "a file name",
	  .group = "Place and routing",
	  .text = "Databases in MaxMind's format (GeoLite2 City, GeoIP2 City, DB-IP City) "
		  "that turn addresses into places; they are asked in this order. A file that "
		  "is replaced on disk is opened anew by itself." },
	{ .name = "trusted_proxies", .type = OPT_NETWORKS,
	  AT(conf_main, trusted_proxies, struct cidrlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Place and routing",
	  .text = "Address blocks of load balancers whose PROXY headers and HTTP headers are "
		  "trusted. A connection of any other peer that begins with a PROXY header is "
		  "closed; HTTP headers of any other peer that say where it is are ignored." },

	{ .name = "header_names", .type = OPT_LIST, AT(conf_main, header_names, struct strlist),
	  .apply = APPLY_NEW_SESSIONS,
	  .fallback = "gcp, appengine, cloudflare, cloudfront, vercel, fastly, fly, akamai, azure, "
		      "generic",
	  .item = item_header,
	  .expected = "a set of headers (gcp, appengine, cloudflare, cloudfront, vercel, fastly, "
		      "fly, akamai, azure, generic), a header of one of them, or NAME:KIND with a "
		      "kind of city, country, subdivision, region, location, latitude, longitude, "
		      "place, pairs, address, forwarded-for, forwarded",
	  .group = "Place and routing",
	  .text = "The HTTP headers that say where a client is, or what its address is: the "
		  "sets that clouds and CDNs use, tried in this order until one says more "
		  "than a country, and headers of your own (X-Town:city). Headers of peers "
		  "that are not in trusted_proxies are ignored. A load balancer passes on "
		  "headers that it does not set itself, so any client could send them: name "
		  "the set of yours, and no other." },
	{ .name = "trusted_hops", .type = OPT_INT, AT(conf_main, trusted_hops, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 32,
	  .group = "Place and routing",
	  .text = "How many addresses at the right end of X-Forwarded-For and Forwarded are "
		  "always taken to be your own proxies; of those to their left the first that "
		  "is not in trusted_proxies is the client. 1 for a load balancer of Google "
		  "Cloud, which appends its own address." },
	{ .name = "tlv_city", .type = OPT_TLV, AT(conf_main, tlv.city, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0xe4", .group = "Place and routing",
	  .text = "Type of the TLV of a PROXY v2 header that holds the client's city; off: "
		  "none." },
	{ .name = "tlv_location", .type = OPT_TLV, AT(conf_main, tlv.location, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0xe5", .group = "Place and routing",
	  .text = "Type of the TLV that holds latitude,longitude in degrees." },
	{ .name = "tlv_country", .type = OPT_TLV, AT(conf_main, tlv.country, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0xe6", .group = "Place and routing",
	  .text = "Type of the TLV that holds a country." },
	{ .name = "tlv_region", .type = OPT_TLV, AT(conf_main, tlv.region, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0xe7", .group = "Place and routing",
	  .text = "Type of the TLV that holds a region, one of those configured or a cloud's." },
	{ .name = "tlv_pairs", .type = OPT_TLV, AT(conf_main, tlv.pairs, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0xe8", .group = "Place and routing",
	  .text = "Type of the TLV that holds name=value, as often as wanted: city=paris, lat=48.85, "
		  "long=2.35, or the name of a header (X-City=paris)." },
	{ .name = "unique_id", .type = OPT_ENUM, AT_ENUM(conf_main, tlv.unique_id),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "pairs", .words = unique_id_words,
	  .group = "Place and routing",
	  .text = "Whether the unique id of a PROXY v2 header says where the client is. "
		  "pairs: if it consists of name=value between semicolons "
		  "(city=paris;src=192.0.2.1), with the names of tlv_pairs; city: also if it "
		  "is just a city. Any other id is ignored." },

	{ .name = "workers", .type = OPT_INT, AT(conf_main, workers, int),
	  .apply = APPLY_RESTART, .fallback = "auto", .min = 0, .max = 256, .zero = "auto",
	  .group = "Process", .text = "Number of worker threads; auto: one per CPU." },
	{ .name = "listen_port", .type = OPT_INT, AT(conf_main, listen_port, int),
	  .apply = APPLY_RESTART, .fallback = "auto", .min = 0, .max = 65535, .zero = "auto",
	  .group = "Process",
	  .text = "The port of each address in listen that has none, which is also part of "
		  "the names of the unix sockets (.s.PGSQL.6433). auto: 6433; unix sockets "
		  "are then named after the first port in the same listen, or where that has "
		  "none, of the first listener." },
	{ .name = "listen_backlog", .type = OPT_INT, AT(conf_main, listen_backlog, int),
	  .apply = APPLY_RESTART, .fallback = "1024", .min = 1, .max = 65535, .group = "Process",
	  .text = "How many connections the kernel may hold for each worker before they are "
		  "accepted. The kernel's own limit is net.core.somaxconn." },
	{ .name = "unix_socket_mode", .type = OPT_OCTAL, AT(conf_main, unix_socket_mode, int),
	  .apply = APPLY_RESTART, .fallback = "0777", .min = 0, .max = 0777, .group = "Process",
	  .text = "Permissions of the unix sockets, in octal." },

	{ .name = "auth", .type = OPT_ENUM, AT_ENUM(conf_main, auth),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "passthrough", .words = auth_method_words, .nwords = METHOD_GLOBAL,
	  .group = "Login",
	  .text = "Who authenticates the clients of databases, and how. passthrough: the node "
		  "does, and the proxy relays. With every other word the proxy does, and logs "
		  "in to the node itself: with the keys of the client's SCRAM exchange where "
		  "the node has the same verifier, or with the secret of auth_file. trust: "
		  "clients need no password. scram-sha-256: a password that is proven and "
		  "never sent; bound to the channel on TLS. md5: PostgreSQL's old method, and "
		  "SCRAM for users whose secret in auth_file is a verifier. cert: the "
		  "client's certificate. hba: as hba_file says." },
	{ .name = "auth_file", .type = OPT_STRING, AT(conf_main, auth_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Login",
	  .text = "Users and their secrets in the format of PgBouncer's userlist.txt (\"user\" "
		  "\"secret\"; a SCRAM verifier is best), for the console and for an auth other than "
		  "passthrough. Where the node has the same verifier, or takes the same password, "
		  "the login to it succeeds too." },
	{ .name = "hba_file", .type = OPT_STRING, AT(conf_main, hba_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Login",
	  .text = "With auth = hba: which clients may log in from where and how, in the "
		  "grammar of PostgreSQL's pg_hba.conf: local, host, hostssl, hostnossl; "
		  "names, all, sameuser, replication, @file, /regular expressions; addresses, "
		  "samehost, samenet; trust, reject, scram-sha-256, md5, password, cert, "
		  "peer; map, clientcert, clientname; include. The address is that of the "
		  "client, as a PROXY header or an HTTP header of trusted_proxies tells it; "
		  "the database is the one that the client asks for. Members of roles (+role, "
		  "samerole) and host names are not supported. Read again at each reload; if "
		  "it has an error then, the old one stays." },
	{ .name = "auth_ident_file", .type = OPT_STRING, AT(conf_main, auth_ident_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Login",
	  .text = "Which user of a certificate or of the operating system may be which "
		  "database user, in the grammar of PostgreSQL's pg_ident.conf (map, system "
		  "user, database user), for lines of hba_file with map=NAME. With auth = "
		  "cert its map named cert counts; without this file the CN of the "
		  "certificate is the user's name." },
	{ .name = "auth_conninfo", .type = OPT_CONNINFO, AT(conf_main, auth_conninfo, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Login",
	  .text = "What auth_query logs in with: libpq's keyword = value words (user, "
		  "password, passfile, service and so on) without a host, a port and options. "
		  "Give that role nothing but the right to read what the query reads. Without "
		  "a password here, the one in auth_file is used if it is there in plain "
		  "text. Empty: users are those of auth_file, and auth_query is not used." },
	{ .name = "auth_query", .type = OPT_STRING, AT(conf_main, auth_query, char *),
	  .apply = APPLY_NEW_SESSIONS,
	  .fallback = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE "
		      "rolpassword END FROM pg_catalog.pg_authid WHERE rolname=$1 AND rolcanlogin",
	  .group = "Login",
	  .text = "The query for a user that auth_file does not have, with its name as $1; it "
		  "is sent to the first usable nodes of the session's route. It returns one "
		  "row of the name and the secret (a SCRAM verifier, an md5 hash or plain "
		  "text; NULL: none), or no row. It runs with an empty search_path, so names "
		  "need their schemas. The default needs a superuser; better is a function of "
		  "a superuser that is SECURITY DEFINER, and a role that may execute it: "
		  "SELECT * FROM auth.lookup($1)." },
	{ .name = "auth_dbname", .type = OPT_STRING, AT(conf_main, auth_dbname, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Login",
	  .text = "The database in which auth_query runs; empty: that of auth_conninfo, else "
		  "postgres." },
	{ .name = "auth_cache_ttl", .type = OPT_TIME, AT(conf_main, auth_cache_ttl, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = HOUR, .group = "Login",
	  .text = "How long an answer of auth_query is kept; the answer that there is no such "
		  "user is kept for 5s at most. A login that fails against a kept answer has "
		  "it asked for again, so that the next login finds a changed password. A "
		  "reload drops all answers. 0: each login asks." },
	{ .name = "auth_throttle_base", .type = OPT_TIME,
	  AT(conf_main, auth_throttle_base, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "1s", .min = 0, .max = HOUR, .group = "Login",
	  .text = "After auth_throttle_after failed logins of one user from one address (of "
		  "IPv6: one network of 64 bits) the pair is throttled for this time, twice "
		  "as long with each further failure. Meanwhile one login of the pair is "
		  "checked in each such time (2s at most), and others wait for their turn, "
		  "for 8s or half of client_login_timeout at most; where more are waiting, "
		  "they are refused at once. A right login then succeeds if the user has "
		  "logged in from that address within a day; every other one is refused. "
		  "Logins over unix sockets are not counted, nor are those of a load balancer "
		  "of trusted_proxies that does not tell its clients' addresses. 0: no "
		  "throttling." },
	{ .name = "auth_throttle_max", .type = OPT_TIME, AT(conf_main, auth_throttle_max, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = DAY, .group = "Login",
	  .text = "The longest time for which a pair is throttled. After as long again "
		  "without a failure half of the failures are forgotten; a successful login "
		  "forgets none, since they may be another client's behind the same address." },
	{ .name = "auth_throttle_after", .type = OPT_INT, AT(conf_main, auth_throttle_after, int),
	  .apply = APPLY_AT_ONCE, .fallback = "10", .min = 0, .max = 1000, .group = "Login",
	  .text = "How many failed logins of one user from one address are free. Ten times as "
		  "many, at least ten, are free for one user from all addresses, and for one "
		  "address with all users; beyond that only one login of that user, or from "
		  "that address, in auth_throttle_base is checked, and all others are "
		  "refused. Users who have logged in from their address within a day are not "
		  "affected." },
	{ .name = "admin_users", .type = OPT_LIST, AT(conf_main, admin_users, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_text,
	  .expected = "a user name", .group = "Login",
	  .text = "Users of auth_file that may use every command of the console. The "
		  "operating-system user that runs the proxy always may, over the unix socket "
		  "and without a password." },
	{ .name = "stats_users", .type = OPT_LIST, AT(conf_main, stats_users, struct strlist),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .item = item_text,
	  .expected = "a user name", .group = "Login",
	  .text = "Users of auth_file that may use the console's commands that change nothing "
		  "(SHOW, EXPLAIN)." },
	{ .name = "migration_users", .type = OPT_LIST,
	  AT(conf_main, migration_users, struct strlist), .apply = APPLY_NEW_SESSIONS,
	  .fallback = "", .item = item_text, .expected = "a user name", .group = "Login",
	  .text = "Users of auth_file that may use the commands of migrations (CREATE to "
		  "COMPLETE) and those that change nothing." },

	{ .name = "probe_conninfo", .type = OPT_CONNINFO, AT(conf_main, probe_conninfo, char *),
	  .apply = APPLY_AT_ONCE, .fallback = "", .group = "Health",
	  .text = "What the health prober logs in with: libpq's keyword = value words (user, "
		  "dbname, password, passfile, service and so on) without a host and a port. Empty: the "
		  "prober only makes a handshake, and learns roles from the logins of clients." },
	{ .name = "probe_interval", .type = OPT_TIME, AT(conf_main, probe_interval, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "2s", .min = MSEC(50), .max = HOUR,
	  .group = "Health", .text = "Time between two probes of a node. What sessions see of a node that is gone, "
		  "or of a primary that is none any more, has it probed at once." },
	{ .name = "probe_timeout", .type = OPT_TIME, AT(conf_main, probe_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "3s", .min = MSEC(50), .max = HOUR,
	  .group = "Health", .text = "A probe that takes longer has failed." },
	{ .name = "probe_rise", .type = OPT_INT, AT(conf_main, probe_rise, int),
	  .apply = APPLY_AT_ONCE, .fallback = "2", .min = 1, .max = 100, .group = "Health",
	  .text = "After this many good probes in a row a node that was down is up again." },
	{ .name = "probe_fall", .type = OPT_INT, AT(conf_main, probe_fall, int),
	  .apply = APPLY_AT_ONCE, .fallback = "3", .min = 1, .max = 100, .group = "Health",
	  .text = "After this many failed probes in a row a node is down. A session that "
		  "fails to connect to it makes it suspect and has it probed at once." },
	{ .name = "probe_max_backoff", .type = OPT_TIME, AT(conf_main, probe_max_backoff, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "30s", .min = MSEC(50), .max = HOUR,
	  .group = "Health",
	  .text = "A node that is down is probed less and less often, but at least this often." },
	{ .name = "discover_interval", .type = OPT_TIME, AT(conf_main, discover_interval, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "10s", .min = MSEC(50), .max = HOUR,
	  .group = "Discovery",
	  .text = "How often nodes are asked for others (see discover in [region]); also when "
		  "their role has changed." },
	{ .name = "discover_grace", .type = OPT_TIME, AT(conf_main, discover_grace, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = DAY, .group = "Discovery",
	  .text = "A discovered node that no source tells of any more gets new sessions for this "
		  "time still, if its probes are good: a standby that is reconnecting is not gone." },
	{ .name = "discover_min_keep", .type = OPT_INT, AT(conf_main, discover_min_keep, int),
	  .apply = APPLY_AT_ONCE, .fallback = "50", .min = 0, .max = 100, .group = "Discovery",
	  .text = "An answer in which several nodes are missing, and less than this percentage of "
		  "those that its source has told before is left, changes nothing: it is logged as "
		  "an error and shown by SHOW DISCOVERY. After a RELOAD the next answer counts." },
	{ .name = "address_map", .type = OPT_LIST, AT(conf_main, address_map, struct strlist),
	  .apply = APPLY_AT_ONCE, .fallback = "", .item = item_address_mapping,
	  .expected = "PATTERN=HOST or PATTERN=HOST:PORT", .group = "Discovery",
	  .text = "Where this proxy reaches discovered nodes, if not where their cluster does. The "
		  "pattern (* and ? stand for any text and one letter), or block of addresses, is "
		  "compared with the node's name in its cluster (a standby's application_name, an "
		  "Aurora server_id), its host and host:port; the first that matches counts. A "
		  "standby whose application_name is HOST:PORT is reached there; another one, "
		  "whose port its primary does not know, at its address and port 5432." },
	{ .name = "locality_map", .type = OPT_LIST, AT(conf_main, locality_map, struct strlist),
	  .apply = APPLY_AT_ONCE, .fallback = "", .item = item_mapping,
	  .expected = "PATTERN=REGION", .group = "Discovery",
	  .text = "The regions of discovered nodes, by patterns as in address_map, which are also "
		  "compared with the place that the node's cluster says (a CockroachDB region). "
		  "Where none matches, the place is taken for the name of a region, or of a known "
		  "cloud region, for which the nearest region stands; where there is none, the node "
		  "belongs to the region of the node that has told of it." },
	{ .name = "failback_delay", .type = OPT_TIME, AT(conf_main, failback_delay, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = DAY, .group = "Health",
	  .text = "A node that was down gets new sessions again after this time and up to a "
		  "fifth more, different for each session; sooner if there is no other node." },
	{ .name = "max_lag", .type = OPT_TIME, AT(conf_main, max_lag, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = DAY, .group = "Health",
	  .text = "Standbys whose lag is larger get no sessions; 0: no limit. The age of the "
		  "last measurement counts as lag." },
	{ .name = "stale_after", .type = OPT_TIME, AT(conf_main, stale_after_set, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "auto", .min = 0, .max = HOUR, .zero = "auto",
	  .group = "Health",
	  .text = "A node that was not measured for this time is suspect; auto: three times "
		  "probe_interval." },
	{ .name = "dns_max_ttl", .type = OPT_TIME, AT(conf_main, dns_max_ttl, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "15s", .min = SEC(1), .max = DAY, .group = "Health",
	  .text = "How long the addresses of a node's name are kept before it is looked up again." },
	{ .name = "panic_pct", .type = OPT_INT, AT(conf_main, panic_pct, int),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 100, .group = "Health",
	  .text = "Where fewer than this percentage of all nodes are usable, the fault is "
		  "taken to be the prober's and health is ignored; 0: never." },

	{ .name = "max_client_conn", .type = OPT_INT, AT(conf_main, max_client_conn, int),
	  .apply = APPLY_AT_ONCE, .fallback = "1000", .min = 1, .max = 10000000,
	  .group = "Limits and timeouts",
	  .text = "The limit for sessions, in all; further ones get FATAL 53300 at once. Each "
		  "takes two file descriptors while it is attached to a node: the log says "
		  "how many are needed in all where the process may not have so many. "
		  "Consoles, and connections that have not sent their startup packet, do not "
		  "count." },
	{ .name = "client_login_timeout", .type = OPT_TIME,
	  AT(conf_main, client_login_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = DAY,
	  .group = "Limits and timeouts",
	  .text = "A client that has not logged in this long after it connected is closed; 0: "
		  "never." },
	{ .name = "server_connect_timeout", .type = OPT_TIME,
	  AT(conf_main, server_connect_timeout, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "15s", .min = MSEC(10), .max = HOUR,
	  .group = "Limits and timeouts",
	  .text = "How long connecting to one node may take, up to its first answer to the "
		  "startup packet; then the next node is tried." },
	{ .name = "failover_wait", .type = OPT_TIME, AT(conf_main, failover_wait, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = HOUR,
	  .group = "Limits and timeouts",
	  .text = "A login that no region can take, since no node there is up or has the role that "
		  "it wants, waits for this time for one that has, instead of failing at once: a "
		  "primary is being replaced. Its client hears nothing until then. 0: it fails at "
		  "once. Sessions of a pool wait in it, for query_wait_timeout." },
	{ .name = "hedge_delay", .type = OPT_TIME, AT(conf_main, hedge_delay, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "50ms", .min = 0, .max = HOUR,
	  .group = "Limits and timeouts",
	  .text = "Where the best node has not connected after twice its usual round-trip "
		  "time plus this, the next one is tried beside it, and the first that "
		  "answers wins. A node that has connected has eight round trips plus ten "
		  "times this to answer." },
	{ .name = "client_idle_timeout", .type = OPT_TIME,
	  AT(conf_main, client_idle_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 365 * DAY,
	  .group = "Limits and timeouts",
	  .text = "A client that has sent no query for this time outside a transaction is "
		  "closed; 0: never." },
	{ .name = "idle_transaction_timeout", .type = OPT_TIME,
	  AT(conf_main, idle_transaction_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 365 * DAY,
	  .group = "Limits and timeouts",
	  .text = "A client that has sent no query for this time inside a transaction is "
		  "closed; 0: never." },
	{ .name = "query_timeout", .type = OPT_TIME, AT(conf_main, query_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 365 * DAY,
	  .group = "Limits and timeouts",
	  .text = "A session whose query runs longer is closed and the query cancelled; 0: never." },
	{ .name = "shutdown_timeout", .type = OPT_TIME, AT(conf_main, shutdown_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 365 * DAY,
	  .group = "Limits and timeouts",
	  .text = "On SIGTERM idle sessions are closed; the others may go on for this time, "
		  "until they are idle. 0: without a limit." },

	{ .name = "default_pool_size", .type = OPT_INT, AT(conf_main, default_pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "20", .min = 1, .max = 100000, .group = "Pools",
	  .text = "The limit for server connections of a pool: one database, user and node. "
		  "Each worker has its share of them, at least one." },
	{ .name = "min_pool_size", .type = OPT_INT, AT(conf_main, min_pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 100000, .group = "Pools",
	  .text = "How many server connections are kept open in a pool that has sessions, "
		  "idle or not, so that a far region is one round trip away." },
	{ .name = "reserve_pool_size", .type = OPT_INT, AT(conf_main, reserve_pool_size, int),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 100000, .group = "Pools",
	  .text = "How many more a pool may have while one of its sessions has waited for "
		  "reserve_pool_timeout." },
	{ .name = "reserve_pool_timeout", .type = OPT_TIME,
	  AT(conf_main, reserve_pool_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "5s", .min = 0, .max = DAY, .group = "Pools",
	  .text = "A session that has waited this long lets its pool use the reserve." },
	{ .name = "max_db_connections", .type = OPT_INT, AT(conf_main, max_db_connections, int),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 100000, .group = "Pools",
	  .text = "The limit for server connections of pools to one database of one node, "
		  "over all users; 0: no limit." },
	{ .name = "max_user_connections", .type = OPT_INT, AT(conf_main, max_user_connections, int),
	  .apply = APPLY_AT_ONCE, .fallback = "0", .min = 0, .max = 100000, .group = "Pools",
	  .text = "The limit for server connections of pools of one user to one node, over "
		  "all databases; 0: no limit." },
	{ .name = "query_wait_timeout", .type = OPT_TIME, AT(conf_main, query_wait_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "120s", .min = 0, .max = DAY, .group = "Pools",
	  .text = "A session that has waited this long for a server connection is closed; 0: "
		  "never." },
	{ .name = "query_wait_notify", .type = OPT_TIME, AT(conf_main, query_wait_notify, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "5s", .min = 0, .max = DAY, .group = "Pools",
	  .text = "A session that has waited this long is told so by a NOTICE; 0: never." },
	{ .name = "server_lifetime", .type = OPT_TIME, AT(conf_main, server_lifetime, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "1h", .min = 0, .max = 365 * DAY, .group = "Pools",
	  .text = "A server connection of a pool that is this old is closed when no session "
		  "has it; up to a tenth earlier, different for each, so that not all close "
		  "at once. 0: never." },
	{ .name = "server_idle_timeout", .type = OPT_TIME,
	  AT(conf_main, server_idle_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "10min", .min = 0, .max = 365 * DAY, .group = "Pools",
	  .text = "A server connection that no session has had for this time is closed, down "
		  "to min_pool_size; so is one whose node has not answered a reset or a check "
		  "for this time, or for server_connect_timeout where sessions wait. 0: "
		  "never." },
	{ .name = "server_login_retry", .type = OPT_TIME, AT(conf_main, server_login_retry, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "1s", .min = MSEC(10), .max = DAY, .group = "Pools",
	  .text = "After a server connection of a pool could not be opened, no other is tried "
		  "for this time; sessions that wait go to another node meanwhile if there is "
		  "one." },
	{ .name = "max_prepared_statements", .type = OPT_INT,
	  AT(conf_main, max_prepared_statements, int), .apply = APPLY_AT_ONCE, .fallback = "200",
	  .min = 0, .max = 1000000, .group = "Pools",
	  .text = "How many statements are kept prepared on a server connection of a pool; "
		  "the least recently used are dropped. Sessions share statements of the same "
		  "text. 0: names pass to the server as they are, and a session that has "
		  "prepared a statement keeps its connection." },
	{ .name = "server_check_query", .type = OPT_STRING,
	  AT(conf_main, server_check_query, char *),
	  .apply = APPLY_AT_ONCE, .fallback = "", .group = "Pools",
	  .text = "Sent before a server connection is lent that was idle for "
		  "server_check_delay; if it fails, or is not answered for a second, another "
		  "connection is taken. Empty: not sent." },
	{ .name = "server_check_delay", .type = OPT_TIME, AT(conf_main, server_check_delay, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "30s", .min = 0, .max = DAY, .group = "Pools",
	  .text = "See server_check_query." },
	{ .name = "server_reset_query", .type = OPT_STRING,
	  AT(conf_main, server_reset_query, char *),
	  .apply = APPLY_AT_ONCE, .fallback = "DISCARD ALL", .group = "Pools",
	  .text = "Sent on a server connection that comes back from a session with pool = "
		  "session, or from one that was pinned to it. After any query but DISCARD "
		  "ALL, settings and role are reset as well. Empty: such a connection is "
		  "closed." },
	{ .name = "server_reset_query_always", .type = OPT_BOOL,
	  AT(conf_main, server_reset_query_always, bool),
	  .apply = APPLY_AT_ONCE, .fallback = "no", .group = "Pools",
	  .text = "Send server_reset_query after each transaction with pool = transaction, too." },

	{ .name = "http_max_head", .type = OPT_SIZE, AT(conf_main, http_max_head, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "16kB", .min = 1024, .max = 64 * 1024,
	  .group = "HTTP",
	  .text = "The limit for the head of a request, its request line and its headers; a "
		  "longer one gets 431." },
	{ .name = "http_max_body", .type = OPT_SIZE, AT(conf_main, http_max_body, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "10MB", .min = 0, .max = 1 << 29,
	  .group = "HTTP",
	  .text = "The limit for the body of a request; a longer one gets 413. It is kept in "
		  "memory while the request is served." },
	{ .name = "sql_max_response", .type = OPT_SIZE, AT(conf_main, sql_max_response, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "64MB", .min = 1024, .max = 1 << 29,
	  .group = "HTTP",
	  .text = "The limit for the answer to POST /sql; a longer one becomes 507, and its "
		  "query is cancelled. It is kept in memory until it is complete." },
	{ .name = "http_max_streams", .type = OPT_INT, AT(conf_main, http_max_streams, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 10000000,
	  .group = "HTTP",
	  .text = "The limit for WebSockets and CONNECT tunnels, in all; further ones get "
		  "503. 0: no limit but max_client_conn." },
	{ .name = "http_idle_timeout", .type = OPT_TIME, AT(conf_main, http_idle_timeout, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "60s", .min = 0, .max = DAY, .group = "HTTP",
	  .text = "An HTTP connection on which no request has begun for this time is closed; "
		  "0: never. A request that has begun must be complete within "
		  "client_login_timeout. A WebSocket or a tunnel is a session, and has the "
		  "timeouts of sessions." },
	{ .name = "websocket_ping_interval", .type = OPT_TIME,
	  AT(conf_main, websocket_ping_interval, int64_t), .apply = APPLY_AT_ONCE,
	  .fallback = "20s", .min = 0, .max = DAY, .group = "HTTP",
	  .text = "A WebSocket on which nothing was sent for this time is sent a ping, so "
		  "that load balancers do not take it for idle. A client that sends nothing "
		  "for three times as long after a ping is taken to be gone. 0: no pings." },

	{ .name = "peer_id", .type = OPT_INT, AT(conf_main, peer_id, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "none", .min = 0, .max = 1023, .zero = "none",
	  .group = "Fleet",
	  .text = "The number of this proxy in its fleet, 1 to 1023, different for each." },
	{ .name = "peers", .type = OPT_LIST, AT(conf_main, peers, struct strlist),
	  .apply = APPLY_AT_ONCE, .fallback = "", .item = item_peer,
	  .expected = "a peer (2=host:port: its peer_id, and where it listens; without a port: "
		      "6433)",
	  .group = "Fleet",
	  .text = "The proxies of the fleet. A cancel request that a load balancer brings to "
		  "the wrong one is handed on to the one that has the session. The list may "
		  "be the same on all: a proxy leaves itself out. A peer is reached on an "
		  "ordinary listener, by TLS if that has it; it must not be one with "
		  "proxy_protocol = require." },
	{ .name = "fleet_key_file", .type = OPT_STRING, AT(conf_main, fleet_key_file, char *),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "", .group = "Fleet",
	  .text = "The keys that the fleet shares: a file with one key of 64 hexadecimal "
		  "digits in a line (openssl rand -hex 32). The first one seals the cancel "
		  "keys of new sessions, any of them opens them. To change it, add the new "
		  "key as the second line everywhere, then put it first everywhere, and "
		  "remove the old one when the sessions from before have ended. Needs "
		  "peer_id." },

	{ .name = "tcp_keepalive", .type = OPT_BOOL, AT(conf_main, tcp_keepalive, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "on", .group = "TCP",
	  .text = "Let the kernel find out that the other side is gone." },
	{ .name = "tcp_keepcnt", .type = OPT_INT, AT(conf_main, tcp_keepcnt, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 127, .group = "TCP",
	  .text = "Unanswered keepalive packets until the connection counts as broken; 0: the "
		  "system's default." },
	{ .name = "tcp_keepidle", .type = OPT_INT, AT(conf_main, tcp_keepidle, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 32767, .group = "TCP",
	  .text = "Seconds of silence before the first keepalive packet; 0: the system's default." },
	{ .name = "tcp_keepintvl", .type = OPT_INT, AT(conf_main, tcp_keepintvl, int),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = 32767, .group = "TCP",
	  .text = "Seconds between keepalive packets; 0: the system's default." },
	{ .name = "tcp_user_timeout", .type = OPT_TIME, AT(conf_main, tcp_user_timeout, int64_t),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "0", .min = 0, .max = DAY, .group = "TCP",
	  .text = "How long sent data may stay unacknowledged before the connection counts as "
		  "broken; 0: the system's default. A bare number is in seconds here, not in "
		  "milliseconds." },

	{ .name = "log_level", .type = OPT_ENUM, AT(conf_main, log_level, int),
	  .apply = APPLY_AT_ONCE, .fallback = "info", .words = log_level_words, .group = "Log",
	  .text = "The least important events that are logged." },
	{ .name = "log_connections", .type = OPT_BOOL, AT(conf_main, log_connections, bool),
	  .apply = APPLY_AT_ONCE, .fallback = "on", .group = "Log",
	  .text = "Log each login with the region and the node it went to." },
	{ .name = "log_disconnections", .type = OPT_BOOL, AT(conf_main, log_disconnections, bool),
	  .apply = APPLY_AT_ONCE, .fallback = "on", .group = "Log",
	  .text = "Log the end of sessions that their clients have ended. All other ends are "
		  "always logged, with the reason." },

	{ .name = "migration_conninfo", .type = OPT_CONNINFO,
	  AT(conf_main, migration_conninfo, char *), .apply = APPLY_AT_ONCE, .fallback = "",
	  .group = "Migrations",
	  .text = "What migrations log in to the nodes with: libpq's keyword = value words (user, "
		  "password, passfile, service and so on) without a host, a port and a database. "
		  "The role needs what the kind of migration does; a move needs a superuser. Empty: "
		  "there are no migrations." },
	{ .name = "migration_lease", .type = OPT_TIME, AT(conf_main, migration_lease, int64_t),
	  .apply = APPLY_AT_ONCE, .fallback = "5s", .min = MSEC(500), .max = HOUR,
	  .group = "Migrations",
	  .text = "A proxy that runs a migration and was silent for this time may be replaced "
		  "by another one of the fleet." },
	{ .name = "migration_bindir", .type = OPT_STRING, AT(conf_main, migration_bindir, char *),
	  .apply = APPLY_AT_ONCE, .fallback = "", .group = "Migrations",
	  .text = "Where pg_dump, pg_dumpall and pg_restore are, at least as new as the servers. "
		  "Empty: the newest ones of PATH and /usr/lib/postgresql." },
	{ .name = "authority_file", .type = OPT_STRING, AT(conf_main, authority_file, char *),
	  .apply = APPLY_RESTART, .fallback = "", .group = "Migrations",
	  .text = "Which region serves which database, as last seen: a proxy that starts "
		  "while a node cannot be asked relies on it. Written by the proxy; a missing "
		  "file is no error. Empty: nothing is remembered." },
	{ .name = "redirect_notice", .type = OPT_BOOL, AT(conf_main, redirect_notice, bool),
	  .apply = APPLY_NEW_SESSIONS, .fallback = "off", .group = "Migrations",
	  .text = "Clients that come by the region that their database has left get a NOTICE "
		  "at login that says where it is, and until when they are forwarded; clients "
		  "with client_min_messages = warning do not." },
};
/* clang-format on */

const struct section section_meridian = {
	.word = "meridian",
	.text = "The proxy itself. The options of a listener may stand here "
		"too and describe the listener main.",
	ROWS(meridian_rows),
	.size = sizeof(struct conf_main),
};

_Static_assert(sizeof(meridian_rows) / sizeof(meridian_rows[0]) <= OPTION_ROWS_MAX,
	       "OPTION_ROWS_MAX is too small");
