/* SPDX-License-Identifier: PostgreSQL
 *
 * What is measured, for monitoring systems: one table, from which every form of GET /metrics and
 * doc/metrics.md are made. Pure: everything comes in by struct metrics. proxy/http/scrape.c
 * gathers it, protocol/exposition.c knows how it is written.
 */
#ifndef PROXY_HTTP_METRICS_H
#define PROXY_HTTP_METRICS_H

#include "base/buf.h"
#include "protocol/exposition.h"
#include "proxy/process/stats.h"
#include "routing/topology.h"

/* The state of the process at one moment; borrowed. */
struct metrics {
	const struct stats *stats; /* summed over the workers */
	const struct topology *topology;
	int64_t now_us;         /* monotonic */
	int64_t started_at_us;  /* wall clock */
	int64_t cpu_us;         /* used so far */
	int64_t resident_bytes; /* -1 unknown */
	int64_t open_fds;       /* -1 unknown */
	int64_t max_fds;
	unsigned workers, clients, clients_max, streams;
	unsigned throttled, trusted; /* pairs of address and user */
	unsigned limited_users, limited_addresses;
};

/* Append all metrics. */
void metrics_put(struct buf *out, enum exposition_format format, const struct metrics *m);
/* Append the table of doc/metrics.md. */
void metrics_doc(struct buf *out);

#endif
