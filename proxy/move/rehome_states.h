/* SPDX-License-Identifier: PostgreSQL
 *
 * The states of a session's move (rehome.h), in one table: which stage is reached, whether an
 * answer of a server is awaited, what may follow. A session that ends takes its move with it in any
 * state.
 */
#ifndef PROXY_MOVE_REHOME_STATES_H
#define PROXY_MOVE_REHOME_STATES_H

#include <stdbool.h>

#include "proxy/move/rehome.h"

#define AFTER_(s) (1u << MOVE_##s)

/* name, the stage that is reached, an answer is awaited, what may follow */
/* clang-format off */
#define REHOME_STATES(S)                                                                                 \
	/* there is no connection to the new node yet */                                                 \
	S(STARTING,        NONE,     false, AFTER_(STARTING) | AFTER_(PREPARED))                         \
	/* it is there, and the session is to come to a safe point; or an answer was read just now */    \
	S(PREPARED,        PREPARED, false, AFTER_(STARTING) | AFTER_(CAPTURING) | AFTER_(REPLAYING) |   \
	                                    AFTER_(READY))                                               \
	/* the old server is asked what the session has left there */                                    \
	S(CAPTURING,       PREPARED, true,  AFTER_(PREPARED) | AFTER_(CANCELLED) | AFTER_(DISOWNED))     \
	/* a cancel request that was for the client's query has hit that question: it is asked again … */ \
	S(CANCELLED,       PREPARED, false, AFTER_(STARTING) | AFTER_(CAPTURING_AGAIN))                  \
	/* … once */                                                                                     \
	S(CAPTURING_AGAIN, PREPARED, true,  AFTER_(PREPARED) | AFTER_(DISOWNED))                         \
	/* the new server is told */                                                                     \
	S(REPLAYING,       PREPARED, true,  AFTER_(PREPARED) | AFTER_(STARTING))                         \
	/* both servers are at the same point, and the old one is not read */                            \
	S(READY,           READY,    false, AFTER_(STARTING) | AFTER_(SWAPPED))                          \
	/* the move was given up, or begins anew, and the old server's answer is still to come */        \
	S(DISOWNED,        NONE,     true,  AFTER_(DISOWNED) | AFTER_(STARTING))                         \
	/* the new server is the session's */                                                            \
	S(SWAPPED,         SWAPPED,  false, 0)

enum rehome_state {
#define S(name, stage, asks, to) MOVE_##name,
	REHOME_STATES(S)
#undef S
	MOVE_STATE_COUNT
};
/* clang-format on */

struct rehome_state_row {
	const char *name;
	enum rehome_stage stage;
	bool asks;   /* a question of the move is outstanding on one of the servers */
	unsigned to; /* bits of legal successors */
};

const struct rehome_state_row *rehome_state_row(enum rehome_state s);
bool rehome_state_may(enum rehome_state from, enum rehome_state to);

#endif
