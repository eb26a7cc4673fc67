/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"

#define LOCK_SPACE   "77"
#define EVICT_WAIT   (3 * USEC_PER_SEC)
#define EVICT_LOOK   (20 * USEC_PER_MSEC)
#define TAKE_ATTEMPT 3

/* What is known of the executor that has the lease. */
struct holder {
	bool locked_by_us;
	bool is_stale;
	char *owner, *proxy;
	int64_t age_us;
};

bool
lease_has_locks(PGconn *c)
{
	return PQparameterStatus(c, "crdb_version") == NULL;
}

static int
lost(struct err *e)
{
	return err_set(e, LEASE_LOST, "another executor has this migration now");
}

/* Look at the row, and try the advisory lock in the same breath. */
static int
look(PGconn *home, const struct lease *l, struct holder *h, struct err *e)
{
	PGresult *r;

	r = db_queryf(home, e,
		      "INSERT INTO meridian.lease (uuid, mig, token, owner, proxy, heartbeat) "
		      "VALUES ('%s', %d, 0, '', '', '2000-01-01 00:00:00+00') "
		      "ON CONFLICT DO NOTHING; "
		      "SELECT owner, proxy, CAST(extract(epoch FROM clock_timestamp() - heartbeat) "
		      "* 1000000 AS int8), %s FROM meridian.lease WHERE uuid = '%s'",
		      l->uuid, l->migration,
		      lease_has_locks(home) ? "CASE WHEN pg_try_advisory_lock(" LOCK_SPACE
					      ", mig) THEN 1 ELSE 0 END"
					    : "0",
		      l->uuid);
	if (r == NULL)
		return -1;
	if (PQntuples(r) != 1) {
		PQclear(r);
		return err_set(e, "42704", "the migration has no row in meridian.lease");
	}
	*h = (struct holder){ .owner = xstrdup(PQgetvalue(r, 0, 0)),
			      .proxy = xstrdup(PQgetvalue(r, 0, 1)),
			      .locked_by_us = PQgetvalue(r, 0, 3)[0] == '1' };
	text_to_int(slice_str(PQgetvalue(r, 0, 2)), INT64_MIN, INT64_MAX, &h->age_us);
	h->is_stale = *h->owner == '\0' || h->age_us > l->lease_us;
	PQclear(r);
	return 0;
}

static int
number_ours(PGconn *home, struct lease *l, struct err *e)
{
	bool locks = lease_has_locks(home);
	const char *when = "true";
	char free_or_old[160];
	PGresult *r;
	int rc = -1;

	snprintf(free_or_old, sizeof(free_or_old),
		 "(owner = '' OR heartbeat < clock_timestamp() - interval '%" PRId64
		 " milliseconds')",
		 l->lease_us / USEC_PER_MSEC);
	if (!locks)
		when = free_or_old;
	r = db_queryf(home, e,
		      "UPDATE meridian.lease SET token = CASE WHEN token > %" PRId64
		      " THEN token ELSE %" PRId64
		      " END + 1, owner = '%s', proxy = '%s', heartbeat = clock_timestamp() "
		      "WHERE uuid = '%s' AND %s RETURNING token",
		      l->token, l->token, l->owner, l->proxy, l->uuid, when);
	if (r == NULL)
		return -1;
	if (PQntuples(r) == 1 &&
	    text_to_int(slice_str(PQgetvalue(r, 0, 0)), 1, INT64_MAX, &l->token))
		rc = 0;
	else
		err_set(e, "55P03", "another executor has just taken the lease of this migration");
	PQclear(r);
	return rc;
}

int
lease_take(PGconn *home, struct lease *l, struct err *e)
{
	bool locks = lease_has_locks(home);

	for (int i = 0; i < TAKE_ATTEMPT; i++) {
		struct holder h = { 0 };
		int own = PQbackendPID(home), rc = 0;

		if (look(home, l, &h, e) < 0)
			return -1;
		if (!h.locked_by_us && !h.is_stale) {
			err_set(e, "55P03", "another executor holds the lease of this migration");
			err_detail(e, "%s on %s, heartbeat %.1f s ago.", h.owner, h.proxy,
				   (double)h.age_us / (double)USEC_PER_SEC);
			rc = err_hint(e, "Wait for it, or stop it with PAUSE MIGRATION or ABORT "
					 "MIGRATION.");
		} else if (locks && !h.locked_by_us) {
			rc = lease_evict(home, l, &own, 1, e);
		}
		free(h.owner);
		free(h.proxy);
		if (rc < 0)
			return -1;
		if (h.locked_by_us || !locks)
			return number_ours(home, l, e);
	}
	return err_set(e, "55P03", "the lease of this migration cannot be taken from its holder");
}

int
lease_claim(PGconn *c, const struct lease *l, int64_t *seen, struct err *e)
{
	PGresult *r;
	int rc = 0, n;

	r = db_queryf(c, e,
		      "INSERT INTO meridian.lease (uuid, mig, token, owner, proxy, heartbeat) "
		      "VALUES ('%s', %d, %" PRId64
		      ", '%s', '%s', clock_timestamp()) ON CONFLICT (uuid) DO UPDATE SET token = "
		      "excluded.token, owner = excluded.owner, proxy = excluded.proxy, heartbeat "
		      "= excluded.heartbeat WHERE lease.token < excluded.token OR (lease.token = "
		      "excluded.token AND lease.owner = excluded.owner) RETURNING token",
		      l->uuid, l->migration, l->token, l->owner, l->proxy);
	if (r == NULL)
		return -1;
	n = PQntuples(r);
	PQclear(r);
	if (n == 1)
		return 0;
	if (seen != NULL) {
		const char *params[] = { l->uuid };

		rc = db_int(c, seen, e, "SELECT token FROM meridian.lease WHERE uuid = $1", 1,
			    params);
	}
	return rc < 0 ? -1 : lost(e);
}

int
lease_evict(PGconn *c, const struct lease *l, const int *own, size_t nown, struct err *e)
{
	int64_t until = clock_us() + EVICT_WAIT, left = 1;
	struct buf sql = { 0 };
	int rc = 0;

	if (!lease_has_locks(c))
		return 0;
	buf_printf(&sql,
		   "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
		   "WHERE application_name = 'meridian-exec-%d' AND pid NOT IN (pg_backend_pid()",
		   l->migration);
	for (size_t i = 0; i < nown; i++)
		buf_printf(&sql, ", %d", own[i]);
	buf_str(&sql, ")");
	while (rc == 0 && left > 0 && clock_us() < until) {
		rc = db_int(c, &left, e, buf_text(&sql), 0, NULL);
		if (rc == 0 && left > 0)
			clock_sleep(EVICT_LOOK);
	}
	buf_fini(&sql);
	if (rc == 0 && left > 0)
		rc = err_set(e, "55P03", "the backends of the last executor do not end");
	return rc;
}

int
lease_check(PGconn *c, const struct lease *l, struct err *e)
{
	PGresult *r;
	int n;

	r = db_queryf(c, e,
		      "SELECT 1 FROM meridian.lease WHERE uuid = '%s' AND token = %" PRId64
		      " AND owner = '%s' FOR KEY SHARE",
		      l->uuid, l->token, l->owner);
	if (r == NULL)
		return -1;
	n = PQntuples(r);
	PQclear(r);
	return n == 1 ? 0 : lost(e);
}

int
lease_relock(PGconn *home, const struct lease *l, struct err *e)
{
	PGresult *r;
	bool ours;

	if (lease_has_locks(home)) {
		r = db_queryf(home, e, "SELECT pg_try_advisory_lock(" LOCK_SPACE ", %d)",
			      l->migration);
		if (r == NULL)
			return -1;
		ours = PQgetvalue(r, 0, 0)[0] == 't';
		PQclear(r);
		if (!ours)
			return err_set(e, "55P03", "the lock of the lease is not free");
	}
	return lease_claim(home, l, NULL, e);
}

void
lease_drop(PGconn *home, const struct lease *l)
{
	struct err e;

	db_execf(home, &e,
		 "UPDATE meridian.lease SET owner = '', heartbeat = clock_timestamp() "
		 "WHERE uuid = '%s' AND token = %" PRId64 " AND owner = '%s'",
		 l->uuid, l->token, l->owner);
	if (lease_has_locks(home))
		db_execf(home, &e, "SELECT pg_advisory_unlock(" LOCK_SPACE ", %d)", l->migration);
}
