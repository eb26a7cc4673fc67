/* SPDX-License-Identifier: PostgreSQL
 *
 * What a database server says of the nodes of its cluster. Each source is one query of one kind of
 * server (discover_sql()), or what the cluster's manager says (routing/patroni.h); all of them
 * answer with the same columns, so that they are read by one parser: its name, its host, its port,
 * its place, whether it takes queries, and the server's own word for how it is. A row of such an
 * answer is a sighting. Pure.
 *
 * An answer is believed as a whole or not at all: one column that cannot be what it should be, and
 * nothing of it counts.
 *
 * Sources: PostgreSQL documentation, "pg_stat_replication", "pg_stat_wal_receiver"; Citus
 * documentation, "pg_dist_node"; CockroachDB documentation, "crdb_internal" (gossip_nodes);
 * YugabyteDB documentation, "yb_servers()"; Amazon Aurora documentation, "aurora_replica_status()".
 */
#ifndef ROUTING_SIGHTINGS_H
#define ROUTING_SIGHTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

enum discover_source {
	DISCOVER_REPLICATION,
	DISCOVER_CITUS,
	DISCOVER_COCKROACHDB,
	DISCOVER_YUGABYTE,
	DISCOVER_AURORA,
	DISCOVER_PATRONI, /* not a query: routing/patroni.h */
	DISCOVER_SOURCES
};

/* A set of sources, one bit each. */
#define DISCOVER_BIT(s) (1U << (s))
/* Those that are queries of nodes. */
#define DISCOVER_QUERIES (DISCOVER_BIT(DISCOVER_PATRONI) - 1)
/* … and what fits what the server is: replication, besides citus, or cockroachdb. */
#define DISCOVER_AUTO DISCOVER_BIT(DISCOVER_SOURCES)

/* "replication", …; the words of the option `discover`. */
const char *discover_source_name(enum discover_source s);
/* What the words of an option say together: sources, auto, off. */
unsigned discover_bits(const struct strlist *words);
bool discover_is_word(struct slice word);
/* The query of one of DISCOVER_QUERIES; its columns are those of enum sighting_column. */
const char *discover_sql(enum discover_source s);
/* Whether the nodes that it tells of are one cluster of PostgreSQL with the server that was asked:
 * they have its system identifier. */
bool discover_same_system(enum discover_source s);

enum sighting_column {
	SIGHTING_NAME,
	SIGHTING_HOST,
	SIGHTING_PORT,
	SIGHTING_PLACE,
	SIGHTING_SERVES,
	SIGHTING_STATE,
	SIGHTING_COLUMNS
};

#define SIGHTING_NAME_MAX  64
#define SIGHTING_HOST_MAX  254
#define SIGHTING_PLACE_MAX 128
#define SIGHTING_STATE_MAX 32
/* Rows of one answer. */
#define SIGHTINGS_MAX 1024

/* The state of a node of which the role that asks may see no more than its name. */
#define SIGHTING_HIDDEN "hidden"

struct sighting {
	char name[SIGHTING_NAME_MAX];   /* application_name, server_id, …; "": it has none */
	char host[SIGHTING_HOST_MAX];   /* name or address, without brackets; "": not told */
	uint16_t port;                  /* 0: not told */
	char place[SIGHTING_PLACE_MAX]; /* a region in the server's words; "": not told */
	bool serves;                    /* takes queries, as the source says */
	char state[SIGHTING_STATE_MAX];
};

struct sightings {
	struct sighting *v;
	size_t n;
};

/* Append a row: its columns as text, `p` NULL where they are null. A row that neither names a host
 * nor anything that could be mapped to one, and one that was there already, are left out. -1 and *e
 * (the sightings are to be thrown away): the row cannot be what was asked for, or there are more
 * than SIGHTINGS_MAX. */
int sightings_add(struct sightings *list, const struct slice columns[SIGHTING_COLUMNS],
		  struct err *e);
void sightings_fini(struct sightings *list);

/* The address of what was seen: what `address_map` says ("PATTERN=HOST[:PORT]", of which the first
 * that matches counts); else its name, where that is HOST:PORT itself; else its host, with the port
 * that was told or 5432. A pattern is one of fnmatch(3), of any case, or a block of addresses
 * (CIDR); it is compared with the name, the host and host:port. False: there is none. The host has
 * no brackets. */
bool sighting_address(const struct sighting *s, const struct strlist *address_map,
		      char host[SIGHTING_HOST_MAX], uint16_t *port);
/* The region that `locality_map` ("PATTERN=REGION") says; it is compared with the place as well.
 * Else its place. NULL: neither. */
const char *sighting_place(const struct sighting *s, const struct strlist *locality_map);

#endif
