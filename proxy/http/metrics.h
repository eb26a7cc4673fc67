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
#include "proxy/process/readtally.h"
#include "proxy/process/stats.h"
#include "routing/topology.h"

/* The state of the process at one moment; borrowed. */
struct metrics {
	const struct stats *stats;     /* summed over the workers … */
	const struct readtally *reads; /* … and so are these; NULL: none */
	const struct topology *topology;
	int64_t now_us; /* monotonic */
	/* values that are told as they are; below 0: unknown */
	double started_at_s; /* wall clock */
	double cpu_s;        /* used so far */
	double resident_bytes, open_fds, max_fds;
	double workers, clients, clients_max, streams;
	double throttled, trusted; /* pairs of address and user */
	double limited_users, limited_addresses;
};

/* Append all metrics. */
void metrics_put(struct buf *out, enum exposition_format format, const struct metrics *m);
/* Append the table of doc/metrics.md. */
void metrics_doc(struct buf *out);

#endif
