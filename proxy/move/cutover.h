/* SPDX-License-Identifier: PostgreSQL
 *
 * What a migration does to the sessions of one worker (migration/gate.h): count and list them, open
 * connections for them at the node they will go to, and move them when their database is served
 * there. That no transaction begins meanwhile is a PAUSE of its own kind (pause.h).
 *
 * All of it runs on the worker's thread.
 */
#ifndef PROXY_MOVE_CUTOVER_H
#define PROXY_MOVE_CUTOVER_H

#include <stdbool.h>

#include "migration/gate.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome.h"

struct authority;
struct session;
struct topology;
struct worker;

struct cutover {
	struct pause_scope from; /* the sessions that are meant */
	char to[288];            /* a region or a node */
	char newdb[128];         /* the database's new name; "": the same */
};

void cutover_init(struct cutover *c, const struct gate_move *m);

/* Adds to `out`: sessions, open. */
void cutover_count(const struct worker *w, const struct cutover *c, struct gate_counts *out);
/* The strings are borrowed until `each` returns. */
void cutover_list(const struct worker *w, const struct cutover *c,
		  void (*each)(void *to, const struct gate_session *s), void *to);
/* Open as many connections in the pools of the new node as there are in those of the old one, and a
 * connection for each session that has a server of its own. */
void cutover_warm(struct worker *w, const struct cutover *c);
/* Whether such connections are still being opened. */
bool cutover_is_warming(const struct worker *w, const struct cutover *c);
/* The sessions are frozen: begin to carry over what those with a server of their own have left on
 * it. */
void cutover_carry(struct worker *w, const struct cutover *c);
/* Whether that is still under way for a session that is between two transactions. */
bool cutover_is_carrying(const struct worker *w, const struct cutover *c);
/* Adds to `out`: closed, the sessions for which that failed. */
void cutover_count_unmoved(const struct worker *w, struct gate_counts *out);
/* The move was given up: close the connections that were opened for sessions. */
void cutover_forget(struct worker *w, const struct cutover *c);
/* Send sessions that are between two transactions to where their route leads now; tell those that
 * cannot go to reconnect. Adds to `out`: kept, closed, aborted. True: done; false: over(arg) will
 * be called when it is, and `out` is written to until then. */
bool cutover_switch(struct worker *w, const struct cutover *c, struct gate_counts *out,
		    void (*over)(void *arg), void *arg);

/* Take hold of the frozen sessions that are in a transaction. Returns how many need time: `ready`
 * is called once for each of them. */
unsigned cutover_seize(struct worker *w, const struct cutover *c, void (*ready)(void *arg),
		       void *arg);
/* Lists at most `max` sessions whose transaction the migration has to find out about; returns how
 * many. */
size_t cutover_list_stragglers(const struct worker *w, const struct cutover *c,
			       struct gate_straggler *v, size_t max);
/* The migration says what became of them; sessions of other workers are left out. Returns as
 * cutover_seize(). */
unsigned cutover_settle(struct worker *w, const struct gate_straggler *v, size_t n,
			void (*ready)(void *arg), void *arg);

/* It was decided which node serves the database, and this proxy has not frozen it: sessions that
 * are elsewhere and between two transactions follow, or are told to reconnect. */
void cutover_follow(struct worker *w, const struct cutover *c);
/* Whether the session's database has come to be served elsewhere since its login began; then it is
 * told to reconnect. Replication is left alone. */
bool cutover_refuse_late_login(struct session *s);

/* ---- for rehearsal.c ---- */

/* The session in this slot where the cutover is about it; else NULL. */
struct session *cutover_session_at(const struct worker *w, const struct cutover *c, uint32_t slot);
/* Why the session cannot be moved, whatever it is doing now; "": it can. */
const char *cutover_why_not(const struct session *s);
/* A topology in which the cutover's decision is the only one. Returns a reference. */
struct topology *cutover_decided(struct worker *w, const struct cutover *c);

/* ---- cutover_own.c: sessions with a server of their own (rehome.h) ---- */

/* Whether the session has a server connection of its own that can be moved. */
bool cutover_has_own_server(const struct session *s);
/* Move such a session: open its connection, carry its state over, exchange the connections. as_if:
 * the decision to come; NULL: it was taken. */
void cutover_rehome(struct session *s, const struct cutover *c, enum rehome_stage goal,
		    const struct authority *as_if, rehome_done_fn *done, void *arg);

#endif
