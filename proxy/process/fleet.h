/* SPDX-License-Identifier: PostgreSQL
 *
 * The other proxies of the fleet, as part of the world: a snapshot of the option `peers` with the
 * addresses that its names have now. The counters of a peer outlive snapshots and reloads. It knows
 * nothing of requests; proxy/cancel/peers.h hands those on.
 */
#ifndef PROXY_PROCESS_FLEET_H
#define PROXY_PROCESS_FLEET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/snapshot.h"

struct resolver;
struct topology;

enum peer_state { PEER_UNKNOWN, PEER_UP, PEER_DOWN };

#define PEER_ERROR_MAX 160

/* Shared by all threads. */
struct peer {
	struct refcount refs;
	uint16_t id;
	char *name; /* "host:port" */
	_Atomic uint64_t forwarded, received, failed;
	atomic_int state;           /* enum peer_state: how the last request went */
	_Atomic int64_t hung_at_us; /* monotonic: when a request last timed out; 0: never */
	pthread_mutex_t lock;       /* of the fields below */
	char last_error[PEER_ERROR_MAX];
};

struct fleet {
	struct refcount refs;
	struct topology *nodes; /* a node for each peer, in the order of `peers` */
	size_t n;
	struct peer **peers; /* one reference each */
};

/* From the items of the option ("2=host:port"); peers that `old` (may be NULL) has too stay the
 * same objects. Each takes the next id of nodes, *last_node_id. */
struct fleet *fleet_new(const struct strlist *items, const struct fleet *old,
			uint32_t *last_node_id);
/* A copy with the addresses that the resolver has found. */
struct fleet *fleet_resolved(const struct fleet *f, const struct resolver *r);
struct fleet *fleet_ref(struct fleet *f);
void fleet_unref(struct fleet *f); /* accepts NULL */
/* The index of the peer with this number; -1: there is none. `f` may be NULL. */
int fleet_find(const struct fleet *f, uint16_t id);

void peer_succeeded(struct peer *p);
/* `hung_at_us`: when nothing came within the time, so that nothing is likely to come the next time
 * either; 0: it failed otherwise. */
void peer_failed(struct peer *p, const char *reason, int64_t hung_at_us);
/* Copies the reason of the last failure. */
void peer_last_error(struct peer *p, char to[PEER_ERROR_MAX]);
const char *peer_state_name(enum peer_state s);

#endif
