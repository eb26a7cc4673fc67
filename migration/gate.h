/* SPDX-License-Identifier: PostgreSQL
 *
 * The gate: what a migration asks of the sessions of this proxy. Called by the migration's thread;
 * each function returns when it is done or its time is over. Sessions are identified by the id that
 * SHOW SESSIONS shows.
 */
#ifndef MIGRATION_GATE_H
#define MIGRATION_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Which sessions are moved, and where. */
struct gate_move {
	int migration;
	uint64_t attempt;     /* tells this try from the last one */
	const char *database; /* its name on the nodes, as the configuration has it */
	const char *from;     /* region or node that serves it now */
	const char *to;       /* region or node that will */
	const char *newdb;    /* its name there; NULL: the same */
	int64_t expires_us;   /* a freeze ends by itself after this long; 0: never */
};

struct gate_counts {
	unsigned sessions; /* of the database that are attached in `from` */
	unsigned open;     /* … and in a transaction, or unsure about it */
	unsigned kept;     /* moved to the new node, the connection of the client kept */
	unsigned closed;   /* told to reconnect (57P01), at a transaction boundary */
	unsigned aborted;  /* had their transaction ended (40001) */
};

/* A session, for SHOW MIGRATION m SESSIONS. */
struct gate_session {
	uint64_t id;
	const char *user, *client_addr, *application_name;
	const char *pool;  /* "off", "session", "transaction" */
	const char *state; /* "idle", "in transaction", "active", … */
	bool movable;
	const char *why; /* why not: "passthrough login", "temp table", …; "" */
};

/* One that did not come to the end of its transaction. */
struct gate_straggler {
	uint64_t session;
	uint32_t pid;   /* of its server process */
	bool in_flight; /* a statement is running (else it is idle in its transaction) */
	bool in_commit; /* the statement is a COMMIT, or one of autocommit, or may be */
	bool in_block;  /* BEGIN has been said */
	enum {
		GATE_ABORTED,
		GATE_COMMITTED,
		GATE_UNKNOWN
	} outcome; /* filled in by the migration */
};

/* What Meridian logs in to nodes with for the sessions of a database that could be moved: a copy,
 * of the thread that asked for it. One entry for each user and secret. */
struct gate_logins;

struct gate_login {
	const char *user;
	unsigned sessions;   /* that have it */
	bool is_rehearsed;   /* it has been tried at the new node … */
	const char *refused; /* … and why it was not let in; "": it was */
};

/* How the logins of one user go together with a secret that a node keeps of it. */
struct gate_fit {
	unsigned sessions, unfit; /* unfit: of them, the node would refuse these */
	const char *known_by; /* "auth_file", "auth_query": what keeps a secret here; "": none */
	bool known_fits;      /* … and it is for the same password, and as good at the node */
};

struct gate_ops {
	/* Connections for the sessions at the new node, as far as the time allows. */
	int (*prewarm)(void *arg, const struct gate_move *m, int64_t deadline_us, struct err *e);
	/* No transaction of the database begins any more: new work waits. Returns when none is
	 * open, or at the deadline: out->open says how many are, and the freeze stays. out->closed:
	 * the state of these sessions on their servers was read, and they cannot be moved. -1: the
	 * freeze failed, nothing is frozen. */
	int (*freeze)(void *arg, const struct gate_move *m, int64_t deadline_us,
		      struct gate_counts *out, struct err *e);
	/* Take hold of the sessions that are still in a transaction: what their server says from
	 * now on does not reach the client. Up to `max`; how many. */
	size_t (*stragglers)(void *arg, const struct gate_move *m, struct gate_straggler *v,
			     size_t max);
	/* Their server processes are gone, and what became of each transaction is known: ABORTED:
	 * the client gets 40001 at its next command (a COMMIT too); COMMITTED: what it waits for;
	 * UNKNOWN: MR006, and its connection ends. */
	void (*settle)(void *arg, const struct gate_move *m, const struct gate_straggler *v,
		       size_t n);
	/* Frozen sessions go to the new node; those that cannot are told to reconnect. The freeze
	 * ends with it. The route has been changed before (site_ops.serve). */
	int (*switch_over)(void *arg, const struct gate_move *m, struct gate_counts *out,
			   struct err *e);
	/* The freeze is over, everything stays where it is; sessions that were taken hold of and
	 * not settled go on (as they do when the freeze's time is over). Nothing frozen: does
	 * nothing. */
	void (*resume)(void *arg, const struct gate_move *m);
	/* Each session of the database in `from`. */
	void (*sessions)(void *arg, const struct gate_move *m,
			 void (*each)(void *to, const struct gate_session *s), void *to);

	/* Never NULL; the caller's (logins_free). */
	struct gate_logins *(*logins)(void *arg, const struct gate_move *m);
	/* Each logs in at the node that its sessions will go to, and disconnects: its sessions
	 * notice nothing. One without an answer at the deadline counts as refused. */
	void (*rehearse)(void *arg, struct gate_logins *l, int64_t deadline_us);
	void (*logins_each)(const struct gate_logins *l,
			    void (*each)(void *to, const struct gate_login *login), void *to);
	/* `secret`: pg_authid.rolpassword of that user. A millisecond or more for each password in
	 * clear. */
	void (*logins_fit)(const struct gate_logins *l, const char *user, const char *secret,
			   struct gate_fit *out);
	void (*logins_free)(struct gate_logins *l); /* accepts NULL */
};

#endif
