/* SPDX-License-Identifier: PostgreSQL
 *
 * What the proxy lends to migrations: where the nodes are and how to connect to them, which proxy
 * this is, and the gate (migration/gate.h). Every function may be called from any thread of a
 * migration, and may wait; strings that are returned are the caller's to free.
 */
#ifndef MIGRATION_SITE_H
#define MIGRATION_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct gate_ops;
struct traffic;
struct redirect_ops;

#define SITE_NODES_MAX 16

struct site_node {
	char region[64];
	char name[288]; /* "host:port" as configured */
	char host[256]; /* name, address, or directory of a unix socket */
	uint16_t port;
	char kind[16]; /* "postgres", "citus", "cockroachdb", "unknown" */
	bool is_primary;
	bool is_usable;
};

/* The options of the configuration that migrations have. */
struct site_settings {
	int64_t lease_us;  /* an executor that was silent for so long may be replaced */
	char bindir[256];  /* where pg_dump and pg_restore are; "": the newest that can be found */
	bool crash_points; /* --crash-points was given: MERIDIAN_CRASH_AT is obeyed */
	/* Where what is known of authorities is kept for the next start; "": nowhere. */
	char authority_file[256];
};

struct site_ops {
	/* The nodes of a region, or the node of that name: those that take writes come first. How
	 * many; -1 and *e (42704) where there is no such region or node. */
	int (*nodes)(void *arg, const char *place, struct site_node v[SITE_NODES_MAX],
		     struct err *e);
	/* The names of all regions, in the order of the configuration. */
	void (*regions)(void *arg, struct strlist *out);
	/* A connection string for a connection of ours: migration_conninfo, the region's TLS, the
	 * node, the database. */
	char *(*conninfo)(void *arg, const struct site_node *n, const char *dbname);
	/* The same for a server that replicates from this node (migration_peer_conninfo). */
	char *(*peer_conninfo)(void *arg, const struct site_node *n, const char *dbname);
	/* The same for a server at `to` that replicates through Meridian from that place, which `n`
	 * is of (migration_through_conninfo); NULL: the servers there know no way to Meridian. */
	char *(*through_conninfo)(void *arg, const struct site_node *to, const struct site_node *n,
				  const char *place, const char *dbname);
	void (*settings)(void *arg, struct site_settings *out);
	/* What tells this proxy from the others of the fleet: stable while it runs, unique. */
	const char *(*proxy_id)(void *arg);
	/* Its own address and region, for the table of proxies. */
	const char *(*proxy_address)(void *arg);
	const char *(*proxy_region)(void *arg);
	/* That database is served there from now on (epoch grows with each change); place "" : as
	 * the configuration says. newdb: its name there. Returns when the route is in force. */
	void (*serve)(void *arg, const char *database, const char *place, const char *newdb,
		      int64_t epoch);
	/* The region that callers of that city are sent to, as the configuration has it (health
	 * does not count); NULL: the router does not know the city. */
	char *(*region_of_city)(void *arg, const char *city);
	/* Append the statements of sessions with that database that this proxy has looked at
	 * (migration/traffic.h), those with the most calls first, and set window_us; NULL, or
	 * nothing appended: not known. */
	void (*traffic)(void *arg, const char *database, struct traffic *out);
	const struct gate_ops *gate;
	const struct redirect_ops *redirects; /* NULL: no client is forwarded */
};

struct site {
	const struct site_ops *ops;
	void *arg;
};

#endif
