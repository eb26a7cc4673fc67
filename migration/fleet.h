/* SPDX-License-Identifier: PostgreSQL
 *
 * The gate of every proxy of the fleet at once. The executor's own proxy is asked directly; the
 * others by a row in meridian.freeze and NOTIFY: each one whose row in meridian.proxy is fresh
 * answers in meridian.freeze_ack (its watcher: migration/watch.h). Where one does not in time
 * nothing is frozen (MR003), unless FORCE (proxies): then the fence on the server stops it.
 */
#ifndef MIGRATION_FLEET_H
#define MIGRATION_FLEET_H

#include <stdint.h>

#include "base/err.h"
#include "migration/gate.h"

struct job;

/* How many other proxies are alive: their heartbeat is fresh. -1 and *e. */
int fleet_others(struct job *j, struct err *e);
/* Like the functions of struct gate_ops; counts are sums over the fleet. Deadlines: clock_us(). */
int fleet_prewarm(struct job *j, const struct gate_move *m, int64_t deadline_us, struct err *e);
/* The other proxies try the logins of their sessions; *others: how many they would keep and close.
 * The own proxy is asked directly (gate_ops.rehearse). One that has not answered by then counts as
 * having none. */
int fleet_rehearse(struct job *j, const struct gate_move *m, int64_t deadline_us,
		   struct gate_counts *others, struct err *e);
int fleet_freeze(struct job *j, const struct gate_move *m, int64_t deadline_us,
		 struct gate_counts *out, struct err *e);
/* Change the route, then move the sessions. `epoch`: that of meridian.authority. Waits for the
 * own proxy, and for the others until deadline_us. */
int fleet_switch(struct job *j, const struct gate_move *m, int64_t epoch, int64_t deadline_us,
		 struct gate_counts *out, struct err *e);
void fleet_resume(struct job *j, const struct gate_move *m);

#define FLEET_STRAGGLERS_MAX 65536

/* Those of all proxies: ours, then the others'. */
struct fleet_stragglers {
	struct gate_straggler *v;
	size_t n, own;
	char **proxies; /* of each behind ours */
};

/* Behind a freeze: every proxy takes hold of its sessions that are still in a transaction. Where
 * one has not in time: -1, *e MR003 (unless FORCE (proxies)), and fleet_resume() lets them go on.
 * A proxy that has taken hold lets go when its freeze has expired, too. */
int fleet_stragglers(struct job *j, const struct gate_move *m, struct fleet_stragglers *out,
		     struct err *e);
/* What became of each (.outcome) is sent to the proxy that has it; bounded in time. A proxy that
 * does not get it answers its clients that the outcome is unknown. */
void fleet_settle(struct job *j, const struct gate_move *m, const struct fleet_stragglers *s);
void fleet_stragglers_fini(struct fleet_stragglers *s);

#endif
