/* SPDX-License-Identifier: PostgreSQL
 *
 * The prober: knows of every node whether it answers, how fast, in which role and how far behind.
 * Lives on the control thread's loop and never blocks it: libpq's asynchronous interface with
 * resolved addresses, one kept connection per node. Without a role to log in with, or while a node
 * refuses that role, it makes bare handshakes: alive and round trip, no role.
 *
 * What it finds goes into a topology that is being built (prober_fill); the prober itself decides
 * nothing about routes. Nodes are known by the id of their node_live, so state survives a reload.
 */
#ifndef ROUTING_WATCH_PROBE_H
#define ROUTING_WATCH_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev/loop.h"
#include "routing/health.h"
#include "routing/sightings.h"
#include "routing/topology.h"

struct prober;

struct probe_conf {
	const char *conninfo; /* libpq words without a host; NULL or "": bare handshakes */
	/* What each region adds to it ("sslmode=verify-full sslrootcert=…"), by index; the array or
	 * an element may be NULL. Comes after conninfo and wins over it. */
	const char *const *region_conninfo;
	int64_t discover_interval_us; /* how often nodes are asked for others (node.discover) */
	struct health_conf health;    /* interval, rise, fall, backoff */
	int64_t timeout_us;           /* of one probe, connecting included */
};

/* What a login told about its node (ParameterStatus); -1, 0 and KIND_UNKNOWN are "not said". */
struct probe_learned {
	int in_hot_standby; /* 0 or 1 */
	int read_only;      /* default_transaction_read_only, 0 or 1 */
	int server_version; /* as server_version_num: 150020 */
	enum node_kind kind;
};

/* Something worth publishing: a change within 100 ms, mere new samples a few times per interval.
 * Called from the loop, never from inside a prober_ function. */
typedef void (*prober_changed_fn)(void *arg);

/* A node was asked for other nodes. `seen` (borrowed) NULL: its answer cannot be taken, and *e says
 * why. Called from the loop; what it leads to must not configure the prober before it returns. */
typedef void (*prober_discovered_fn)(void *arg, uint32_t live_id, enum discover_source source,
				     uint64_t system_id, const struct sightings *seen,
				     const struct err *e);

struct prober *prober_new(struct loop *l, prober_changed_fn changed, void *arg);
/* Who hears of what nodes say of others; `arg` is the one of prober_new(). */
void prober_on_discovered(struct prober *p, prober_discovered_fn discovered);
void prober_free(struct prober *p); /* closes every connection; accepts NULL */

/* Watch the nodes of `t` (borrowed for the call; everything needed is copied). Nodes that stay keep
 * their state and, where address and words are unchanged, their connection. New ones are probed at
 * once. Call it again when addresses change. */
void prober_configure(struct prober *p, const struct probe_conf *c, const struct topology *t);
/* A session attempt on the node failed before its client was told anything: up becomes suspect, and
 * it is probed at once by a new connection (not more often than every 200 ms). Unknown ids are
 * ignored. */
void prober_evidence(struct prober *p, uint32_t live_id, const char *why);
/* Something that a session has seen makes the node's role doubtful: its server has gone, or has
 * said that it is read-only or shutting down. The node is probed at once, as are, where it was a
 * primary, the others of its cluster, and often until one of them is. */
void prober_look(struct prober *p, uint32_t live_id);
/* A login said this; what it does not say stays as it was. Newer than the last sample, so it wins
 * until the next one. */
void prober_learned(struct prober *p, uint32_t live_id, const struct probe_learned *said);
/* Probe every node now, backoff or not. */
void prober_probe_now(struct prober *p);
/* Every node has answered or failed since it was added and since the last prober_probe_now();
 * `changed` is called when this becomes true. */
bool prober_round_done(const struct prober *p);
/* Write what is known into the nodes of a topology that is being built: state, role, kind,
 * read_only, probed, versions, timeline, system_id, times, lag, connections, reason. Nodes it does
 * not watch are left alone. */
void prober_fill(const struct prober *p, struct topology *t);

#endif
