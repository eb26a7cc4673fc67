/* SPDX-License-Identifier: PostgreSQL
 *
 * Between the files of the gate (gate.h): gate.c is about sessions and routes, gate_logins.c about
 * what sessions will log in with.
 */
#ifndef PROXY_MOVE_GATE_INT_H
#define PROXY_MOVE_GATE_INT_H

#include "base/clock.h"
#include "proxy/move/gate.h"

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
