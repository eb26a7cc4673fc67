/* SPDX-License-Identifier: PostgreSQL
 *
 * Sessions of a whole worker, client and nodes both played by the input: a list of steps, each a
 * byte that says what happens, and for some a length and that many bytes. The client is a
 * socketpair, the nodes listen on unix sockets in a directory of its own. The database that the
 * client names says who authenticates it, and whether it gets a connection of a pool; it can prove
 * itself as it is asked to. Whatever happens in whatever order, when all sides have left nothing
 * stays behind: no session, no connection, no cancel request, no count. And however much either
 * side says, or does not read, what a session keeps of it is bounded after every step.
 */
#ifndef TESTS_FUZZ_STAGE_H
#define TESTS_FUZZ_STAGE_H

#include <stdbool.h>

#include "protocol/scram.h"
#include "proxy/control_int.h"
#include "tests/fuzz/fuzz.h"

#define STEPS_MAX 64
#define NODES_MAX 16
#define BULK      (200 * 1024)
/* More than is ever allocated for one session and its servers: 4 MiB may be kept for a client, 1
 * MiB each for a server, of what waits for one, and of what a server says behind the client's back.
 */
#define HELD_MAX ((int64_t)10 << 20)

struct listening {
	char path[64];
	int fd;
};

/* One process for all inputs. */
struct proxy {
	struct meridian process;
	struct config_args args;
	struct worker *worker;
	char dir[32], conf[32], users[32], keys[32];
	struct listening near, far;
};

/* What one input plays with. */
struct play {
	struct proxy *p;
	struct slice rest;
	int client;           /* -1: gone */
	int nodes[NODES_MAX]; /* connections that the proxy has made, oldest first; -1: gone */
	unsigned nnodes;
	int64_t allocated;         /* in the whole process when it began */
	struct scram_client scram; /* its part of an exchange */
};

typedef void stage_step(struct play *y);

struct stage {
	stage_step *const *steps;
	unsigned nsteps;
	bool has_far;            /* a second region, with a node of its own */
	stage_step *clear;       /* what the steps have begun is ended; or NULL */
	stage_step *no_patience; /* timers that are under way are over now; or NULL */
};

void stage_play(const uint8_t *data, size_t size, const struct stage *stage);

/* ---- for steps ---- */

struct session *stage_session(struct play *y); /* one of them, or NULL */
int *stage_newest_node(struct play *y);
struct slice stage_take_bytes(struct play *y);
void stage_put(int fd, const char *p, size_t n);

stage_step stage_turn, stage_connect, stage_client_bytes, stage_node_bytes, stage_startup,
    stage_startup_of, stage_prove, stage_ready, stage_fatal, stage_bulk, stage_flood, stage_read,
    stage_client_leaves, stage_node_leaves, stage_half_close, stage_kill, stage_deadline,
    stage_new_world;

#endif
