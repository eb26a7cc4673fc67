/* SPDX-License-Identifier: PostgreSQL
 *
 * PAUSE, a worker's side of it (proxy/move/pauses.h is control's): while a database, a region or
 * all of it is paused, no transaction begins there. A client is not read at the point where its
 * next message would begin one: what it says stays in the kernel, its server connection is kept,
 * and it is gone when the kernel says so. A login that would go there waits. What is under way goes
 * on, and control is told when nothing is any more. Pools of the paused part lend nothing
 * (proxy/pool/pool.h).
 *
 * Nothing is remembered of a session that is held: whether it is follows from what is paused and
 * from its exchange, and so RESUME has only to look again. Replication connections are left alone.
 *
 * The relay asks pause_observer only while something is paused on the worker.
 */
#ifndef PROXY_MOVE_PAUSE_H
#define PROXY_MOVE_PAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct node_live;
struct observer;
struct pauses;
struct session;
struct worker;

/* The part that is paused; "" stands for all. */
struct pause_scope {
	char database[128]; /* the name that clients use */
	char region[288];
	/* 0: the operator's PAUSE. Else the freeze of that migration: then `database` is the name
	 * on the nodes as the configuration has it, and `region` may be a node. */
	int migration;
};

struct pause {
	struct pause_scope scope;
	/* of the PAUSE that control is told about when no transaction is open there */
	uint64_t serial;
	int64_t since_us; /* wall clock */
};

/* Any thread: from now on exactly these are paused. Takes the array, from malloc. */
void pause_publish(struct worker *w, struct pause *take_pauses, size_t n);
void pauses_free(struct pauses *ps); /* accepts NULL */

/* What the relay asks while anything is paused on the worker (proxy/session/observers.h). */
extern const struct observer pause_observer;
/* The client of a session that is to be held: where its next message would begin a transaction it
 * is not read any more, but that it hangs up is noticed. False: it is not there yet. */
bool pause_stops(struct session *s);
/* The server's bytes have passed: the client may have to be read again. */
void pause_on_server(struct session *s);
/* Called before an attachment at a node begins (NULL: there is none to go to). True: it has to wait
 * (state PAUSED); attach_begin() is called again when it may go on. */
bool pause_login(struct session *s, const struct node_live *live);
/* Whether a pool of this database and node must not lend. */
bool pause_covers(const struct worker *w, struct slice database, const struct node_live *live);
/* Whether a node is in the paused part. */
bool pause_is_at(const struct worker *w, const struct pause_scope *p, const struct node_live *live);
/* Whether a session is in the paused part. */
bool pause_concerns(const struct worker *w, const struct pause_scope *p, const struct session *s);

/* For SHOW PAUSES and SHOW SESSIONS. */
struct pause_facts {
	struct pause pause;
	unsigned held; /* sessions that are not read */
	unsigned open; /* sessions in a transaction, or logging in */
};
/* Whether a migration has frozen the session. */
bool pause_is_frozen(const struct session *s);
/* How many transactions had been ended on this worker when that migration's freeze began. */
uint64_t pause_aborted_before(const struct worker *w, int migration);
/* Whether a PAUSE has to wait for the session: it is in a transaction, or may be. */
bool pause_is_open(const struct session *s);
/* Whether the client has a transaction or request open; questions of Meridian's own do not
 * count. */
bool pause_is_in_transaction(const struct session *s);
size_t pause_count(const struct worker *w);
void pause_facts(const struct worker *w, size_t i, struct pause_facts *out);
bool pause_is_held(const struct session *s);

#endif
