/* SPDX-License-Identifier: PostgreSQL
 *
 * The configuration: an immutable, refcounted snapshot of everything that the operator wrote. One
 * option table (proxy/config/options.c) describes each option once; the reader, SHOW CONFIG,
 * --help, the sample file, the manual page and the reload diff are derived from it. Times are
 * microseconds, sizes bytes. A struct conf_* never changes once config_load() has returned.
 */
#ifndef PROXY_CONFIG_CONFIG_H
#define PROXY_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "protocol/scram.h"
#include "proxy/config/words.h"
#include "routing/locality.h"
#include "routing/route.h"
#include "routing/tlvs.h"

struct authfile;
struct fleet_keys;
struct hba;
struct ident;

/* [listener NAME]; [meridian] itself describes the listener "main". */
struct conf_listener {
	char *name;
	struct strlist listen; /* "127.0.0.1:6433", "*:6433"; "/run/meridian": a directory */
	int socket_port;       /* part of the names of its unix sockets: .s.PGSQL.<socket_port> */
	enum tri_mode proxy_protocol;
	enum tls_choice tls_choice; /* as written; `tls` is what follows from it */
	enum tri_mode tls;          /* auto: allow where a certificate is set, else off */
	char *tls_cert_file, *tls_key_file, *tls_ca_file;
	bool http, metrics;
	bool peers_only;  /* for proxies of the fleet only; it stays open in a drain */
	char *sni_suffix; /* "db.example": the label(s) before it name a place */
};

/* [region NAME] */
struct conf_region {
	char *name;
	struct strlist
	    nodes; /* "host:port"; a bare host means port 5432; "/dir:5432" a unix socket */
	struct strlist discover;    /* sources of other nodes; discover_bits() */
	struct strlist patroni_api; /* as patroni_api() writes them */
	char *patroni_ca_file;
	bool has_location;
	double lat, lon;       /* option location, else the built-in table (places_region) */
	struct strlist cities; /* case-folded */
	struct strlist countries;
	struct cidrlist networks;
	struct strlist endpoints; /* the items of `networks` that are private endpoints */
	int bias;
	bool strict; /* strict_region */
	bool export_locality;
	enum sslmode sslmode;
	char *sslrootcert, *sslcert, *sslkey;
	enum binding_mode channel_binding;
	char *migration_peer_conninfo;
	char *migration_through_conninfo;
	char *entry; /* the address that clients connect to; NULL: not configured */
};

/* [database NAME]; "*" stands for all others */
struct conf_database {
	char *name;
	char *dbname; /* name on the server; NULL: the same */
	enum auth_method auth;
	struct strlist regions; /* the regions that serve it; empty: all */
	enum access access;
	char *auth_query, *auth_dbname; /* NULL: those of [meridian] */
	enum pool_mode pool;
	int pool_size, min_pool_size, reserve_pool_size; /* -1: as [meridian] says */
	int statement_sample; /* one of this many statements is sampled; 0: none */
	enum reads_mode reads;
	enum consistency_mode consistency;
	int consistency_bound_ms; /* of CONSISTENCY_BOUNDED */
	int64_t consistency_wait;
	enum lost_wal_mode lost_wal;
	enum residency_mode residency;
};

/* [meridian] */
struct conf_main {
	char *region; /* the region of this proxy; NULL: not known */
	enum nearest nearest;
	double blend; /* weight of distance for nearest = blend */
	enum locality_source locality[SOURCE_COUNT];
	size_t nlocality;
	char *gazetteer; /* "auto", "off" or a file */
	struct strlist geoip;
	struct cidrlist trusted_proxies;
	struct strlist header_names; /* see routing/headers.h */
	int trusted_hops;
	struct tlv_rules tlv;
	int workers;     /* 0: auto (one per CPU) */
	int listen_port; /* 0: auto; the result is in `listen` and `socket_port` */
	int listen_backlog;
	int unix_socket_mode; /* permissions */
	enum auth_method auth;
	char *auth_file, *hba_file, *auth_ident_file;
	char *auth_conninfo; /* NULL: auth_query is not asked */
	char *auth_query, *auth_dbname;
	int64_t auth_cache_ttl, auth_throttle_base, auth_throttle_max;
	int auth_throttle_after;
	struct strlist admin_users, stats_users, migration_users;
	char *probe_conninfo; /* NULL: the prober only makes handshakes */
	int64_t probe_interval, probe_timeout, probe_max_backoff;
	int probe_rise, probe_fall;
	int64_t discover_interval, discover_grace;
	int discover_min_keep;                    /* per cent */
	struct strlist address_map, locality_map; /* "PATTERN=…": see routing/sightings.h */
	int64_t failback_delay, max_lag, dns_max_ttl;
	int64_t stale_after_set; /* as written, 0: auto; stale_after is what follows from it */
	int64_t stale_after;
	int panic_pct;
	int max_client_conn;
	int64_t client_login_timeout, server_connect_timeout;
	int64_t failover_wait; /* 0: off */
	int64_t hedge_delay;   /* the 50 ms of "2 × its usual round trip + 50 ms" */
	int64_t client_idle_timeout, idle_transaction_timeout, query_timeout, shutdown_timeout;
	int default_pool_size, min_pool_size, reserve_pool_size;
	int max_prepared_statements;
	int max_db_connections, max_user_connections; /* 0: no limit */
	int64_t reserve_pool_timeout, query_wait_timeout, query_wait_notify;
	int64_t server_lifetime, server_idle_timeout, server_check_delay, server_login_retry;
	char *server_check_query, *server_reset_query; /* NULL: none */
	bool server_reset_query_always;
	int64_t http_max_head, http_max_body, sql_max_response; /* bytes */
	int http_max_streams;                                   /* 0: no limit */
	int64_t http_idle_timeout, websocket_ping_interval;
	int peer_id;          /* 0: none */
	struct strlist peers; /* "2=host:port" */
	char *fleet_key_file;
	bool tcp_keepalive;
	int tcp_keepcnt, tcp_keepidle, tcp_keepintvl; /* seconds; 0: the system's */
	int64_t tcp_user_timeout;
	char *migration_conninfo; /* NULL: there are no migrations */
	int64_t migration_lease;
	char *migration_bindir, *authority_file;
	bool redirect_notice;
	int log_level; /* enum log_level */
	bool log_connections, log_disconnections;
};

#define CONFIG_SECTION_KINDS 4 /* enum section_kind */

struct config {
	struct refcount refs;
	/* 1 after config_load(); config_set() adds one; a reload gets its number from its
	 * publisher, before it is published */
	uint64_t version;
	char *path; /* NULL: no file */
	struct conf_main main;
	struct conf_listener *listeners; /* [0] is "main" */
	size_t nlisteners;
	struct conf_region *regions;
	size_t nregions;
	struct conf_database *databases;
	size_t ndatabases;
	uint32_t *by_name[CONFIG_SECTION_KINDS]; /* the sections of each kind, ordered by name */
	struct authfile *auth;                   /* parsed auth_file, or NULL */
	/* shared with the copies that config_set() makes */
	struct refcount *auth_refs;
	struct fleet_keys *fleet_keys;        /* of fleet_key_file, or NULL; one reference */
	struct hba *hba;                      /* of hba_file, the same */
	struct ident *ident;                  /* of auth_ident_file, the same */
	uint8_t salt_secret[SCRAM_KEY_BYTES]; /* from the arguments */
};

#define CONFIG_DEFAULT_PATH "/etc/meridian/meridian.conf"

/* The command line, which overrides the file, in the text forms of the file. */
struct config_args {
	const char *path;                     /* NULL: the default file, which need not exist */
	struct strlist listen;                /* --listen */
	struct strlist regions;               /* --region NAME=HOST:PORT[,…] */
	struct strlist set;                   /* --set OPTION=VALUE */
	struct strlist geoip;                 /* --geoip FILE */
	char *socket_dir;                     /* --socket-dir */
	uint8_t salt_secret[SCRAM_KEY_BYTES]; /* the process's: see authfile_load() */
};

/* Read the file and the arguments, check everything, load auth_file. NULL and *e on the first
 * error: "meridian.conf:12: unknown option "lisen" in section [meridian] (did you mean
 * "listen"?)". */
struct config *config_load(const struct config_args *args, struct err *e);
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* accepts NULL */

/* The section for a database: its own, else "*", else built-in defaults. Never NULL. */
const struct conf_database *config_database(const struct config *c, struct slice name);

/* How clients of the database prove who they are: never METHOD_GLOBAL. */
enum auth_method config_auth(const struct config *c, const struct conf_database *db);
/* Whether a listener asks clients for certificates, and can check them. */
bool config_asks_for_certificates(const struct config *c);

/* The sizes of a database's pools. */
struct pool_sizes {
	int size, min, reserve;
};
struct pool_sizes config_pool_sizes(const struct config *c, const struct conf_database *d);

/* Index of a region by name; where no name fits exactly, provider prefixes (gcp-, aws-, …) are
 * ignored on both sides. -1: there is none. */
int config_region(const struct config *c, struct slice name);

/* SHOW CONFIG: one row per option of [meridian], those of the listener "main" included. */
struct config_row {
	const char *key;
	char value[512];        /* in force */
	char pending[512];      /* in force after a restart; "": the same */
	char fallback[512];     /* the default */
	const char *changeable; /* "at once", "new sessions", "restart" */
	const char *text;
};

size_t config_nrows(void);
/* `begun`: the configuration that the process started with; options that only a restart changes are
 * shown as they are there. */
void config_row(const struct config *c, const struct config *begun, size_t i,
		struct config_row *out);

/* SET option = value: a copy of `c` with one option of [meridian] changed. NULL and *e: 42704 no
 * such option, 22023 a bad value, 55P02 the option needs a restart. */
struct config *config_set(const struct config *c, const char *option, const char *value,
			  struct err *e);

/* Which differences: those that a reload applies, or those that wait for a restart. */
enum diff_part { DIFF_ALL, DIFF_APPLIED, DIFF_PENDING };

/* Append one line for each difference, with its newline: "max_client_conn: 100 -> 200 (at once)",
 * "[region us-east1] added (new sessions)". Returns how many. */
size_t config_diff(const struct config *from, const struct config *to, enum diff_part part,
		   struct buf *text);

/* Derived documents. */
void config_help(struct buf *out);   /* for --help-config */
void config_sample(struct buf *out); /* conf/meridian.conf */
void config_man(struct buf *out);    /* the option part of meridian.conf(5), roff man */

#endif
