/* SPDX-License-Identifier: PostgreSQL
 *
 * Steering: what the operator has ordered through the console and no file holds: drained regions
 * and nodes (with a deadline, at which remaining sessions are ended), and overrides of localities.
 * Also what migrations have decided: which place alone serves a database. It is kept by names, not
 * by indices, and so survives reloads.
 */
#ifndef PROXY_STEER_H
#define PROXY_STEER_H

#include <sys/queue.h>

#include "base/err.h"
#include "routing/topology.h"

struct control;
struct drain;
struct said_authority;
struct said_override;

struct steer {
	struct control *control;
	LIST_HEAD(, drain) drains;
	LIST_HEAD(, said_override) overrides;
	LIST_HEAD(, said_authority) authorities;
};

void steer_init(struct steer *s, struct control *c);
void steer_fini(struct steer *s);
/* deadline_us: from now; 0: sessions may stay. Draining again changes the deadline. */
void steer_drain(struct steer *s, const char *name, bool node, int64_t deadline_us);
/* False: it was not drained. */
bool steer_undrain(struct steer *s, const char *name, bool node);
/* until_us: monotonic, 0: without an end; `value` is folded here if it is a city. */
int steer_override(struct steer *s, enum override_kind kind, const char *value, const char *region,
		   int64_t until_us, struct err *e);
/* Returns how many were cleared; value "": all of them. */
unsigned steer_clear(struct steer *s, enum override_kind kind, const char *value);
/* That place alone serves the database, if the epoch is higher than that of the last decision;
 * place "": the places that the configuration names. False: nothing has changed. */
bool steer_serve(struct steer *s, const char *database, const char *place, const char *newdb,
		 int64_t epoch);
/* Write drains, overrides and authorities into a topology that is being built. */
void steer_fill(struct steer *s, struct topology *t, int64_t now_us);

#endif
