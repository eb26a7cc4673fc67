/* SPDX-License-Identifier: PostgreSQL
 *
 * The states of a straggler (straggle.h), in one table: what its client is told, what may follow.
 * A session that ends takes its straggler with it in any state; ENDED is reached when it goes on,
 * or is told to reconnect.
 */
#ifndef PROXY_MOVE_STRAGGLE_STATES_H
#define PROXY_MOVE_STRAGGLE_STATES_H

#include <stdbool.h>

#define NEXT_(s) (1u << STRAGGLE_##s)

/* name, the server's bytes are kept, we answer the client, the client has to reconnect at the end,
 * what may follow */
/* clang-format off */
#define STRAGGLE_STATES(S)                                                                                   \
	/* nothing was done yet */                                                                           \
	S(NEW,            false, false, false, NEXT_(ROLLING_BACK) | NEXT_(HOLDING_SERVER) |                 \
	                                       NEXT_(MUST_RECONNECT) | NEXT_(ENDED))                         \
	/* our ROLLBACK is outstanding */                                                                    \
	S(ROLLING_BACK,   false, false, false, NEXT_(HOLDING_SERVER) | NEXT_(ANSWERING) |                    \
	                                       NEXT_(MUST_RECONNECT))                                        \
	/* what the server says is kept, and the client is not read */                                       \
	S(HOLDING_SERVER, true,  false, false, NEXT_(SERVER_CLOSED) | NEXT_(AWAITING_CLOSE) |                \
	                                       NEXT_(DELIVERED) | NEXT_(ENDED))                              \
	/* the server has closed the connection, and the outcome is not known yet */                         \
	S(SERVER_CLOSED,  true,  false, false, NEXT_(DELIVERED))                                             \
	/* the outcome is known, and the server has not closed the connection yet */                         \
	S(AWAITING_CLOSE, true,  false, false, NEXT_(DELIVERED))                                             \
	/* what was kept, if anything, has gone through the relay: the client would hear `said` */             \
	S(DELIVERED,      false, false, false, NEXT_(ANSWERING) | NEXT_(MUST_RECONNECT) | NEXT_(ENDED))      \
	/* we answer the client in the server's place until it has ended its transaction … */                \
	S(ANSWERING,      false, true,  false, NEXT_(ANSWERING_LAST) | NEXT_(HOLDING_CLIENT) | NEXT_(ENDED)) \
	/* … and then it is told to reconnect */                                                             \
	S(ANSWERING_LAST, false, true,  true,  NEXT_(ENDED))                                                 \
	/* the transaction is over, and what the client has said since waits for the freeze's end */         \
	S(HOLDING_CLIENT, false, true,  false, NEXT_(REPLAYING) | NEXT_(MUST_RECONNECT) | NEXT_(ENDED))      \
	/* the server is sent what we have answered in its place */                                          \
	S(REPLAYING,      false, false, false, NEXT_(ENDED))                                                 \
	/* what the session had on its server is lost, or cannot be moved */                                 \
	S(MUST_RECONNECT, false, false, true,  NEXT_(ANSWERING_LAST) | NEXT_(ENDED))                         \
	S(ENDED,          false, false, false, 0)

enum straggle_state {
#define S(name, keeps, answers, reconnects, to) STRAGGLE_##name,
	STRAGGLE_STATES(S)
#undef S
	STRAGGLE_STATE_COUNT
};
/* clang-format on */

struct straggle_state_row {
	const char *name;
	bool keeps_server; /* the server's bytes are kept, and the migration is asked */
	bool answers;      /* we answer the client in its server's place */
	bool reconnects;   /* the client is told to reconnect at the end */
	unsigned to;       /* bits of legal successors */
};

const struct straggle_state_row *straggle_state_row(enum straggle_state s);
bool straggle_state_may(enum straggle_state from, enum straggle_state to);

#endif
