/* SPDX-License-Identifier: PostgreSQL
 *
 * A worker: one thread with its own event loop, listening sockets (SO_REUSEPORT), sessions and
 * counters. A session lives and dies on one worker. Functions here are for the worker's own thread
 * unless marked "any thread".
 */
#ifndef PROXY_PROCESS_WORKER_H
#define PROXY_PROCESS_WORKER_H

#include "base/ev/loop.h"
#include "base/ev/mailbox.h"
#include "proxy/process/meridian.h"
#include "proxy/process/readtally.h"
#include "proxy/process/stats.h"
#include "proxy/process/world.h"

struct fingerprints;
struct session;
struct worker;

/* Any thread. */
struct meridian *worker_process(struct worker *w);
int worker_id(const struct worker *w); /* 1 … nworkers */
const struct stats *worker_stats(const struct worker *w);
const readtally_list *worker_reads(const struct worker *w);
void worker_post(struct worker *w, struct letter *take_letter,
		 letter_fn deliver); /* owner: the worker */
/* The number of sessions, not exactly. */
unsigned worker_nsessions(const struct worker *w);

/* The newest world (takes what control has left in the slot). Borrowed until the caller returns to
 * the loop, unless it takes a reference. */
struct world *worker_world(struct worker *w);
struct loop *worker_loop(struct worker *w);
/* The statements that ran through the worker; NULL: none was sampled. */
const struct fingerprints *worker_fingerprints(const struct worker *w);

/* Sessions by slot, for listings that yield: slots run from 0 to worker_nslots() - 1, a free one is
 * NULL; a session keeps its slot until it ends. */
unsigned worker_nslots(const struct worker *w);
struct session *worker_session_at(const struct worker *w, unsigned slot);

#endif
