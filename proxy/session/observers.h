/* SPDX-License-Identifier: PostgreSQL
 *
 * What a feature sees of a session's traffic, and may do to it: a pool lends a server and renames
 * prepared statements, a sampler reads texts, a move waits for a safe point. Each of them is an
 * observer, a table of functions that its own room fills in; proxy/rooms.c lists them all, in the
 * order of enum observer_id. The relay asks those that the session has, from the first to the last;
 * what ends with the session is taken down from the last to the first.
 *
 * A session has an observer from session_observe(…, true) to session_observe(…, false), and those
 * of its worker besides. A session without any walks no table: the relay tests one mask.
 */
#ifndef PROXY_SESSION_OBSERVERS_H
#define PROXY_SESSION_OBSERVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/exchange.h"

struct err;
struct node_live;
struct session;

/* In the order in which they are asked. */
enum observer_id {
	OBSERVER_READS,      /* what only reads goes to a server nearby */
	OBSERVER_POOL,       /* its server is lent: what the client says waits for one */
	OBSERVER_SAMPLER,    /* reads some statements, as the client has said them */
	OBSERVER_STATEMENTS, /* renames the prepared statements of a pool's session */
	OBSERVER_TRACES,     /* notes what the session leaves on its server */
	OBSERVER_STRAGGLER,  /* its transaction is being ended: keeps it from its server */
	OBSERVER_PAUSE,      /* of the worker: something is paused */
	OBSERVER_REHOME,     /* it is on its way to another server */
	OBSERVERS
};

/* Bytes of the server on their way to the client. */
struct answer {
	char *p;
	size_t n;
	struct framer before; /* the server's side in front of them, for `passes` */
	unsigned events;      /* of the exchange, which has read them */
	struct exchange_tally tally;
};

/* Each of them may be NULL. Those that return bool end the walk with the answer that the comment
 * names. Where the session has ended meanwhile, its state says so. */
struct observer {
	const char *name;

	/* From the client. True: it is not to be read now. */
	bool (*holds_client)(struct session *s);
	/* It has said this; nothing has been looked at yet. */
	void (*on_client_read)(struct session *s, const char *p, size_t n);
	/* In front of the exchange; *p, *n may become others. False: nothing goes to the server
	 * now. */
	bool (*on_client)(struct session *s, const char **p, size_t *n);
	/* The last of n bytes is a Terminate. False: the server is not to read it. */
	bool (*on_terminate)(struct session *s, size_t n);
	/* All that there was has gone to the server, which owes no answer. */
	void (*on_client_sent)(struct session *s);

	/* From the server. True: the event was the observer's. */
	bool (*takes_server)(struct session *s, short what);
	/* It has gone (`is_gone`), or begins to say an error. True: the client is not to hear of
	 * it.
	 */
	bool (*on_server_lost)(struct session *s, bool is_gone);
	/* n bytes have come. How many of them answer what the client has asked: those behind them
	 * the observer has taken. Of those that have `passes`, one has it. */
	size_t (*client_part)(struct session *s, const char *p, size_t n);
	/* The exchange has read them. */
	void (*on_server_read)(struct session *s, const struct answer *a);
	/* They would go to the client now. False: they do not. */
	bool (*passes)(struct session *s, const struct answer *a);
	/* They have gone. */
	void (*on_server_sent)(struct session *s, const struct answer *a);
	/* The server takes more again. True: the observer sees to the client. */
	bool (*on_server_drained)(struct session *s);
	/* The client has taken all that there was for it. */
	void (*on_client_drained)(struct session *s);
	/* True: the server is not to be read, whatever the client takes. */
	bool (*holds_server)(const struct session *s);

	/* What is known of the session's waiting: NULL or false: nothing. */
	const char *(*doing)(const struct session *s);
	bool (*waits)(const struct session *s);
	bool (*explain_wait)(const struct session *s, struct err *e);

	/* Where it was last, without a server; NULL: not known. */
	const struct node_live *(*place)(const struct session *s);

	/* The session ends: its server and its client are still there … */
	void (*on_end)(struct session *s);
	/* … its server goes (more than once, perhaps) … */
	void (*on_server_gone)(struct session *s);
	/* … and everything is given back. */
	void (*release)(struct session *s);
};

/* Which of them have which function: the relay asks no other. tests/unit/test_observers.c holds
 * this to the tables. */
#define OF_(id) (1u << OBSERVER_##id)
enum observer_hook {
	HOOK_HOLDS_CLIENT = OF_(STRAGGLER) | OF_(PAUSE) | OF_(REHOME),
	HOOK_ON_CLIENT_READ = OF_(PAUSE),
	HOOK_ON_CLIENT = OF_(READS) | OF_(POOL) | OF_(SAMPLER) | OF_(STATEMENTS) | OF_(TRACES),
	HOOK_ON_TERMINATE = OF_(POOL),
	HOOK_ON_CLIENT_SENT = OF_(POOL),
	HOOK_TAKES_SERVER = OF_(STRAGGLER),
	HOOK_ON_SERVER_LOST = OF_(READS) | OF_(PAUSE),
	HOOK_CLIENT_PART = OF_(READS),
	HOOK_ON_SERVER_READ = OF_(STATEMENTS) | OF_(TRACES),
	HOOK_PASSES = OF_(READS) | OF_(POOL) | OF_(SAMPLER) | OF_(STRAGGLER),
	HOOK_ON_SERVER_SENT = OF_(READS) | OF_(POOL) | OF_(PAUSE) | OF_(REHOME),
	HOOK_ON_SERVER_DRAINED = OF_(POOL),
	HOOK_ON_CLIENT_DRAINED = OF_(STRAGGLER),
	HOOK_HOLDS_SERVER = OF_(REHOME),
	HOOK_ANY = (1u << OBSERVERS) - 1,
};
#undef OF_

/* proxy/rooms.c */
extern const struct observer *const session_observers[OBSERVERS];
/* observers.c: of the rooms that stand below the session's */
extern const struct observer sampler_observer, traces_observer;

/* The only writer of session.observers. */
void session_observe(struct session *s, enum observer_id id, bool on);

/* ---- for session.c and facts.c; what the relay asks is in observers_int.h ---- */

const char *observers_doing(const struct session *s);
bool observers_wait(const struct session *s);
bool observers_explain_wait(const struct session *s, struct err *e);
const struct node_live *observers_place(const struct session *s);
void observers_end(struct session *s);
void observers_server_gone(struct session *s);
void observers_release(struct session *s);

#endif
