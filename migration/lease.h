/* SPDX-License-Identifier: PostgreSQL
 *
 * One executor per migration. The lease is an advisory lock (77, number) on a session of the
 * migration's home, and a row with a token that grows with each holder and a heartbeat. Who wants
 * it and finds a heartbeat older than `lease_us` ends the backends of the holder (application_name
 * meridian-exec-<number>) and takes it. What the old holder does when it wakes fails: its
 * connections are gone, and on a new one the token is not its own any more.
 *
 * A transaction that changes something begins with lease_check(): it holds the row against a new
 * token (FOR KEY SHARE; uuid and token have a unique index, so only a change of the token waits for
 * it, a heartbeat does not). Engines without advisory locks (CockroachDB) have the row alone,
 * changed by compare-and-set.
 */
#ifndef MIGRATION_LEASE_H
#define MIGRATION_LEASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct migration;

struct lease {
	char uuid[37];
	int migration;
	int64_t token; /* 0: we have none */
	int64_t lease_us;
	char owner[96]; /* proxy, process, executor: unique */
	char proxy[96];
};

/* On the home: take it. 55P03: somebody has it (the detail says who), try again later. */
int lease_take(PGconn *home, struct lease *l, struct err *e);
/* On another place of the job, or a new connection to home: end what is left of older holders there
 * and write our token. 55P03: a higher one is there: ours is lost. */
int lease_claim(PGconn *c, const struct lease *l, struct err *e);
/* End the backends of others with this migration's application_name on that server. */
int lease_evict(PGconn *c, const struct lease *l, struct err *e);
/* The heartbeat; 55P03: lost. */
int lease_beat(PGconn *home, const struct lease *l, struct err *e);
/* First statement of a transaction that changes something; 55P03: lost. */
int lease_check(PGconn *c, const struct lease *l, struct err *e);
/* Give it back. */
void lease_drop(PGconn *home, const struct lease *l);
/* Whether this server has advisory locks and backends that can be ended. */
bool lease_has_locks(PGconn *c);

#endif
