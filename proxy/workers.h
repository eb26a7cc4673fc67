/* SPDX-License-Identifier: PostgreSQL
 *
 * The life of a worker, for main, control and the accepting: made, started, drained, ended. What it
 * has meanwhile, and everybody on its thread uses, is proxy/process/worker_int.h.
 */
#ifndef PROXY_WORKERS_H
#define PROXY_WORKERS_H

#include <event2/event_struct.h>

#include "proxy/process/worker_int.h"

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

/* accept.c. Before it starts: accept from this descriptor, later. */
void accept_from(struct worker *w, int take_fd, uint16_t listener, enum listen_kind kind);
/* On its own thread. */
void accept_begin(struct worker *w);
/* No new clients. The proxies of the fleet may still ask for sessions that go on. */
void accept_stop(struct worker *w);
void accept_fini(struct worker *w);

/* Any thread: accept no more. Sessions end by themselves, as soon as they are idle where
 * `drain_idle`, and all of them after grace_us (negative: never). With the last of them control is
 * told, and ends the loop when every worker is done. */
void worker_drain(struct worker *w, bool drain_idle, int64_t grace_us);
/* Any thread: end the sessions attached to a node (node "": all of the region), WHY_DRAINED. */
void worker_evict(struct worker *w, const char *region, const char *node);

#endif
