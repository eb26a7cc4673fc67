/* SPDX-License-Identifier: PostgreSQL
 *
 * What migrations do to the sessions of this proxy (migration/gate.h), and the routes that they
 * have decided. Threads of migrations call it: a letter goes to control or to every worker, and the
 * caller waits for the answers, at most for a given time. `arg` of proxy_gate_ops is the struct
 * meridian.
 *
 * The callers must be done before the workers and control are freed. Letters that come after the
 * loops have ended are answered when they are delivered (deliver_letters() of main), or the
 * caller's time runs out.
 */
#ifndef PROXY_MOVE_GATE_H
#define PROXY_MOVE_GATE_H

#include <stdint.h>

#include "base/clock.h"
#include "migration/gate.h"

struct meridian;

extern const struct gate_ops proxy_gate_ops;

/* site_ops.serve. `database` is the database's name on the nodes as the configuration has it
 * (dbname of its section, else the name that clients use), also where it is called `newdb` by now.
 * An epoch that is not higher than the last one of that database changes nothing. */
void gate_serve(struct meridian *m, const char *database, const char *place, const char *newdb,
		int64_t epoch);

/* A decision by which this proxy routes. */
struct gate_served {
	const char *database, *place, *newdb; /* newdb: "" the same */
	int64_t epoch;
	bool is_known; /* the place is in the configuration */
};
void gate_each_served(struct meridian *m, void (*each)(void *to, const struct gate_served *v),
		      void *to);

/* ---- between gate.c, which is about sessions and routes, and gate_logins.c, about what sessions
 * will log in with ---- */

/* How long to wait for an answer that a loop gives within one turn. */
#define GATE_TURN_US (2 * USEC_PER_SEC)

/* As in struct gate_ops. */
struct gate_logins *gate_logins(void *arg, const struct gate_move *m);
void gate_rehearse(void *arg, struct gate_logins *l, int64_t deadline_us);
void gate_logins_each(const struct gate_logins *l,
		      void (*each)(void *to, const struct gate_login *login), void *to);
void gate_logins_fit(const struct gate_logins *l, const char *user, const char *secret,
		     struct gate_fit *out);
void gate_logins_free(struct gate_logins *l);

#endif
