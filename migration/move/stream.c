/* SPDX-License-Identifier: PostgreSQL
 *
 * Servers that replicate try again for ever, and say why they do not get on in the log of the one
 * that subscribes. What can be seen from outside is said here. A slot that was dropped, or that was
 * further behind than max_slot_wal_keep_size allows, or unread for longer than
 * idle_replication_slot_timeout does (18 and later), has lost changes: a step that waits for them
 * fails. A subscription that is disabled or whose worker ends each time goes on when the operator
 * has mended what is in its way: the step reports it in the journal, and waits.
 */
#include "config.h"

#include "migration/move/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "migration/store.h"
#include "protocol/sqlstate.h"

#define LOOK_US (2 * USEC_PER_SEC)

/* $1: a slot. No row: it is there. PostgreSQL 12 does not know lost ones, and those before 17 but
 * one reason. */
static const char slot_sql[] =
    "SELECT 'replication slot ' || $1 || ' is gone' WHERE NOT EXISTS (SELECT FROM"
    " pg_replication_slots WHERE slot_name = $1 AND database = current_database())"
    " UNION ALL SELECT 'replication slot ' || $1 || ' is lost: ' || CASE to_jsonb(s) ->>"
    " 'invalidation_reason' WHEN 'idle_timeout' THEN 'nobody had read it for longer than"
    " idle_replication_slot_timeout' WHEN 'wal_level_insufficient' THEN 'wal_level was not logical'"
    " ELSE 'more than max_slot_wal_keep_size was written before it was read' END FROM "
    "pg_replication_slots s WHERE slot_name = $1 AND"
    " to_jsonb(s) ->> 'wal_status' = 'lost'";

/* What is replicated from there: the slot, and what is published. */
static int
is_lost_here(PGconn *c, const char *slot, const char *publication, char **out, struct err *e)
{
	int rc = db_value(c, out, e, slot_sql, 1, &slot);

	if (rc == 0)
		rc = db_value(c, out, e,
			      "SELECT 'publication ' || $1 || ' is gone' WHERE NOT EXISTS (SELECT"
			      " FROM pg_publication WHERE pubname = $1)",
			      1, &publication);
	return rc;
}

int
stream_is_lost(const struct direction *d, PGconn *from, PGconn *to, char **out, struct err *e)
{
	const char *const params[] = { d->subscription };
	int rc = is_lost_here(from, d->subscription, d->names.publication, out, e);

	if (rc == 0)
		rc = db_value(to, out, e,
			      "SELECT 'subscription ' || $1 || ' is gone' WHERE NOT EXISTS (SELECT"
			      " FROM pg_subscription WHERE subname = $1)",
			      1, params);
	return rc;
}

/* ---- while the copies are waited for ---- */

/* $1: the subscription. A copy that has failed leaves its table in state 'd', and is begun anew
 * after a while. */
static const char waits_sql[] =
    "WITH s AS (SELECT oid, subenabled FROM pg_subscription WHERE subname = $1), w AS (SELECT "
    "relid FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL), r AS "
    "(SELECT " SQL_QUALIFIED
    " AS t, x.srsubstate AS state FROM pg_subscription_rel x JOIN s ON s.oid = x.srsubid JOIN "
    "pg_class c ON c.oid = x.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
    "x.srsubstate IN ('i', 'd') AND NOT EXISTS (SELECT FROM w WHERE w.relid = x.srrelid)) SELECT "
    "CASE WHEN NOT s.subenabled THEN 'subscription ' || $1 || ' is disabled there; ALTER "
    "SUBSCRIPTION ' || $1 || ' ENABLE' WHEN NOT EXISTS (SELECT FROM w WHERE relid IS NULL) AND "
    "(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%worker') "
    ">= current_setting('max_logical_replication_workers')::int THEN 'no worker is free there "
    "(max_logical_replication_workers = ' || current_setting('max_logical_replication_workers') || "
    "')' WHEN NOT EXISTS (SELECT FROM w WHERE relid IS NULL) THEN 'no worker of subscription ' || "
    "$1 || ' runs there; the log there says why' WHEN NOT EXISTS (SELECT FROM pg_subscription_rel "
    "x WHERE x.srsubid = s.oid) THEN 'subscription ' || $1 || ' has no tables' WHEN EXISTS (SELECT "
    "FROM r WHERE state = 'd') THEN 'the copy of ' || (SELECT min(t) FROM r WHERE state = 'd') || "
    "' has failed and is begun anew; the log there says why' WHEN EXISTS (SELECT FROM r) AND NOT "
    "EXISTS (SELECT FROM w WHERE relid IS NOT NULL) THEN 'the copy of ' || (SELECT min(t) FROM r) "
    "|| ' does not begin; the log there says why' END FROM s";

/* 0; -1 and *e: it is lost. A source that cannot be asked now says nothing. */
static int
check_lost(struct job *j, PGconn *target, struct err *e)
{
	struct err ignored;
	PGconn *source = job_db(j, MOVE_SOURCE, &ignored);
	struct direction d;
	char *what = NULL;

	direction_of(j, false, &d);
	if (source == NULL || stream_is_lost(&d, source, target, &what, &ignored) <= 0)
		return 0;
	err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "%s", what);
	err_detail(e, "Changes of %s do not come to %s any more.", d.from_name, d.to_name);
	err_hint(e, "ABORT MIGRATION %d; and begin again.", job_id(j));
	free(what);
	return -1;
}

static bool
is_same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

int
stream_watch(struct job *j, PGconn *target, struct stream_watch *w, const char **why, struct err *e)
{
	struct direction d;
	const char *params[1];
	char *before;

	if (clock_us() >= w->next_us) {
		w->next_us = clock_us() + LOOK_US;
		before = w->seen;
		direction_of(j, false, &d);
		params[0] = d.subscription;
		w->seen = NULL;
		if (check_lost(j, target, e) != 0 ||
		    db_value(target, &w->seen, e, waits_sql, 1, params) < 0) {
			free(before);
			return -1;
		}
		/* Seen once, it may be between two tries. */
		if (is_same(before, w->seen) && !is_same(w->told, w->seen)) {
			job_notice(j, "the target waits: %s", w->seen);
			free(w->told);
			w->told = xstrdup(w->seen);
		}
		free(before);
	}
	*why = is_same(w->told, w->seen) ? w->seen : "";
	return 0;
}

void
stream_watch_fini(struct stream_watch *w)
{
	free(w->seen);
	free(w->told);
	*w = (struct stream_watch){ .seen = NULL };
}

/* ---- at rest: struct kind's `stalled` ---- */

/* $1: uuid, $2: its step without which there is no slot. */
static const char expects_sql[] =
    "SELECT EXISTS (SELECT FROM meridian.step s JOIN meridian.migration m ON m.uuid = s.uuid WHERE"
    " s.uuid = $1 AND s.name = $2 AND s.state IN ('done', 'skipped') AND ($2 = 'slot' OR"
    " coalesce(m.options ->> 'reverse', 'on') = 'on'))";

static int
put_lost(PGconn *home, const struct migration *m, const char *slot, struct buf *out, struct err *e)
{
	char publication[24], *what = NULL;
	int rc;

	snprintf(publication, sizeof(publication), "mrd_%d", m->id);
	rc = is_lost_here(home, slot, publication, &what, e);
	if (rc > 0 && m->state == STATE_REDIRECTING)
		buf_printf(out, "the way back is gone: %s; COMPLETE MIGRATION %d gives it up", what,
			   m->id);
	else if (rc > 0)
		buf_printf(out, "%s; ABORT MIGRATION %d and begin again", what, m->id);
	free(what);
	return rc < 0 ? -1 : 0;
}

/* The home is the side that serves: there the slot is, for the way on and for the way back. */
int
stream_stalled(PGconn *home, const struct migration *m, bool *is_final, struct buf *out,
	       struct err *e)
{
	bool is_back = m->state == STATE_REDIRECTING, is_expected;
	const char *params[] = { m->uuid, is_back ? "reverse_subscription" : "slot" };
	bool is_active = true;
	char slot[32];

	if (db_is(home, &is_expected, e, expects_sql, 2, params) != 0)
		return -1;
	if (!is_expected)
		return 0;
	snprintf(slot, sizeof(slot), "mrd_%d_%s", m->id, is_back ? "rev" : "fwd");
	if (put_lost(home, m, slot, out, e) != 0)
		return -1;
	*is_final = out->n > 0;
	params[0] = slot;
	if (!*is_final &&
	    db_is(home, &is_active, e,
		  "SELECT active FROM pg_replication_slots WHERE slot_name = $1", 1, params) != 0)
		return -1;
	if (!is_active)
		buf_printf(out,
			   "%s stands still: nobody reads replication slot %s; the log of the %s"
			   " says why",
			   is_back ? "the way back" : "replication", slot,
			   is_back ? MOVE_SOURCE : MOVE_TARGET);
	return 0;
}
