/* SPDX-License-Identifier: PostgreSQL
 *
 * What has to hold before any session is frozen. A guard that does not is a check of severity
 * ERROR; FORCE (name) passes over it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/fleet.h"
#include "migration/forecast.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "migration/move/stream.h"
#include "migration/move/verifiers.h"
#include "migration/plan.h"
#include "protocol/sqlstate.h"

#define PATIENCE_US (30 * USEC_PER_SEC)
#define LOOK_US     (250 * USEC_PER_MSEC)
#define SAMPLES     3
#define SAMPLE_US   (30 * USEC_PER_MSEC)
#define REHEARSE_US (5 * USEC_PER_SEC)

/* The logins of the sessions, tried once. */
struct rehearsed {
	struct gate_logins *logins; /* NULL: not yet, or there are no sessions here */
	bool is_done;
	unsigned others; /* sessions of other proxies that would be closed */
	unsigned others_kept;
};

struct guarded {
	struct job *j;
	struct direction d;
	PGconn *from, *to;
	struct checks *out;
	bool is_final; /* what waiting may resolve is an error too */
	bool is_lost;  /* replication is: what else is not as it should be follows from that */
	bool waiting_is_useless; /* no waiting helps */
	struct rehearsed *rehearsed;
	struct buf forecast; /* of the sessions, for people; empty: not made */
};

/* FINALIZE waits a while for these by itself. */
static bool
may_resolve_itself(const char *guard)
{
	static const char *const guards[] = { "copied",    "slot",    "lag",
					      "long_xact", "proxies", "sessions" };

	for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
		if (strcmp(guard, guards[i]) == 0)
			return true;
	}
	return false;
}

static void
fail(struct guarded *g, const char *guard, const char *object, const char *detail, const char *fix)
{
	bool is_warning = job_is_forced(g->j, guard) || (!g->is_final && may_resolve_itself(guard));

	checks_add(g->out, is_warning ? CHECK_WARN : CHECK_ERROR, guard, object, detail, fix);
}

/* Each row (object, detail) of a query is one that does not hold. */
static int __attribute__((format(printf, 6, 7)))
fail_rows(struct guarded *g, PGconn *c, const char *guard, const char *fix, struct err *e,
	  const char *fmt, ...)
{
	struct buf sql = { .cap = 0 };
	PGresult *r;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&sql, fmt, ap);
	va_end(ap);
	r = db_query(c, e, buf_text(&sql), 0, NULL);
	buf_fini(&sql);
	if (r == NULL)
		return err_prefix(e, "guard %s", guard);
	for (int i = 0; i < PQntuples(r); i++)
		fail(g, guard, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), fix);
	PQclear(r);
	return 0;
}

/* ---- one by one ---- */

/* No waiting brings it back. */
static int
guard_lost(struct guarded *g, struct err *e)
{
	bool is_kept = !g->d.is_backward || move_has_way_back(g->j);
	char *what = is_kept ? NULL : xstrdup("nothing was replicated back (reverse = off)");
	int rc = is_kept ? stream_is_lost(&g->d, g->from, g->to, &what, e) : 1;

	if (rc > 0)
		fail(g, "lost", "", what,
		     g->d.is_backward ? "COMPLETE, and give up the way back"
				      : "ABORT, and begin again");
	g->is_lost = rc > 0 && !job_is_forced(g->j, "lost");
	free(what);
	return rc < 0 ? err_prefix(e, "guard lost") : 0;
}

static int
guard_copied(struct guarded *g, struct err *e)
{
	const char *name = g->d.subscription;

	return fail_rows(
	    g, g->to, "copied", "the log of the server that subscribes says why", e,
	    "SELECT '%s', CASE WHEN NOT s.subenabled THEN 'the subscription is disabled' ELSE"
	    " (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND"
	    " r.srsubstate <> 'r') || ' tables are not copied yet' END FROM pg_subscription s"
	    " WHERE s.subname = '%s' AND (NOT s.subenabled OR EXISTS (SELECT FROM"
	    " pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r'))"
	    " UNION ALL SELECT '%s', 'there is no such subscription' WHERE NOT EXISTS (SELECT"
	    " FROM pg_subscription WHERE subname = '%s')"
	    " UNION ALL SELECT '%s', 'its worker does not run' WHERE NOT EXISTS (SELECT FROM"
	    " pg_stat_subscription WHERE subname = '%s' AND pid IS NOT NULL)",
	    name, name, name, name, name, name);
}

static int
guard_slot(struct guarded *g, struct err *e)
{
	bool has_status = PQserverVersion(g->from) >= 130000;

	return fail_rows(
	    g, g->from, "slot", "ABORT, and begin again", e,
	    "SELECT '%s', coalesce((SELECT %s FROM pg_replication_slots WHERE slot_name = '%s'),"
	    " 'there is no such slot') WHERE NOT EXISTS (SELECT FROM pg_replication_slots"
	    " WHERE slot_name = '%s' AND active%s)",
	    g->d.subscription,
	    has_status ? "'active: ' || active || ', wal_status: ' || coalesce(wal_status, '')"
		       : "'active: ' || active",
	    g->d.subscription, g->d.subscription, has_status ? " AND wal_status <> 'lost'" : "");
}

/* It says how long the pause will be; that nothing is lost says the marker. */
static int
guard_lag(struct guarded *g, struct err *e)
{
	int64_t most = job_option_int(g->j, "max_lag"), lag = 0;
	char detail[96];
	const char *const params[] = { g->d.subscription };
	static const char lag_sql[] =
	    "SELECT coalesce((SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)"
	    " FROM pg_stat_replication r WHERE r.application_name = $1 ORDER BY r.pid LIMIT 1),"
	    " (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)"
	    " FROM pg_replication_slots s WHERE s.slot_name = $1), 0)::bigint";

	for (int i = 0; i < SAMPLES; i++) {
		if (i > 0 && job_sleep(g->j, SAMPLE_US, e) != 0)
			return -1;
		if (db_int(g->from, &lag, e, lag_sql, 1, params) != 0)
			return -1;
		if (lag <= most)
			continue;
		snprintf(detail, sizeof(detail), "%" PRId64 " bytes behind, max_lag is %" PRId64,
			 lag, most);
		fail(g, "lag", g->d.subscription, detail, "wait, or SET MIGRATION m (max_lag = …)");
		return 0;
	}
	return 0;
}

static int
guard_schema(struct guarded *g, struct err *e)
{
	struct buf differences = { .cap = 0 };
	int rc = move_compare_schemas(g->from, g->to, &differences, e);

	if (rc == 1)
		fail(g, "schema", "", buf_text(&differences), "make both the same");
	buf_fini(&differences);
	if (rc < 0 || g->d.is_backward)
		return rc < 0 ? -1 : 0;
	return move_check_changes(g->j, g->from, rc == 1 && !job_is_forced(g->j, "schema"), g->out,
				  e);
}

static int
guard_tables(struct guarded *g, struct err *e)
{
	return fail_rows(g, g->from, "unpublished", "ABORT, and begin again", e,
			 "SELECT " SQL_QUALIFIED
			 ", 'is not replicated: it is newer than the migration'" SQL_FROM_TABLES
			 " AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT EXISTS (SELECT"
			 " FROM pg_publication_rel x JOIN pg_publication b ON b.oid = x.prpubid"
			 " WHERE x.prrelid = c.oid AND b.pubname = '%s')",
			 g->d.names.publication);
}

static int
guard_identity(struct guarded *g, struct err *e)
{
	return fail_rows(
	    g, g->from, "identity", "ALTER TABLE … REPLICA IDENTITY", e,
	    "SELECT " SQL_QUALIFIED ", 'has no replica identity any more'" SQL_FROM_TABLES
	    " AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT " SQL_HAS_IDENTITY);
}

static int
guard_long_transactions(struct guarded *g, struct err *e)
{
	return fail_rows(
	    g, g->from, "long_xact", "let it end, or raise freeze_deadline", e,
	    "SELECT a.pid::text, a.usename || ' has had a transaction open for ' ||"
	    " date_trunc('milliseconds', clock_timestamp() - a.xact_start)::text || ' (' ||"
	    " coalesce(a.state, '') || ')' FROM pg_stat_activity a WHERE a.datname ="
	    " current_database() AND a.backend_xid IS NOT NULL AND a.backend_type ="
	    " 'client backend' AND a.xact_start < clock_timestamp() - interval '%" PRId64
	    " milliseconds' AND a.application_name !~ '^meridian'",
	    job_option_usec(g->j, "freeze_deadline") / USEC_PER_MSEC);
}

#define SQL_LOCKS                                                                              \
	"SELECT '', n || ' tables need more locks than max_locks_per_transaction allows' FROM" \
	" (SELECT count(*) * 2 AS n" SQL_FROM_TABLES ") x WHERE n > current_setting("          \
	"'max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint +" \
	" current_setting('max_prepared_transactions')::bigint)"
#define SQL_FRESH                                                                        \
	"SELECT id FROM meridian.proxy WHERE id <> $1 AND heartbeat > clock_timestamp()" \
	" - interval '5 seconds' ORDER BY id LIMIT 1000"

static int
guard_proxies(struct guarded *g, struct err *e)
{
	const struct site *site = job_site(g->j);
	const char *const params[] = { site->ops->proxy_id(site->arg) };
	PGresult *from = db_query(g->from, e, SQL_FRESH, 1, params);
	PGresult *to = from != NULL ? db_query(g->to, e, SQL_FRESH, 1, params) : NULL;

	if (to != NULL) {
		/* Proxies look where the migration is at home. One that was seen on the other side
		 * lately and not yet here would not hear of the freeze: it has not noticed yet that
		 * the home has moved. */
		for (int i = 0; i < PQntuples(to); i++) {
			const char *id = PQgetvalue(to, i, 0);
			bool is_there = false;

			for (int k = 0; k < PQntuples(from) && !is_there; k++)
				is_there = strcmp(id, PQgetvalue(from, k, 0)) == 0;
			if (!is_there)
				fail(g, "proxies", id,
				     "this proxy does not watch the side that is left",
				     "wait; it has to reach both sides");
		}
	}
	PQclear(from);
	PQclear(to);
	return to != NULL ? 0 : err_prefix(e, "guard proxies");
}

/* The way back is open at any hour. */
static int
guard_window(struct guarded *g, struct err *e)
{
	struct buf opens = { .cap = 256 };
	int rc = g->d.is_backward ? 1 : move_window_is_open(g->j, &opens, e);

	if (rc == 0)
		fail(g, "window", job_option(g->j, "window"), buf_text(&opens),
		     "wait, or SET MIGRATION m (window = '')");
	buf_fini(&opens);
	return rc < 0 ? err_prefix(e, "window") : 0;
}

/* ---- the sessions ---- */

static int
rehearse(struct guarded *g, const struct gate_move *m, struct err *e)
{
	const struct gate_ops *gate = job_site(g->j)->ops->gate;
	void *arg = job_site(g->j)->arg;
	int64_t deadline_us = clock_us() + REHEARSE_US;
	struct gate_counts others = { 0 };

	if (g->rehearsed->is_done)
		return 0;
	if (fleet_rehearse(g->j, m, deadline_us, &others, e) != 0)
		return err_prefix(e, "guard sessions");
	g->rehearsed->others = others.closed;
	g->rehearsed->others_kept = others.kept;
	if (gate != NULL && gate->logins != NULL) {
		g->rehearsed->logins = gate->logins(arg, m);
		gate->rehearse(arg, g->rehearsed->logins, deadline_us);
	}
	g->rehearsed->is_done = true;
	return 0;
}

/* Asked when all else is well: it takes logins. */
static int
guard_sessions(struct guarded *g, struct err *e)
{
	struct gate_move m;
	struct forecast f;

	if (checks_count(g->out, CHECK_ERROR) > 0)
		return 0;
	direction_gate(g->j, &g->d, &m);
	if (rehearse(g, &m, e) != 0)
		return -1;
	forecast_make(job_site(g->j), &m, g->rehearsed->logins, &f);
	f.sessions += g->rehearsed->others_kept + g->rehearsed->others;
	if (g->rehearsed->others > 0)
		forecast_add(&f, g->rehearsed->others, "other proxies", "their logs say why");
	for (size_t i = 0; i < f.reasons.n; i++) {
		const struct check *c = &f.reasons.v[i];
		bool is_warning = job_is_forced(g->j, c->check) || g->d.is_backward ||
				  (!g->is_final && f.may_resolve_itself);
		char *mend = strncmp(c->object, "role ", 5) == 0
				 ? move_mend_role(g->from, g->to, c->object + 5)
				 : NULL;

		checks_add(g->out, is_warning ? CHECK_WARN : CHECK_ERROR, c->check, c->object,
			   c->detail, mend != NULL ? mend : c->fix);
		free(mend);
	}
	g->waiting_is_useless = !f.may_resolve_itself;
	buf_clear(&g->forecast);
	forecast_put(&f, &g->forecast);
	forecast_fini(&f);
	return 0;
}

/* ---- all ---- */

static int
guard_data(struct guarded *g, struct err *e)
{
	if (g->d.streams)
		return 0;
	if (job_option_is(g->j, "data", "snapshot") && job_step_done(g->j, "copy_rows", NULL))
		return guard_schema(g, e);
	fail(g, "data", "", "Meridian has not copied the data",
	     "RUN MIGRATION m DATA, or FINALIZE FORCE (data) where it is there by other means");
	return 0;
}

static int
run_guards(struct guarded *g, struct err *e)
{
	static int (*const of_replication[])(struct guarded * g, struct err * e) = {
		guard_lost,   guard_copied, guard_slot,    guard_lag,
		guard_schema, guard_tables, guard_identity
	};

	if (guard_data(g, e) != 0)
		return -1;
	for (size_t i = 0;
	     g->d.streams && !g->is_lost && i < sizeof(of_replication) / sizeof(of_replication[0]);
	     i++) {
		if (of_replication[i](g, e) != 0)
			return -1;
	}
	if (job_option_is(g->j, "large_objects", "error") &&
	    fail_rows(g, g->from, "large_objects", "SET MIGRATION m (large_objects = freeze_copy)",
		      e,
		      "SELECT '', count(*) || ' large objects' FROM pg_largeobject_metadata HAVING"
		      " count(*) > 0") != 0)
		return -1;
	if (fail_rows(g, g->from, "locks", "raise max_locks_per_transaction", e, SQL_LOCKS) != 0 ||
	    fail_rows(g, g->to, "locks", "raise max_locks_per_transaction", e, SQL_LOCKS) != 0 ||
	    guard_proxies(g, e) != 0 || guard_long_transactions(g, e) != 0 ||
	    guard_window(g, e) != 0)
		return -1;
	return guard_sessions(g, e);
}

static void
guarded_fini(struct guarded *g)
{
	if (g->rehearsed->logins != NULL)
		job_site(g->j)->ops->gate->logins_free(g->rehearsed->logins);
	buf_fini(&g->forecast);
}

static int
check_guards(struct guarded *g, bool backward, struct err *e)
{
	direction_of(g->j, backward, &g->d);
	g->from = job_db(g->j, g->d.from, e);
	g->to = g->from != NULL ? job_db(g->j, g->d.to, e) : NULL;
	return g->to != NULL ? run_guards(g, e) : -1;
}

int
move_check_guards(struct job *j, bool backward, struct checks *out, struct err *e)
{
	struct rehearsed rehearsed = { 0 };
	struct guarded g = { .j = j, .out = out, .rehearsed = &rehearsed };
	int rc = check_guards(&g, backward, e);

	if (g.forecast.n > 0)
		job_notice(j, "%s", buf_text(&g.forecast));
	guarded_fini(&g);
	return rc;
}

/* ---- the steps ---- */

static int
refuse(struct job *j, bool backward, bool is_lost, struct buf *failed, struct err *e)
{
	err_set(e, SQLSTATE_GUARD_FAILED, "guards of %s failed", backward ? "REVERSE" : "FINALIZE");
	err_detail(e, "%s", buf_text(failed));
	if (!is_lost)
		return err_hint(e, "FORCE (guard, …) passes over those that it names.");
	return backward ? err_hint(e, "COMPLETE MIGRATION %d; gives up the way back.", job_id(j))
			: err_hint(e, "ABORT MIGRATION %d; and begin again.", job_id(j));
}

/* One look at all of them. 0: they hold; 1: those in `failed` do not, and waiting may help (else
 * *hopeless); -1 and *e. */
static int
look(struct guarded *g, bool backward, struct buf *failed, bool *hopeless, struct err *e)
{
	struct checks checks = { 0 };
	int rc;

	g->out = &checks;
	g->waiting_is_useless = false;
	buf_clear(failed);
	rc = check_guards(g, backward, e);
	*hopeless = g->waiting_is_useless;
	for (size_t i = 0; i < checks.n; i++) {
		const struct check *c = &checks.v[i];

		if (c->severity != CHECK_ERROR)
			continue;
		*hopeless = *hopeless || !may_resolve_itself(c->check);
		buf_printf(failed, "%s%s%s%s: %s", failed->n > 0 ? "\n" : "", c->check,
			   *c->object != '\0' ? " " : "", c->object, c->detail);
	}
	checks_fini(&checks);
	return rc != 0 ? -1 : failed->n > 0;
}

/* What is only a matter of time is waited for. */
static int
guards_act(struct job *j, const struct migration_step *s, struct err *e)
{
	int64_t end = clock_us() + PATIENCE_US;
	bool backward = s->def->phase == PHASE_REVERSE, hopeless;
	struct rehearsed rehearsed = { 0 };
	struct guarded g = { .j = j, .is_final = true, .rehearsed = &rehearsed };
	struct buf failed = { .cap = 0 };
	int rc;

	if (!backward && move_report_changes(j, e) != 0)
		return -1;
	while ((rc = look(&g, backward, &failed, &hopeless, e)) == 1 && !hopeless &&
	       clock_us() <= end) {
		job_progress(j, -1, "guards: %.200s", buf_text(&failed));
		rc = job_sleep(j, LOOK_US, e);
		if (rc != 0)
			break;
	}
	if (rc >= 0 && g.forecast.n > 0)
		job_notice(j, "%s", buf_text(&g.forecast));
	if (rc == 1)
		rc = refuse(j, backward, g.is_lost, &failed, e);
	guarded_fini(&g);
	buf_fini(&failed);
	return rc;
}

MOVE_STEP(move_guards, "guards", PHASE_FINALIZE, CLASS_R, .each_time = true, .act = guards_act);
MOVE_STEP(move_reverse_guards, "reverse_guards", PHASE_REVERSE, CLASS_R, .each_time = true,
	  .act = guards_act);
