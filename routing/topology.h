/* SPDX-License-Identifier: PostgreSQL
 *
 * The topology: every region and node with what is known of them, at one moment. An immutable,
 * refcounted snapshot that the control thread builds (from the configuration, what the prober
 * measured, what the operator said) and publishes whole; whatever decides reads it.
 *
 * Regions keep their index for the life of a configuration (INV-14); nodes are stored region by
 * region, in the order of the configuration. Identity across snapshots and reloads is the name
 * ("us-east1", "db1:5432"), and for nodes also `struct node_live`, which every snapshot of a node
 * shares.
 */
#ifndef ROUTING_TOPOLOGY_H
#define ROUTING_TOPOLOGY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/snapshot.h"
#include "routing/roster.h"
#include "routing/token.h"

enum node_state {
	NODE_UNKNOWN, /* not probed yet: used as if up, ranked after what is up */
	NODE_UP,
	NODE_SUSPECT, /* failed a session or missed its probes: used only where nothing else is */
	NODE_DOWN,
};

enum node_role {
	ROLE_UNKNOWN,
	ROLE_PRIMARY, /* takes writes */
	ROLE_STANDBY, /* in recovery */
	ROLE_MULTI,   /* every node takes writes (CockroachDB, Citus with metadata) */
};

enum node_kind { KIND_UNKNOWN, KIND_POSTGRES, KIND_CITUS, KIND_COCKROACHDB };

#define NODE_ADDRS_MAX 8

/* What is counted about a node while it runs, shared by all snapshots and all threads. */
struct node_live {
	struct refcount refs;
	uint32_t id;               /* unique in the process, never reused */
	char *region, *name;       /* for those who hold nothing else of it; \"\" until named */
	atomic_uint sessions;      /* attached now */
	_Atomic uint64_t attempts; /* connections ever begun for sessions */
	_Atomic uint64_t connects; /* sessions ever attached */
	_Atomic uint64_t failures; /* attempts that failed before the client was told anything */
	_Atomic int64_t looked_us; /* when its prober was last asked to look at it; monotonic */
	/* What TLS the last connection of a session has negotiated: constants of OpenSSL, "" in
	 * clear, NULL before the first. */
	const char *_Atomic tls_version, *_Atomic tls_cipher;
};

struct node_live *node_live_new(uint32_t id, const char *region, const char *name);
struct node_live *node_live_ref(struct node_live *l);
void node_live_unref(struct node_live *l);
/* How a node at that address is named: "host:port", "[v6]:port"; the caller frees. The host may
 * have its brackets. */
char *node_name_of(const char *host, uint16_t port);
/* Host and port of a configured "host:port", "[v6]:port" or "host" (5432); the caller frees. */
char *node_name_host(const char *name, uint16_t *port);

struct node {
	char *name; /* "host:port" as configured */
	char *host; /* name, address, or directory of a unix socket ("/run/postgresql") */
	uint16_t port;
	uint16_t region;                   /* index */
	struct addr addrs[NODE_ADDRS_MAX]; /* resolved; none for a unix socket */
	uint8_t naddrs;
	enum node_state state;
	enum node_role role;
	enum node_kind kind;
	bool drained;              /* by the operator: no new sessions */
	bool read_only;            /* default_transaction_read_only */
	bool probed;               /* role and lag come from a probe with a role (probe_conninfo) */
	int server_version;        /* server_version_num, 0 unknown */
	uint32_t timeline;         /* 0 unknown */
	uint64_t system_id;        /* 0 unknown */
	struct timeline_ends ends; /* of the timelines in front of its own */
	uint64_t lsn;              /* written, or replayed, at the last good probe; 0 unknown */
	int64_t rtt_us;            /* EWMA of the round trip; 0 unknown */
	int64_t connect_us;        /* EWMA of the TCP connect; 0 unknown */
	int64_t lag_us;            /* replay lag in time when sampled; -1 unknown */
	int64_t lag_bytes;         /* replay lag in bytes when sampled; -1 unknown */
	int64_t sampled_at_us;     /* monotonic time of the last good sample; 0 never */
	int64_t up_since_us; /* when it last came up after having been down; 0: it never was down */
	int max_connections; /* less what is reserved for superusers; 0 unknown */
	int used_connections;   /* at the last probe */
	char *origin;           /* "replication of db1:5432"; NULL: it is configured */
	unsigned discover;      /* sources that it is asked about others (routing/sightings.h) */
	char reason[128];       /* why it is down, suspect or fenced; "" otherwise */
	struct node_live *live; /* one reference */
};

struct region {
	char *name; /* as configured: "gcp-us-east1" */
	bool has_location;
	double lat, lon; /* degrees */
	double unit[3];  /* the same as a unit vector */
	int bias;        /* -99…99: attracts or repels callers (Route 53's geoproximity bias) */
	bool strict;     /* never spill over to another region */
	bool export_locality; /* give meridian.region/city/country to server sessions */
	bool drained;
	uint16_t first_node, nnodes;
	struct strlist cities;    /* folded (places_fold) */
	struct strlist countries; /* ISO 3166 alpha-2, upper case */
	struct cidrlist networks;
	struct strlist endpoints; /* private endpoints of clouds, as endpoint_parse() writes them */
};

/* OVERRIDE CITY|COUNTRY|NETWORK … TO REGION …: what the operator says, until `until_us`. */
enum override_kind { OVERRIDE_CITY, OVERRIDE_COUNTRY, OVERRIDE_NETWORK };

struct override {
	enum override_kind kind;
	char *value;     /* folded city, country code, block or private endpoint as text */
	struct cidr net; /* OVERRIDE_NETWORK; of no family where it is an endpoint */
	uint16_t region;
	int64_t until_us; /* monotonic; 0: until it is cleared */
};

/* A migration has decided who serves a database: it goes there and nowhere else, whatever its
 * section says. */
struct authority {
	char *database; /* its name on the nodes, as the configuration has it */
	char *place;    /* region or node, as it was said */
	char *dbname;   /* its name there; NULL: the same */
	int region;     /* index; -1: the configuration has no such place */
	int node;       /* index; -1: any node of the region */
	int64_t epoch;
};

struct topology {
	struct refcount refs;
	uint64_t version; /* grows with each publication */
	int self_region;  /* where this proxy stands (index); -1 unknown */
	struct region *regions;
	struct node *nodes;
	struct override *overrides;
	struct authority *authorities;
	uint16_t nregions, nnodes;
	uint32_t noverrides, nauthorities;
	int64_t max_lag_us; /* standbys further behind are skipped; 0: no limit */
	int64_t failback_delay_us;
	int64_t stale_after_us; /* a sample older than this makes a node suspect; 0: never */
	unsigned panic_pct;     /* fewer usable nodes than this: health is ignored */
	struct roster *roster;  /* what discovery knows, one reference; NULL: there is none */
};

/* An empty topology with one reference. The builder functions below are for the thread that made
 * it, until it is published. */
struct topology *topology_new(void);
struct topology *topology_ref(struct topology *t);
void topology_unref(struct topology *t); /* accepts NULL */
/* Append a region; returns its index. `name` is copied. */
uint16_t topology_add_region(struct topology *t, const char *name);
/* Set coordinates (degrees) and the unit vector that follows from them. */
void region_set_location(struct region *r, double lat, double lon);
/* Append a node to the region added last. `live` may be NULL (one is made; tests). */
struct node *topology_add_node(struct topology *t, const char *host, uint16_t port,
			       struct node_live *live);
void topology_add_override(struct topology *t, enum override_kind kind, const char *value,
			   uint16_t region, int64_t until_us);

/* Strings are copied; `dbname` may be NULL. */
void topology_add_authority(struct topology *t, const char *database, const char *place,
			    const char *dbname, int64_t epoch);
void topology_clear_authorities(struct topology *t);
/* NULL: nothing was decided of it. */
const struct authority *topology_authority(const struct topology *t, struct slice database);
/* Whether it lets sessions be on that node (`a` may be NULL). */
bool authority_has(const struct authority *a, const struct topology *t, const struct node *n);

/* Index by name, provider prefixes (gcp-, aws-, azure-, az-, fly-, scalingo-) ignored on both
 * sides, case folded; -1 where there is none. An exact match wins over one that ignores a prefix.
 */
int topology_region_by_name(const struct topology *t, struct slice name);
/* The same, or else the region with a location that is nearest to that known cloud region; -1: it
 * is not known either. */
int topology_region_near(const struct topology *t, const char *name);
/* By "host:port" as configured; NULL where there is none. */
const struct node *topology_node_by_name(const struct topology *t, struct slice name);
const struct node *topology_node_by_live(const struct topology *t, const struct node_live *live);
/* Deep copy with one reference: the next snapshot is made from the last one. */
struct topology *topology_dup(const struct topology *t);

/* Lag including the age of the sample (silence is staleness): microseconds, 0 for a primary, -1
 * where nothing is known. */
int64_t node_lag_us(const struct node *n, int64_t now_us);
/* The state with the stale-sample rule applied. */
enum node_state node_state_at(const struct topology *t, const struct node *n, int64_t now_us);
/* May take new sessions now: not drained, not down, region not drained. */
bool node_usable(const struct topology *t, const struct node *n, int64_t now_us);
/* Region: not drained and at least one node usable. */
bool region_usable(const struct topology *t, uint16_t region, int64_t now_us);

/* Another writable primary has the same system identifier and a higher timeline: this one was left
 * behind by a fail-over and must not take writes, whatever it believes. */
bool node_fenced(const struct topology *t, const struct node *n);

const char *node_state_name(enum node_state s); /* "unknown", "up", "suspect", "down" */
const char *node_role_name(enum node_role r);   /* "unknown", "primary", "standby", "multi" */
const char *node_kind_name(enum node_kind k);   /* "unknown", "postgres", "citus", "cockroachdb" */

#endif
