/* SPDX-License-Identifier: PostgreSQL
 *
 * The states of a session in a pool, beside those that every session has, in one table: whether it
 * has a server, waits for one, or a question of Meridian's own is under way on it.
 */
#ifndef PROXY_POOL_POOLED_STATES_H
#define PROXY_POOL_POOLED_STATES_H

#include <stdbool.h>

#define TO_(s) (1u << POOLED_##s)

/* name, what may follow */
/* clang-format off */
#define POOLED_STATES(S)                                                                                 \
	S(PARKED,      TO_(WAITING) | TO_(SKIPPING) | TO_(SERVED)) /* no server, none is asked for */     \
	S(WAITING,     TO_(PARKED))                     /* in a pool's queue */                          \
	S(SKIPPING,    TO_(PARKED))                     /* what it waited with was cancelled: what the   \
	                                                 * client says up to a Sync is for no server */  \
	S(SERVED,      TO_(PARKED) | TO_(REPLAYING) | TO_(REPLAYING_AHEAD) | TO_(PROBING) |              \
		       TO_(PROBING_AHEAD) | TO_(CAPTURING) | TO_(CHECKING) | TO_(LEARNING)) /* what the client says goes there */ \
	S(REPLAYING,   TO_(SERVED) | TO_(PARKED))       /* its settings are brought to the server … */   \
	S(REPLAYING_AHEAD, TO_(SERVED) | TO_(PARKED))   /* … and what the client says goes behind them */ \
	S(PROBING,     TO_(SERVED) | TO_(PARKED))       /* the server is asked what was left there … */  \
	S(PROBING_AHEAD, TO_(SERVED) | TO_(PARKED))     /* … and what the client says goes behind that */ \
	S(CAPTURING,   TO_(SERVED) | TO_(PARKED))       /* … what is to be taken to another server */ \
	S(CHECKING,    TO_(SERVED) | TO_(PARKED))       /* … whether it has replayed enough to be read … */ \
	S(LEARNING,    TO_(SERVED) | TO_(PARKED))       /* … what its catalog says, as PROBING_AHEAD */
/* clang-format on */

enum pooled_state {
#define S(name, to) POOLED_##name,
	POOLED_STATES(S)
#undef S
	    POOLED_STATE_COUNT
};

bool pooled_state_may(enum pooled_state from, enum pooled_state to);

#endif
