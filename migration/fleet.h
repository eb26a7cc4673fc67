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

/* How many other proxies are fresh (prewarm and the guards want to know); -1 and *e. */
int fleet_others(struct job *j, struct err *e);
/* Like the functions of struct gate_ops; counts are sums over the fleet. Deadlines: clock_us(). */
int fleet_prewarm(struct job *j, const struct gate_move *m, int64_t deadline_us, struct err *e);
int fleet_freeze(struct job *j, const struct gate_move *m, int64_t deadline_us,
		 struct gate_counts *out, struct err *e);
/* Where the route goes now; then the sessions. `epoch`: that of meridian.authority. Waits for the
 * own proxy, and for the others until deadline_us. */
int fleet_switch(struct job *j, const struct gate_move *m, int64_t epoch, int64_t deadline_us,
		 struct gate_counts *out, struct err *e);
void fleet_resume(struct job *j, const struct gate_move *m);

#endif
