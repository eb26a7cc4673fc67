/* SPDX-License-Identifier: PostgreSQL
 *
 * Asks one Patroni cluster who its members are, on the control thread's loop: any member that
 * answers will do. The addresses that are configured are tried first, then those that members said
 * they have; which one answered last is asked again first.
 */
#ifndef ROUTING_WATCH_PATRONI_ASKER_H
#define ROUTING_WATCH_PATRONI_ASKER_H

#include <stdint.h>

#include "base/ev/fetch.h"
#include "routing/sightings.h"

struct patroni_asker;

struct patroni_conf {
	const struct strlist *apis; /* as patroni_api() writes them, at least one */
	const char *ca_file;        /* NULL: the system's */
	int64_t interval_us;        /* between two answers */
	int64_t timeout_us;         /* of one address */
};

/* `seen` (borrowed) NULL: no address gave an answer that can be taken, and *e says why. Called from
 * the loop; the asker may be freed in it. */
typedef void (*patroni_heard_fn)(void *arg, const struct sightings *seen, const struct err *e);

/* Asks at once, then every interval. The configuration is copied; `f` has to outlive it. */
struct patroni_asker *patroni_asker_new(struct fetcher *f, struct loop *l,
					const struct patroni_conf *c, patroni_heard_fn heard,
					void *arg);
/* What members said of their addresses stays while those that are configured are the same. */
void patroni_asker_configure(struct patroni_asker *a, const struct patroni_conf *c);
/* Ask as soon as possible: the cluster has changed. */
void patroni_asker_now(struct patroni_asker *a);
void patroni_asker_free(struct patroni_asker *a); /* accepts NULL */

#endif
