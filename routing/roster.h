/* SPDX-License-Identifier: PostgreSQL
 *
 * The roster: the nodes that were discovered, beside those that are configured. Answers of sources
 * go in (routing/sightings.h), each mapped to an address and a region; out comes which nodes there
 * are, and in which state each is:
 *
 *   new ──probed──▸ used ──told by no source──▸ missing ──grace──▸ gone ──no session──▸ forgotten
 *                    ▴─────────told again──────────┘ (from gone as well)
 *
 * Only what is used or missing gets new sessions. An answer that leaves out several of the nodes
 * that its source has told before, and more of them than is allowed, changes nothing and raises an
 * alarm (roster_believe). Pure: the time comes in; not shared between threads.
 */
#ifndef ROUTING_ROSTER_H
#define ROUTING_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/snapshot.h"
#include "routing/sightings.h"

enum found_state { FOUND_NEW, FOUND_USED, FOUND_MISSING, FOUND_GONE };

/* A node as one source has told it, with its address and region decided. */
struct told_node {
	char
	    *name; /* "host:port", as node_name_of() writes it; the source's own where host is "" */
	char *host; /* "": its address is not known, so it is only shown */
	uint16_t port;
	char *region;
	bool serves;
	char state[SIGHTING_STATE_MAX]; /* in the source's words */
};

/* One server that is asked one question. */
struct roster_source {
	char *node; /* its name */
	enum discover_source kind;
	int64_t asked_us; /* when it last answered anything; monotonic */
	struct told_node *told;
	size_t ntold;
	const struct told_node **by_name; /* of `told`, each name once */
	size_t nnames;
	char alarm[160]; /* why its last answer was not taken; "": it was */
};

struct found_node {
	struct told_node is; /* as the first source that tells of it says: */
	enum discover_source kind;
	char *asked; /* the name of the node that was asked */
	enum found_state state;
	uint64_t system_id; /* that it has to have; 0: any */
	int64_t since_us;   /* when it was first told */
	int64_t told_us;    /* when it was last told */
	unsigned tellers;   /* sources that tell of it */
	char why[96];       /* why it is not used; "": it is */
};

struct roster {
	struct refcount refs;
	struct roster_source *sources; /* by the names of their nodes */
	size_t nsources;
	struct found_node *found; /* as they came */
	size_t nfound;
	uint32_t *by_name; /* indices of `found` */
};

struct roster_conf {
	unsigned
	    min_keep_pct; /* of what a source has told, this much has to stay where several go */
	int64_t grace_us; /* from missing to gone */
};

/* Nodes of one roster, of all its sources. */
#define ROSTER_MAX 4096

enum roster_news {
	ROSTER_SAME,
	ROSTER_CHANGED, /* a node has come, or has another state, place or address; or an alarm is
			   over */
	ROSTER_REFUSED, /* the answer was not taken: the source's alarm is new */
};

struct roster *roster_new(void);
/* A deep copy, for a snapshot. */
struct roster *roster_dup(const struct roster *r);
struct roster *roster_ref(struct roster *r);
void roster_unref(struct roster *r); /* accepts NULL */

/* The node of that name answered what a source asks; `told` is copied. */
enum roster_news roster_take(struct roster *r, const struct roster_conf *c, const char *node,
			     enum discover_source kind, uint64_t system_id,
			     const struct told_node *told, size_t n, int64_t now_us);
/* It answered nothing that can be taken. */
enum roster_news roster_complain(struct roster *r, const char *node, enum discover_source kind,
				 const char *why, int64_t now_us);
/* A probe of a found node: whether it answers, and with which system identifier (0: not known).
 * True: its state has changed. */
bool roster_probed(struct roster *r, const char *name, bool up, uint64_t system_id);
/* Let time pass: what is missing for too long is gone, what is gone and has no session
 * (`has_sessions`) is forgotten. True: something has changed. */
bool roster_tick(struct roster *r, const struct roster_conf *c, int64_t now_us,
		 bool (*has_sessions)(void *arg, const struct found_node *f), void *arg);
/* Keep only the sources for which `keeps` is true; what only others have told is missing from then
 * on. True: something has changed. */
bool roster_keep_sources(struct roster *r, bool (*keeps)(void *arg, const struct roster_source *s),
			 void *arg, int64_t now_us);
/* The operator says that the sources are right: an answer that was refused is taken the next time.
 */
void roster_believe(struct roster *r);

/* By its name; NULL: it is not known. */
const struct found_node *roster_find(const struct roster *r, const char *name);
/* Why the last answer of that source was not taken; "": it was. */
const char *roster_alarm(const struct roster *r, const char *node, enum discover_source kind);
const char *found_state_name(enum found_state s);
/* Whether new sessions may go there. */
bool found_usable(const struct found_node *f);

#endif
