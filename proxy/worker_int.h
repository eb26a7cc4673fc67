/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of a worker, for proxy/worker.c, proxy/session and main alone.
 */
#ifndef PROXY_WORKER_INT_H
#define PROXY_WORKER_INT_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/random.h"
#include "proxy/session/session_int.h"
#include "proxy/worker.h"
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

TAILQ_HEAD(session_list, session);
LIST_HEAD(canceler_list, canceler);
LIST_HEAD(rehearsal_list, rehearsal);

struct worker {
	struct meridian *process;
	struct loop *loop;
	struct mailbox *mail;
	struct world *world;       /* one reference */
	struct snapshot_slot slot; /* of struct world */
	char *scratch;             /* WORKER_SCRATCH bytes: whatever is read, is read here */
	struct pauses *pauses;     /* NULL: nothing is paused */
	unsigned observers;        /* of every session here: a set of 1 << enum observer_id */
	struct stats stats;        /* its head, with what the relay needs, in one page */
	struct random random;
	struct session_list states[SESSION_STATE_COUNT];
	struct session **slots;
	uint32_t *free_slots; /* those of nobody; the last one is taken first */
	uint32_t nslots, nfree;
	struct cancel_keys *keys;
	struct sticky *sticky;
	uint64_t sticky_config; /* config version for which `sticky` holds region indices */
	struct tls_local *tls;
	struct pools *pools;
	struct vars_table *vars;
	struct statement_table *texts;     /* what sessions of pools have prepared */
	struct fingerprints *fingerprints; /* NULL: no statement was to be looked at yet */
	struct buf rewritten;              /* scratch of pooled_rewrite() */
	struct listen_socket *sockets;
	size_t nsockets;
	struct event sweep;   /* deadlines; armed only while something has one */
	struct event pings;   /* of WebSockets; armed only while there is one */
	int64_t ending_at_us; /* draining: when those that remain are ended; 0: never */
	bool draining;        /* no new sessions */
	bool drain_idle;      /* … and sessions end as they become idle */
	bool done;            /* … and none is left: control knows */
	pthread_t thread;
	int id;
	atomic_uint nsessions;
	unsigned ncancels;                /* cancel requests on their way */
	struct canceler_list cancelers;   /* … those to nodes */
	struct rehearsal_list rehearsals; /* logins that are tried for a migration */
	unsigned unmoved;        /* sessions that what was carried over last had to leave behind */
	struct strikes *strikes; /* who asks for sessions that there are not */
	struct startup startup;  /* the packet that was read last: worker_startup() */
	const struct login *startup_of; /* whose it is; NULL: of none that can be told */
	struct route route;             /* scratch of route_decide() */
};

/* One listening socket of a worker. */
struct listen_socket {
	struct event ev;
	struct worker *worker;
	int fd;
	uint16_t listener;  /* index in config->listeners */
	uint8_t kind;       /* enum listen_kind */
	uint64_t tuned;     /* version of the configuration by which it is; 0: it is not */
	uint64_t turn;      /* of the loop in which connections were last accepted … */
	unsigned most;      /* … at most so many of them, */
	bool more;          /* and there were so many */
	struct event pause; /* after EMFILE: try again */
};

enum listen_kind { LISTEN_TCP, LISTEN_UNIX, LISTEN_INHERITED /* TCP, tuned by whoever made it */ };

struct worker *worker_new(struct meridian *process, int id, struct world *take_world);
void worker_free(struct worker *w);
int worker_start(struct worker *w);
void worker_join(struct worker *w);
/* Any thread: end its loop. */
void worker_stop(struct worker *w);
/* After it was joined: deliver the letters that its loop did not see. True where there were any. */
bool worker_deliver(struct worker *w);
/* Any thread: leave a new world (takes the reference). The worker finds it when it next needs one;
 * `wake` has it look now, for what sessions that sit idle must obey too. */
void worker_publish(struct worker *w, struct world *take_world, bool wake);

/* Those that the session has: a set of 1 << enum observer_id. */
static inline unsigned
session_observers_of(const struct session *s)
{
	return s->observers | s->worker->observers;
}

/* Where a startup packet can be read; what login_startup() has read there is forgotten. */
static inline struct startup *
worker_startup(struct worker *w)
{
	w->startup_of = NULL;
	return &w->startup;
}

/* accept.c. Before it starts: accept from this descriptor, later. */
void accept_from(struct worker *w, int take_fd, uint16_t listener, enum listen_kind kind);
/* On its own thread. */
void accept_begin(struct worker *w);
/* No new clients. The proxies of the fleet may still ask for sessions that go on. */
void accept_stop(struct worker *w);
void accept_fini(struct worker *w);

uint32_t worker_take_slot(struct worker *w, struct session *s);
void worker_give_slot(struct worker *w, struct session *s);
/* While draining: tell control where nothing is left that it has to carry out. */
void worker_check_done(struct worker *w);
/* Something has a deadline now: see that the sweep runs. */
void worker_arm_sweep(struct worker *w);
/* Any thread: accept no more. Sessions end by themselves, as soon as they are idle where
 * `drain_idle`, and all of them after grace_us (negative: never). With the last of them control is
 * told, and ends the loop when every worker is done. */
void worker_drain(struct worker *w, bool drain_idle, int64_t grace_us);
/* Any thread: end the sessions attached to a node (node "": all of the region), WHY_DRAINED. */
void worker_evict(struct worker *w, const char *region, const char *node);

#endif
