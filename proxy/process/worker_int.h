/* SPDX-License-Identifier: PostgreSQL
 *
 * What a worker has: plain data, for all that runs on its thread. Its tables are opaque here; who
 * makes them knows them. How a worker begins and ends is proxy/workers.h.
 */
#ifndef PROXY_PROCESS_WORKER_INT_H
#define PROXY_PROCESS_WORKER_INT_H

#include <event2/event_struct.h>
#include <pthread.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/random.h"
#include "protocol/startup.h"
#include "proxy/process/readtally.h"
#include "proxy/process/worker.h"
#include "routing/route.h"
#include "routing/sticky.h"

#define WORKER_SCRATCH (128 * 1024)

struct cancel_keys;
struct canceler;
struct fingerprints;
struct listen_socket;
struct login;
struct pauses;
struct pools;
struct statement_table;
struct strikes;
struct tls_local;
struct vars_table;
struct verdicts;

enum listen_kind {
	LISTEN_TCP,
	LISTEN_UNIX,
	LISTEN_INHERITED /* TCP, tuned by the process that made it */
};

TAILQ_HEAD(session_list, session);
LIST_HEAD(canceler_list, canceler);
LIST_HEAD(rehearsal_list, rehearsal);

struct worker {
	struct meridian *process;
	struct loop *loop;
	struct mailbox *mail;
	struct world *world;       /* one reference */
	struct snapshot_slot slot; /* of struct world */
	char *scratch;             /* WORKER_SCRATCH bytes: all reading is done here (INV-2) */
	struct pauses *pauses;     /* NULL: nothing is paused */
	/* observers of every session of this worker: a set of 1 << enum observer_id */
	unsigned observers;
	struct stats stats; /* its head, with what the relay needs, in one page */
	struct random random;
	struct session_list states[STATS_STATES];
	struct session **slots;
	uint32_t *free_slots; /* slots without a session; the last one is taken first */
	uint32_t nslots, nfree;
	struct cancel_keys *keys;
	struct sticky *sticky;
	uint64_t sticky_config; /* config version for which `sticky` holds region indices */
	struct tls_local *tls;
	struct pools *pools;
	struct vars_table *vars;
	struct statement_table *texts;     /* the statements that sessions of pools have prepared */
	struct fingerprints *fingerprints; /* NULL: no statement was sampled yet */
	struct verdicts *verdicts;         /* NULL: no session has read nearby yet */
	readtally_list reads;              /* where its sessions' transactions went */
	struct buf rewritten;              /* scratch of pooled_rewrite() */
	struct listen_socket *sockets;
	size_t nsockets;
	struct event sweep;   /* deadlines; armed only while something has one */
	struct event pings;   /* of WebSockets; armed only while there is one */
	int64_t ending_at_us; /* when draining: when the remaining sessions are ended; 0: never */
	bool draining;        /* no new sessions */
	bool drain_idle;      /* … and sessions end as they become idle */
	bool done;            /* … and none is left: control was told */
	pthread_t thread;
	int id;
	atomic_uint nsessions;
	unsigned ncancels;                /* cancel requests under way */
	struct canceler_list cancelers;   /* … those to nodes */
	struct rehearsal_list rehearsals; /* logins that are being tried for a migration */
	unsigned unmoved;        /* sessions that failed in the last carrying-over of a migration */
	struct strikes *strikes; /* clients that ask to cancel sessions that do not exist */
	struct startup startup;  /* the packet that was parsed last: see worker_startup() */
	const struct login *startup_of; /* the login that it belongs to; NULL: none */
	struct route route;             /* scratch of route_decide() */
};

/* Where a startup packet can be parsed; what login_startup() has parsed there is forgotten. */
static inline struct startup *
worker_startup(struct worker *w)
{
	w->startup_of = NULL;
	return &w->startup;
}

/* A slot for a new session, and its slot back. */
uint32_t worker_take_slot(struct worker *w, struct session *s);
void worker_give_slot(struct worker *w, uint32_t slot);
/* During a drain: tell control when nothing is left for the worker to carry out. */
void worker_check_done(struct worker *w);

/* What the worker's life (proxy/workers.c) is asked by those whose life depends on it. */
struct worker_ops {
	/* A deadline was set: make sure that the sweep runs. */
	void (*arm_sweep)(struct worker *w);
	/* There is a new world. */
	void (*on_world)(struct worker *w);
	/* Before it starts: accept from this descriptor, later. */
	void (*accept_from)(struct worker *w, int take_fd, uint16_t listener,
			    enum listen_kind kind);
};
extern const struct worker_ops worker_ops;

static inline void
worker_arm_sweep(struct worker *w)
{
	worker_ops.arm_sweep(w);
}

#endif
