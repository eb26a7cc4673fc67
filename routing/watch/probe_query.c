/* SPDX-License-Identifier: PostgreSQL
 *
 * A probe with a role: logging in, the round trip, and the questions.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"

/* A role that was refused is tried again after this; until then, bare handshakes. */
#define REFUSED_US (60 * USEC_PER_SEC)
/* The first round trip ever is the best of so many: it begins the average, and the first one of a
 * new connection pays for the server's caches. */
#define FIRST_PINGS 3

static void ask_facts(struct watch *w);
static void watch_on_result(evutil_socket_t fd, short what, void *arg);

/* The connection broke. One that had stood since an earlier probe may simply be old. */
static void
broken(struct watch *w)
{
	char why[128], sqlstate[6];

	pgdial_explain(pgdial_message(w->conn), why, sqlstate);
	watch_drop_connection(w);
	if (w->kept) {
		w->kept = false;
		w->lost = true;
		watch_log_in(w);
	} else {
		watch_fail(w, "%s", why);
	}
}

/* What is still in libpq's buffer has to go out as well. */
static void
flush(struct watch *w)
{
	int left = PQflush(w->conn);

	if (left < 0)
		broken(w);
	else
		watch_wait_for(w, PQsocket(w->conn), left > 0 ? EV_READ | EV_WRITE : EV_READ,
			       watch_on_result);
}

void
watch_ask(struct watch *w, enum watch_state state, const char *sql)
{
	watch_enter(w, state);
	w->step_us = clock_us();
	if (PQsendQuery(w->conn, sql) == 0)
		broken(w);
	else
		flush(w);
}

void
watch_ping(struct watch *w)
{
	watch_ask(w, WATCH_PING, "");
}

static void
ask_facts(struct watch *w)
{
	if (facts_sql[w->level] != NULL)
		watch_ask(w, WATCH_FACTS, facts_sql[w->level]);
	else
		watch_finish(w, true);
}

/* What is asked behind the facts, and not each time. */
static void
ask_more(struct watch *w)
{
	const struct probe_facts *f = &w->facts;

	if (f->kind == KIND_CITUS && !f->recovery)
		watch_ask(w, WATCH_CITUS, facts_citus_sql);
	else
		watch_discover(w);
}

static void
take_coming(struct watch *w)
{
	enum node_role before = facts_role(w, clock_us());
	int64_t now_us = clock_us();

	w->facts = w->coming;
	facts_apply(w, now_us);
	if (facts_role(w, now_us) != before)
		prober_note(w->prober, NEWS_CHANGE);
	if (before == ROLE_PRIMARY && !facts_has_primary(w))
		watch_hurry(w);
}

/* The server answers, but not this: less is asked from now on. */
static void
take_error(struct watch *w, const PGresult *res)
{
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (w->state == WATCH_FACTS && w->level < FACTS_NONE && sqlstate != NULL &&
	    facts_is_beyond(sqlstate)) {
		w->level++;
		ask_facts(w);
		return;
	}
	if (w->state == WATCH_HISTORY)
		take_coming(w);
	watch_finish(w, true);
}

static void
take_history(struct watch *w, const PGresult *res)
{
	if (PQntuples(res) == 1 && PQnfields(res) == 1 && PQgetisnull(res, 0, 0) == 0 &&
	    timeline_ends_read(&w->ends, w->history_of, slice_str(PQgetvalue(res, 0, 0))))
		prober_note(w->prober, NEWS_CHANGE);
	take_coming(w);
	ask_more(w);
}

/* A node on another timeline is on it once it has said where the one before has ended: from then on
 * it can be told what a fail-over has lost. */
static void
take_facts(struct watch *w, const PGresult *res)
{
	struct probe_facts *f = &w->coming;
	struct buf sql = { .cap = 1024 };

	*f = (struct probe_facts){ 0 };
	if (!facts_read(f, res, w->level)) {
		watch_finish(w, true);
		return;
	}
	f->server_version = PQserverVersion(w->conn);
	if (f->kind == KIND_CITUS)
		f->multi = w->facts.multi;
	if (w->level == FACTS_FULL && f->timeline > 1 && w->ends.of != f->timeline &&
	    w->history_of != f->timeline) {
		w->history_of = f->timeline;
		facts_put_history(&sql, f->timeline);
		watch_ask(w, WATCH_HISTORY, buf_text(&sql));
		buf_fini(&sql);
		return;
	}
	take_coming(w);
	ask_more(w);
}

static void
take_result(struct watch *w)
{
	PGresult *res = w->result;
	ExecStatusType status = PQresultStatus(res);

	w->result = NULL;
	if (PQstatus(w->conn) != CONNECTION_OK) {
		broken(w);
	} else if (w->state == WATCH_PING) {
		int64_t rtt_us = clock_us() - w->step_us;

		if (w->pings++ == 0 || rtt_us < w->sample.rtt_us)
			w->sample.rtt_us = rtt_us;
		if (w->health.rtt_us == 0 && w->pings < FIRST_PINGS)
			watch_ping(w);
		else
			ask_facts(w);
	} else if (w->state == WATCH_DISCOVER) {
		discover_take(w, res);
	} else if (status != PGRES_TUPLES_OK) {
		take_error(w, res);
	} else if (w->state == WATCH_HISTORY) {
		take_history(w, res);
	} else if (w->state == WATCH_CITUS) {
		bool multi = PQntuples(res) == 1 && strcmp(PQgetvalue(res, 0, 0), "t") == 0;

		if (multi != w->facts.multi)
			prober_note(w->prober, NEWS_CHANGE);
		w->facts.multi = multi;
		watch_discover(w);
	} else {
		take_facts(w, res);
	}
	PQclear(res);
}

static void
watch_on_result(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	PGresult *res;

	(void)fd, (void)what;
	if (!watch_hear(w))
		return;
	if (PQconsumeInput(w->conn) == 0) {
		broken(w);
		return;
	}
	while (PQisBusy(w->conn) == 0) {
		res = PQgetResult(w->conn);
		if (res == NULL) {
			take_result(w);
			return;
		}
		if (w->result == NULL)
			w->result = res;
		else
			PQclear(res);
	}
	flush(w);
}

/* ---- logging in ---- */

/* Whether the server is well and only refuses the role. */
static bool
login_is_refusal(const char *sqlstate)
{
	/* classes: invalid authorization, invalid catalog name, access rule violation, and the
	 * connection limits of a role or database */
	static const char *const classes[] = { "28", "3D", "42", "53300" };

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0)
			return true;
	return false;
}

/* Errors that say nothing of the node. */
static const int our_faults[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL };

bool
probe_is_our_fault(int error)
{
	for (size_t i = 0; i < sizeof(our_faults) / sizeof(our_faults[0]); i++)
		if (error == our_faults[i])
			return true;
	return false;
}

bool
login_is_our_fault(const char *why)
{
	if (strstr(why, "out of memory") != NULL)
		return true;
	for (size_t i = 0; i < sizeof(our_faults) / sizeof(our_faults[0]); i++)
		if (strcasestr(why, strerror(our_faults[i])) != NULL)
			return true;
	return false;
}

static void
login_failed(struct watch *w)
{
	char why[128], sqlstate[6];
	bool news = w->login_after_us == 0;

	pgdial_explain(pgdial_message(w->conn), why, sqlstate);
	watch_drop_connection(w);
	if (sqlstate[0] == '\0' && login_is_our_fault(why)) {
		watch_skip(w, why);
		return;
	}
	if (!login_is_refusal(sqlstate)) {
		watch_fail(w, "%s", why);
		return;
	}
	if (strncmp(sqlstate, "53", 2) == 0)
		w->facts.used_connections = w->facts.max_connections;
	else
		w->login_after_us = clock_us() + REFUSED_US;
	if (news)
		log_about(LOG_LEVEL_WARNING, watch_subject(w),
			  "the node refuses the probe's role, its own role stays unknown: %s", why);
	watch_handshake(w);
}

static void
watch_on_login(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	PostgresPollingStatusType next;

	(void)fd, (void)what;
	if (!watch_hear(w))
		return;
	event_del(&w->io); /* libpq may close the descriptor and open another */
	next = PQconnectPoll(w->conn);
	if (w->sample.connect_us == 0 && w->naddrs > 0 && PQstatus(w->conn) != CONNECTION_BAD &&
	    PQstatus(w->conn) != CONNECTION_STARTED)
		w->sample.connect_us = clock_us() - w->step_us;
	switch (next) {
	case PGRES_POLLING_READING:
		watch_wait_for(w, PQsocket(w->conn), EV_READ, watch_on_login);
		return;
	case PGRES_POLLING_WRITING:
		watch_wait_for(w, PQsocket(w->conn), EV_WRITE, watch_on_login);
		return;
	case PGRES_POLLING_OK:
		w->login_after_us = 0;
		w->history_of = 0;
		w->level = facts_first_level(w->conn);
		PQsetnonblocking(w->conn, 1);
		watch_ping(w);
		return;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		login_failed(w);
	}
}

void
watch_log_in(struct watch *w)
{
	char why[128];
	const struct pgdial d = {
		.application = "meridian probe",
		.conninfo = w->prober->conninfo,
		.region = w->region_words,
		.host = w->host,
		.port = w->port,
		.addrs = w->addrs,
		.naddrs = w->naddrs,
		.first = w->first_addr,
	};

	watch_enter(w, WATCH_LOGIN);
	w->step_us = clock_us();
	w->conn = pgdial_start(&d, why);
	if (w->conn != NULL)
		watch_wait_for(w, PQsocket(w->conn), EV_WRITE, watch_on_login);
	else if (login_is_our_fault(why))
		watch_skip(w, why);
	else
		watch_fail(w, "%s", why);
}
