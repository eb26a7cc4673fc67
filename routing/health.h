/* SPDX-License-Identifier: PostgreSQL
 *
 * Up or down: samples and session failures in, state out. rise/fall counts, backoff of the probe
 * interval with jitter, EWMA of the round trip. Pure; one struct per node, owned by the prober.
 */
#ifndef ROUTING_HEALTH_H
#define ROUTING_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/topology.h"

struct health_conf {
	unsigned rise, fall;    /* good/bad probes in a row that change the state */
	int64_t interval_us;    /* between probes of a healthy node */
	int64_t max_backoff_us; /* of a node that is down */
};

struct health {
	enum node_state state;
	unsigned good, bad; /* in a row */
	int64_t rtt_us, connect_us;
	int64_t last_good_us, up_since_us;
	bool was_down;
};

/* What one probe found. */
struct health_sample {
	bool ok;
	int64_t rtt_us;     /* of a round trip on an open connection; 0: not measured */
	int64_t connect_us; /* of the TCP connect; 0: not measured */
	int64_t now_us;
};

/* EWMA with alpha 0.2 (MongoDB's server selection); the first sample is taken as it is. */
int64_t health_ewma(int64_t old_us, int64_t sample_us);
/* Returns true when the state changed. */
bool health_probe(struct health *h, const struct health_conf *c, const struct health_sample *s);
/* A session attempt failed before the client was told anything: up becomes suspect; the caller
 * probes at once. Returns true when the state changed. */
bool health_evidence(struct health *h, int64_t now_us);
/* The node is reached in another way from now on (its address, what TLS asks of it, the probe's
 * role): what brought it down says nothing of that. Returns true when the state changed. */
bool health_reconsider(struct health *h);
/* Microseconds until the next probe; `random` is any 32 random bits (jitter ±10 %). */
int64_t health_next_probe_us(const struct health *h, const struct health_conf *c, uint32_t random);

#endif
