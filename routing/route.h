/* SPDX-License-Identifier: PostgreSQL
 *
 * The decision: route_decide() orders every region for a caller, with score, verdict and reason,
 * and says in which order nodes are to be tried. Pure and deterministic: the same input gives the
 * same answer, and every region stands in it once (INV-15). Formula: great-circle distance on unit
 * vectors, times the region's bias (Route 53's geoproximity rule), plus load; or round-trip time;
 * or both (DESIGN section 2).
 */
#ifndef ROUTING_ROUTE_H
#define ROUTING_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/locality.h"
#include "routing/topology.h"

enum nearest { NEAREST_CALLER, NEAREST_PROXY, NEAREST_BLEND };

/* libpq's target_session_attrs words. */
enum access {
	ACCESS_ANY,
	ACCESS_READ_WRITE,
	ACCESS_READ_ONLY,
	ACCESS_PRIMARY,
	ACCESS_STANDBY,
	ACCESS_PREFER_STANDBY,
};

extern const char *const access_words[], *const nearest_words[];

/* Why a region stands where it stands. The text shown is made from the code (route_reason_text). */
enum route_reason {
	REASON_NAMED,      /* the caller or the operator named it */
	REASON_SELF,       /* nothing is known of the caller: where this proxy stands */
	REASON_NEAREST,    /* best score; on a standby row: nearer than what hysteresis kept */
	REASON_FARTHER,    /* usable, but another is nearer */
	REASON_STICKY,     /* hysteresis kept it */
	REASON_DRAINED,    /* DRAIN REGION, or all its nodes drained */
	REASON_DOWN,       /* all its nodes are down */
	REASON_NO_ROLE,    /* no node with the wanted access */
	REASON_LAGGING,    /* its standbys are over max_lag */
	REASON_FAILBACK,   /* up again, but failback_delay has not passed */
	REASON_FULL,       /* every node at its connection limit */
	REASON_NOT_SERVED, /* not in the database's list of regions */
	REASON_RESIDENCY,  /* residency = strict forbids it */
	REASON_SUSPECT,    /* only suspect nodes: last resort */
	REASON_NO_NODES,
	REASON_STRICT,      /* the nearest region is strict: nothing spills over */
	REASON_SERVES,      /* a migration has decided that it serves the database, alone */
	REASON_MOVED,       /* … that another does */
	REASON_LAST_RESORT, /* all its nodes are down, and tried all the same: there is no other */
};

enum route_verdict { VERDICT_CHOSEN, VERDICT_STANDBY, VERDICT_REJECTED };

const char *route_verdict_name(enum route_verdict v); /* "chosen", "standby", "rejected" */

struct route_row {
	uint16_t region;
	int node; /* the node that would be used there (index), -1 none */
	enum route_verdict verdict;
	enum route_reason reason;
	double distance_km; /* -1 unknown */
	int64_t rtt_us;     /* -1 unknown */
	int64_t lag_us;     /* -1 unknown */
	int serves;         /* who does where the reason is REASON_MOVED: a region; -1: none here */
	double load;  /* sessions on the region's usable nodes / their limit, 0 where unknown */
	double score; /* km-equivalents; lower is better; -1 for a rejected region, or where
			 no distance and no round trip is known */
};

#define ROUTE_REGIONS_MAX 256
#define ROUTE_NODES_MAX   64

struct route_input {
	const struct topology *topology;
	const struct locality *locality;
	enum nearest nearest;
	double blend; /* weight of distance in [0,1] for NEAREST_BLEND */
	enum access access;
	bool residency_strict;
	const uint16_t *served; /* regions of the database, or NULL: all */
	size_t nserved;
	const struct authority *authority; /* who alone serves it, or NULL; wins over `served` */
	int sticky_region;                 /* region this caller had last (hysteresis), or -1 */
	bool last_resort; /* where nothing else is left, try what probes have found down */
	uint64_t seed;    /* breaks ties between equal nodes; same caller, same seed */
	int64_t now_us;
};

/* What became of a decision. */
enum route_outcome {
	ROUTE_NEAREST, /* the region that it would be if all were well */
	ROUTE_KEPT,    /* the region of last time: no other was better by enough */
	ROUTE_SPILLED, /* another: the nearest was down, drained, full, behind or slow */
	ROUTE_NONE,    /* no region could take the session */
	ROUTE_OUTCOMES
};

const char *route_outcome_name(enum route_outcome o); /* "nearest", "kept", "spilled", "none" */

/* What an outcome is told by. */
struct route_home {
	int nearest; /* region that would come first if all that may serve were well, or -1 */
	int kept;    /* region that hysteresis put first, or -1 */
};

struct route {
	struct route_row
	    rows[ROUTE_REGIONS_MAX]; /* in route order: chosen, standby …, rejected … */
	uint16_t nrows;
	uint16_t nodes[ROUTE_NODES_MAX]; /* node indices in the order to try */
	uint16_t nnodes;                 /* 0: nothing can take this session. Those of rejected
					    regions: REASON_LAST_RESORT */
	struct route_home home;
};

/* What it means for the session to be attached in that region. */
enum route_outcome route_outcome(const struct route_home *h, uint16_t region);
void route_decide(const struct route_input *in, struct route *out);

/* "nearest to the caller", "all nodes down: connection refused" …; at most `size` bytes with the
 * NUL. */
void route_reason_text(const struct topology *t, const struct route_row *row, int64_t now_us,
		       char *to, size_t size);
/* Great-circle distance of two unit vectors, kilometres (mean Earth radius 6371 km). */
double route_distance_km(const double a[3], const double b[3]);
/* A distance with a region's bias (Route 53's geoproximity rule): attracts where positive, repels
 * where negative. */
double route_biased_km(double km, int bias);
/* Whether a node with this role (and read_only) satisfies the wish; unknown roles do, after known
 * ones. */
bool route_role_fits(const struct node *n, enum access want);

#endif
