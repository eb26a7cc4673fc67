/* SPDX-License-Identifier: PostgreSQL
 *
 * One executor per migration. The lease is an advisory lock (77, number) on a session of the
 * migration's home, and a row with a token that grows with each holder and a heartbeat. A lock that
 * is free may be taken. One that is held by an executor whose heartbeat is older than `lease_us`
 * too: the backends of the holder (application_name meridian-exec-<number>) are ended first. What
 * the old holder does when it wakes fails: its connections are gone, and on a new one the token is
 * not its own any more.
 *
 * A transaction that changes something begins with lease_check(): it holds the row against a new
 * token (FOR KEY SHARE; uuid and token have a unique index, so only a change of the token waits for
 * it, a heartbeat does not). Engines without advisory locks (CockroachDB) have the row alone,
 * changed by compare-and-set.
 *
 * Errors: 55P03 another executor has it; LEASE_LOST ours is lost for good.
 */
#ifndef MIGRATION_LEASE_H
#define MIGRATION_LEASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "migration/types.h"

#define LEASE_LOST SQLSTATE_LEASE_LOST

struct lease {
	char uuid[37];
	int migration;
	int64_t token; /* 0: we have none */
	int64_t lease_us;
	char owner[128]; /* unique; both without quotes and backslashes */
	char proxy[128];
};

/* On the home: take it, with a token above l->token. 55P03: the detail says which executor has it.
 */
int lease_take(PGconn *home, struct lease *l, struct err *e);
/* Write our token at another place, or again at the home. LEASE_LOST: another token is there, which
 * is put in *seen (may be NULL). */
int lease_claim(PGconn *c, const struct lease *l, int64_t *seen, struct err *e);
/* End the backends of this migration's executors on that server, but for `own`, and wait until they
 * are gone. */
int lease_evict(PGconn *c, const struct lease *l, const int *own, size_t nown, struct err *e);
/* First statement of a transaction that changes something. */
int lease_check(PGconn *c, const struct lease *l, struct err *e);
/* After the connection was lost: the advisory lock again, when no other executor took it. */
int lease_relock(PGconn *home, const struct lease *l, struct err *e);
/* Give it back. */
void lease_drop(PGconn *home, const struct lease *l);
/* Whether this server has advisory locks and backends that can be ended. */
bool lease_has_locks(PGconn *c);

#endif
