/* SPDX-License-Identifier: PostgreSQL
 *
 * Shared inside the prober only: probe.c (the set of nodes, publication), probe_node.c (a probe's
 * beginning and end), probe_bare.c and probe_query.c (what happens between), probe_facts.c (what is
 * asked in SQL, and what the answer means), probe_discover.c (what a node says of others).
 */
#ifndef ROUTING_WATCH_PROBE_INT_H
#define ROUTING_WATCH_PROBE_INT_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/log.h"
#include "routing/lag.h"
#include "routing/watch/probe.h"

/* What a probe is doing. WAITING is between probes; the others end by an event or by the timeout.
 */
/* clang-format off */
#define WATCH_TO(s) (1U << WATCH_##s)
#define WATCH_STATES(S)                                                                            \
	S(WAITING, "waiting", WATCH_TO(ADDRESS) | WATCH_TO(CONNECT) | WATCH_TO(LOGIN) | WATCH_TO(PING)) \
	S(ADDRESS, "waiting for an address", WATCH_TO(WAITING))                                    \
	S(CONNECT, "connecting", WATCH_TO(CONNECT) | WATCH_TO(ANSWER) | WATCH_TO(WAITING))         \
	S(ANSWER, "waiting for an answer", WATCH_TO(CONNECT) | WATCH_TO(WAITING))                  \
	S(LOGIN, "logging in", WATCH_TO(PING) | WATCH_TO(CONNECT) | WATCH_TO(WAITING))             \
	S(PING, "measuring", WATCH_TO(PING) | WATCH_TO(FACTS) | WATCH_TO(LOGIN) | WATCH_TO(WAITING))                \
	S(FACTS, "asking", WATCH_TO(FACTS) | WATCH_TO(HISTORY) | WATCH_TO(CITUS) | WATCH_TO(DISCOVER) | WATCH_TO(LOGIN) | WATCH_TO(WAITING)) \
	S(HISTORY, "asking for its history", WATCH_TO(CITUS) | WATCH_TO(DISCOVER) | WATCH_TO(LOGIN) | WATCH_TO(WAITING)) \
	S(CITUS, "asking Citus", WATCH_TO(DISCOVER) | WATCH_TO(LOGIN) | WATCH_TO(WAITING)) \
	S(DISCOVER, "asking for other nodes", WATCH_TO(DISCOVER) | WATCH_TO(LOGIN) | WATCH_TO(WAITING))

enum watch_state {
#define S(id, label, to) WATCH_##id,
	WATCH_STATES(S)
#undef S
	WATCH_STATE_COUNT
};
/* clang-format on */

/* How much is asked; a server that refuses one level is asked the next, until it is connected to
 * anew. */
enum facts_level { FACTS_FULL, FACTS_CORE, FACTS_NONE, FACTS_COCKROACHDB };

struct probe_facts {
	int64_t at_us; /* 0: never known */
	enum node_kind kind;
	bool recovery, read_only, receiving;
	bool multi; /* takes writes beside others */
	uint64_t system_id, lsn, received;
	uint32_t timeline;
	int64_t replay_age_us;
	int max_connections, used_connections; /* 0 unknown */
	int server_version;
};

/* One node being watched. */
struct watch {
	struct prober *prober;
	uint32_t id;
	char *name, *host;
	uint16_t port;
	char *region_words; /* NULL: none */
	struct addr addrs[NODE_ADDRS_MAX];
	uint8_t naddrs;

	enum watch_state state;
	struct event timer; /* WAITING: the next probe; else the end of patience */
	struct event io;
	PGconn *conn; /* kept between probes */
	int fd;       /* of a bare handshake, -1 */
	enum facts_level level;
	unsigned first_addr, tried; /* which address is tried first, how many have been */
	unsigned pings;             /* round trips of this probe */
	bool kept;                  /* this probe began on a connection that stood already */
	bool lost; /* a connection that had stood broke since the last good probe */
	int64_t began_us, step_us;
	struct health_sample sample; /* of the probe under way */
	PGresult *result;            /* first one of the query under way */
	size_t heard;                /* since the probe began, or ended */

	int64_t login_after_us; /* the role was refused: bare handshakes until then */
	struct health health;
	struct probe_facts facts, coming; /* … and those that are being asked for */
	struct timeline_ends ends;        /* in front of its timeline, where that is known */
	uint32_t history_of;         /* the timeline whose history this connection was asked for */
	unsigned discover;           /* sources that it is asked about other nodes */
	unsigned sources_left;       /* of them, those not asked yet this time */
	enum discover_source source; /* the one under way */
	enum node_role role_asked;   /* its role when it was asked */
	int64_t discovered_us;       /* when it was asked; 0: never */
	struct probe_learned said;   /* by logins of sessions */
	int64_t said_at_us;
	int64_t
	    hurry_until_us; /* its cluster has lost its primary: it is probed often until then */
	struct lag_marks marks; /* while it is a primary */
	struct lag lag;         /* while it is a standby */
	uint32_t twin; /* timeline of the primary that this one was last found to be behind */
	bool answered; /* in the round under way */
	bool stays;    /* prober_configure(): still in the topology */
	char reason[128];
};

struct prober {
	struct loop *loop;
	prober_changed_fn changed;
	prober_discovered_fn discovered; /* or NULL */
	void *arg;
	int64_t discover_interval_us;
	char *conninfo; /* NULL: bare handshakes */
	struct health_conf health;
	int64_t timeout_us;
	struct watch **watches; /* in the order of the topology */
	size_t nwatches;
	struct event publish;
	int64_t publish_at_us, published_at_us; /* 0: nothing to publish */
	bool round_told;
	uint64_t dice;
};

enum probe_news {
	NEWS_SAMPLE, /* the same as before, measured again */
	NEWS_CHANGE, /* state, role, a failure */
};

/* probe.c */
void prober_note(struct prober *p, enum probe_news news);
struct log_subject watch_subject(const struct watch *w);

/* probe_node.c */
struct watch *watch_new(struct prober *p, const struct node *n);
void watch_free(struct watch *w);
/* The primary of its cluster may be gone: probe all of its nodes now, and often for a while, until
 * one of them is a primary. */
void watch_hurry(struct watch *w);
/* Begin a probe now, or as soon as the last one is 200 ms old. One under way is left to end. */
void watch_soon(struct watch *w);
/* What is known of the address or the words has changed: a kept connection is given up, a verdict
 * reached without them is open again. */
void watch_forget_connection(struct watch *w);
void watch_resume(struct watch *w); /* an address has come */

/* For probe_bare.c and probe_query.c: move on, wait for a descriptor, end the probe. */
void watch_enter(struct watch *w, enum watch_state to);
void watch_wait_for(struct watch *w, int fd, short what, event_callback_fn fn);
void watch_finish(struct watch *w, bool ok);
void watch_fail(struct watch *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It could not even be tried, for want of something of our own: no word against the node. */
void watch_skip(struct watch *w, const char *why);
void watch_drop_socket(struct watch *w);
void watch_drop_connection(struct watch *w);
/* In front of reading from w->conn. False: it has said too much, and the probe has failed. */
bool watch_hear(struct watch *w);

/* probe_bare.c */
void watch_handshake(struct watch *w);

/* probe_query.c */
void watch_log_in(struct watch *w);
void watch_ping(struct watch *w); /* on the connection that stands */

void watch_ask(struct watch *w, enum watch_state state, const char *sql);

/* probe_discover.c */
/* Behind the facts: ask for other nodes if it is time to, else end the probe. */
void watch_discover(struct watch *w);
void discover_take(struct watch *w, const PGresult *res); /* and go on */

/* Whether an errno is about a resource of this process or machine: descriptors, memory, ports. */
bool probe_is_our_fault(int error);
bool login_is_our_fault(const char *why); /* the same, of a message */

/* probe_facts.c */
enum facts_level facts_first_level(const PGconn *conn);
extern const char *const facts_sql[]; /* by level; NULL: nothing to ask */
/* A node that has Citus' metadata takes writes, be it the coordinator or a worker. */
extern const char facts_citus_sql[];
/* Append what asks for the history file of a timeline: NULL where the role may not read it. */
void facts_put_history(struct buf *sql, uint32_t timeline);
/* False where the answer is not what was asked for. */
bool facts_read(struct probe_facts *f, const PGresult *res, enum facts_level level);
/* Whether an error means that this level is beyond the role or the server. */
bool facts_is_beyond(const char *sqlstate);
/* Bring lag, marks and roles up to date after new facts of `w`. */
void facts_apply(struct watch *w, int64_t now_us);
enum node_role facts_role(const struct watch *w, int64_t now_us);
bool facts_is_primary(const struct watch *w);
/* Whether a node of its cluster, by the system identifier, is up as a primary. */
bool facts_has_primary(const struct watch *w);

#endif
