/* SPDX-License-Identifier: PostgreSQL
 *
 * What a migration has done to the sessions of one worker (migration/gate.h): they are counted and
 * listed, connections are opened for them where they will go, and when their database is served
 * there, they go. That nothing new begins meanwhile is a PAUSE of its own kind (pause.h).
 *
 * All of it on the worker's thread.
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
	struct pause_scope from; /* whose sessions */
	char to[288];            /* region or node */
	char newdb[128];         /* "": the same */
};

void cutover_init(struct cutover *c, const struct gate_move *m);

/* Adds to `out`: sessions, open. */
void cutover_count(const struct worker *w, const struct cutover *c, struct gate_counts *out);
/* Strings are borrowed until `each` returns. */
void cutover_list(const struct worker *w, const struct cutover *c,
		  void (*each)(void *to, const struct gate_session *s), void *to);
/* As many connections of pools as there are now, where they will be wanted. */
void cutover_warm(struct worker *w, const struct cutover *c);
/* Connections are being opened there. */
bool cutover_is_warming(const struct worker *w, const struct cutover *c);
/* They are frozen: what those with a server of their own have left there is carried over. */
void cutover_carry(struct worker *w, const struct cutover *c);
/* That is under way for one that is between two transactions. */
bool cutover_is_carrying(const struct worker *w, const struct cutover *c);
/* Adds to `out`: closed, those that were left behind when that was over. */
void cutover_count_unmoved(const struct worker *w, struct gate_counts *out);
/* Nothing comes of it: connections that were opened for sessions are closed. */
void cutover_forget(struct worker *w, const struct cutover *c);
/* Sessions between two transactions go to where the route says now; those that cannot are told to
 * reconnect. Adds to `out`: kept, closed, aborted. True: that was all; false: over(arg) will be
 * called when it is, and `out` is written to until then. */
bool cutover_switch(struct worker *w, const struct cutover *c, struct gate_counts *out,
		    void (*over)(void *arg), void *arg);

/* Take hold of those in a transaction, where they are frozen; `ready` is called once for each that
 * returns later: how many they are. */
unsigned cutover_seize(struct worker *w, const struct cutover *c, void (*ready)(void *arg),
		       void *arg);
/* Those whose transaction somebody has to look after: at most `max`, how many. */
size_t cutover_tell(const struct worker *w, const struct cutover *c, struct gate_straggler *v,
		    size_t max);
/* What became of them, those of other workers left out; as cutover_seize(). */
unsigned cutover_settle(struct worker *w, const struct gate_straggler *v, size_t n,
			void (*ready)(void *arg), void *arg);

/* Who serves the database was decided, and nobody has frozen it here: sessions that are elsewhere
 * and between two transactions follow, or are told to reconnect. */
void cutover_follow(struct worker *w, const struct cutover *c);
/* Its database is served elsewhere since its login began: then it is told so. Replication is left
 * alone. */
bool cutover_is_late(struct session *s);

/* ---- for rehearsal.c ---- */

/* The n-th slot's session, where it is one of those that are meant; else NULL. */
struct session *cutover_session_at(const struct worker *w, const struct cutover *c, uint32_t slot);
/* Why it cannot be moved, in whatever it is now; "": it can. */
const char *cutover_why_not(const struct session *s);
/* What will be decided, as the only thing that is; a reference. */
struct topology *cutover_decided(struct worker *w, const struct cutover *c);

/* ---- cutover_own.c: sessions with a server of their own (rehome.h) ---- */

/* The session is one of those. */
bool cutover_is_own(const struct session *s);
/* The connection for it is opened, what it has left is carried over, it is exchanged. as_if: what
 * will be decided; NULL: it was. */
void cutover_own_to(struct session *s, const struct cutover *c, enum rehome_stage goal,
		    const struct authority *as_if, rehome_done_fn *done, void *arg);

#endif
