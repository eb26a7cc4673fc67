/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/db.h"

#include <inttypes.h>
#include <libpq-events.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/pgquote.h"
#include "base/text.h"
#include "routing/watch/pgdial.h"

/* What each connection says of itself, in front of the options that the conninfo may have. */
#define OUR_OPTIONS                                                             \
	"-c meridian.internal=on -c default_transaction_read_only=off "         \
	"-c statement_timeout=0 -c lock_timeout=0 -c client_min_messages=error" \
	" -c idle_in_transaction_session_timeout=0 -c DateStyle=ISO"            \
	" -c synchronous_commit=on" /* what is said to be done survives a crash of the server */

static char *
options_of(const char *conninfo)
{
	char *wrong = NULL, *out = NULL;
	PQconninfoOption *v = PQconninfoParse(conninfo, &wrong);

	for (const PQconninfoOption *o = v; o != NULL && o->keyword != NULL; o++)
		if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
			out = xasprintf("%s " OUR_OPTIONS, o->val);
	PQconninfoFree(v);
	PQfreemem(wrong);
	return out != NULL ? out : xstrdup(OUR_OPTIONS);
}

/* ---- waits that end ---- */

/* What a connection has that does not wait for ever: instance data of libpq. */
struct limit {
	int64_t us;
	bool was_reached;
};

static int
limit_on_event(PGEventId id, void *info, void *arg)
{
	(void)arg;
	if (id == PGEVT_CONNDESTROY)
		free(PQinstanceData(((PGEventConnDestroy *)info)->conn, limit_on_event));
	return 1;
}

int
db_limit_waits(PGconn *c, int64_t us, struct err *e)
{
	struct limit *l;

	if (!PQregisterEventProc(c, limit_on_event, "limit", NULL) || PQsetnonblocking(c, 1) < 0)
		return err_set(e, "53200", "out of memory");
	l = xcalloc(1, sizeof(*l));
	l->us = us;
	PQsetInstanceData(c, limit_on_event, l);
	return 0;
}

/* Until PQgetResult() does not wait. When the limit is reached the connection is shut down, which
 * libpq reports as a server that closed it. */
static void
await_result(PGconn *c, struct limit *l, int64_t until)
{
	while (!l->was_reached) {
		int unsent = PQflush(c);
		struct pollfd p = { .fd = PQsocket(c),
				    .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN) };
		int64_t left = until - clock_us();

		if (unsent < 0 || !PQisBusy(c))
			return;
		l->was_reached = left <= 0;
		if (l->was_reached)
			shutdown(p.fd, SHUT_RDWR);
		else if (poll(&p, 1, (int)(left / USEC_PER_MSEC) + 1) > 0 && !PQconsumeInput(c))
			return;
	}
}

static int
err_unreached(PGconn *c, struct err *e)
{
	const struct limit *l = PQinstanceData(c, limit_on_event);
	const char *why = c != NULL ? pgdial_message(c) : "out of memory";
	size_t n = strcspn(why, "\n");

	if (l != NULL && l->was_reached)
		return err_set(e, "08006", "no answer within %" PRId64 " s", l->us / USEC_PER_SEC);
	err_set(e, "08006", "%.*s", (int)n, why);
	if (why[n] == '\n' && why[n + 1] != '\0')
		err_detail(e, "%s", why + n + 1);
	return -1;
}

static void
nothing(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

PGconn *
db_connect(const char *conninfo, int migration, struct err *e)
{
	char name[48] = "meridian-console", *options = options_of(conninfo);
	PGconn *c;

	if (migration > 0)
		snprintf(name, sizeof(name), "meridian-exec-%d", migration);
	/* What stands in front of dbname may be said otherwise by the conninfo. */
	const char *keys[] = { "connect_timeout",
			       "keepalives",
			       "keepalives_idle",
			       "keepalives_interval",
			       "keepalives_count",
			       "tcp_user_timeout",
			       "dbname",
			       "application_name",
			       "options",
			       "client_encoding",
			       NULL };
	const char *values[] = { "5",      "1",  "5",     "2",    "3", "20000",
				 conninfo, name, options, "UTF8", NULL };

	c = PQconnectdbParams(keys, values, 1);
	free(options);
	if (c == NULL || PQstatus(c) != CONNECTION_OK) {
		err_unreached(c, e);
		PQfinish(c);
		return NULL;
	}
	PQsetNoticeReceiver(c, nothing, NULL);
	return c;
}

char *
db_conninfo(const char *conninfo, int migration)
{
	char *options = options_of(conninfo), *out;
	struct buf b = { 0 };

	buf_printf(&b, "%s application_name=meridian-exec-%d options=", conninfo, migration);
	pgquote_conninfo(&b, slice_str(options));
	out = buf_take_text(&b);
	free(options);
	return out;
}

int
db_error(PGconn *c, const PGresult *r, struct err *e)
{
	const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *text = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *detail, *hint, *context;

	if (state == NULL || text == NULL) {
		if (PQstatus(c) == CONNECTION_OK && r != NULL && *PQresultErrorMessage(r) == '\0')
			return err_set(e, "XX000", "the server gave an answer of another kind");
		return err_unreached(c, e);
	}
	err_set(e, state, "%s", text);
	detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
	context = PQresultErrorField(r, PG_DIAG_CONTEXT);
	hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	if (detail != NULL || context != NULL)
		err_detail(e, "%s", detail != NULL ? detail : context);
	if (hint != NULL)
		err_hint(e, "%s", hint);
	return -1;
}

PGresult *
db_query(PGconn *c, struct err *e, const char *sql, int nparams, const char *const *params)
{
	struct limit *l = PQinstanceData(c, limit_on_event);
	PGresult *r = NULL, *next;
	ExecStatusType s;

	if (l == NULL)
		r = nparams < 0 ? PQexec(c, sql)
				: PQexecParams(c, sql, nparams, NULL, params, NULL, NULL, 0);
	else if (nparams < 0 ? PQsendQuery(c, sql)
			     : PQsendQueryParams(c, sql, nparams, NULL, params, NULL, NULL, 0))
		/* The last result, as PQexec() has it. */
		for (int64_t until = clock_us() + l->us;; r = next) {
			await_result(c, l, until);
			next = PQgetResult(c);
			if (next == NULL)
				break;
			PQclear(r);
		}
	s = PQresultStatus(r);
	if (s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK || s == PGRES_EMPTY_QUERY)
		return r;
	db_error(c, r, e);
	PQclear(r);
	return NULL;
}

int
db_exec(PGconn *c, struct err *e, const char *sql)
{
	PGresult *r = db_query(c, e, sql, -1, NULL);

	PQclear(r);
	return r != NULL ? 0 : -1;
}

int
db_change(PGconn *c, struct err *e, const char *sql, int nparams, const char *const *params)
{
	PGresult *r = db_query(c, e, sql, nparams, params);
	int n = r != NULL ? atoi(PQcmdTuples(r)) : -1;

	PQclear(r);
	return n;
}

static char *
formatted(const char *fmt, va_list ap)
{
	struct buf b = { 0 };

	buf_vprintf(&b, fmt, ap);
	buf_u8(&b, 0);
	if (b.failed)
		abort();
	return b.p;
}

int
db_execf(PGconn *c, struct err *e, const char *fmt, ...)
{
	va_list ap;
	char *sql;
	int rc;

	va_start(ap, fmt);
	sql = formatted(fmt, ap);
	va_end(ap);
	rc = db_exec(c, e, sql);
	free(sql);
	return rc;
}

PGresult *
db_query_secretly(PGconn *c, struct err *e, const char *sql, int nparams, const char *const *params)
{
	PGresult *r;

	if (db_exec(c, e, SQL_SECRETLY("false")) != 0)
		return NULL;
	r = db_query(c, e, sql, nparams, params);
	/* in a transaction that has failed it goes with that */
	(void)db_exec(c, NULL,
		      "SELECT set_config(name, reset_val, false) FROM pg_settings WHERE name IN"
		      " ('log_statement', 'log_min_error_statement', 'log_min_duration_statement')"
		      " AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)");
	return r;
}

PGresult *
db_queryf(PGconn *c, struct err *e, const char *fmt, ...)
{
	va_list ap;
	char *sql;
	PGresult *r;

	va_start(ap, fmt);
	sql = formatted(fmt, ap);
	va_end(ap);
	r = db_query(c, e, sql, -1, NULL);
	free(sql);
	return r;
}

int
db_value(PGconn *c, char **out, struct err *e, const char *sql, int nparams,
	 const char *const *params)
{
	PGresult *r = db_query(c, e, sql, nparams, params);

	*out = NULL;
	if (r == NULL)
		return -1;
	if (PQntuples(r) > 0 && PQnfields(r) > 0)
		*out = db_text(r, 0, 0);
	PQclear(r);
	return *out != NULL ? 1 : 0;
}

char *
db_text(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? NULL : xstrdup(PQgetvalue(r, row, column));
}

int
db_is(PGconn *c, bool *out, struct err *e, const char *sql, int nparams, const char *const *params)
{
	char *value;
	int rc = db_value(c, &value, e, sql, nparams, params);

	if (rc < 0)
		return -1;
	*out = rc > 0 && (value[0] == 't' || value[0] == '1');
	free(value);
	return 0;
}

int
db_int(PGconn *c, int64_t *out, struct err *e, const char *sql, int nparams,
       const char *const *params)
{
	char *value;
	int rc = db_value(c, &value, e, sql, nparams, params);

	if (rc < 0)
		return -1;
	*out = 0;
	if (rc > 0 && !text_to_int(slice_str(value), INT64_MIN, INT64_MAX, out))
		rc = err_set(e, "XX000", "not a number: %.60s", value);
	free(value);
	return rc < 0 ? -1 : 0;
}

/* A string of libpq as one of our own; where there is none, `otherwise`. */
static char *
own_text(char *p, const char *otherwise)
{
	char *out = xstrdup(p != NULL ? p : otherwise);

	PQfreemem(p);
	return out;
}

char *
db_literal(PGconn *c, const char *s)
{
	return own_text(PQescapeLiteral(c, s, strlen(s)), "NULL");
}

char *
db_ident(PGconn *c, const char *s)
{
	return own_text(PQescapeIdentifier(c, s, strlen(s)), "\"\"");
}

bool
db_is_retryable(const struct err *e)
{
	return strcmp(e->sqlstate, "55P03") == 0 || strcmp(e->sqlstate, "40P01") == 0 ||
	       strcmp(e->sqlstate, "40001") == 0;
}

void
db_cancel(PGconn *c)
{
	char ignored[256];
	PGcancel *k = PQgetCancel(c);

	if (k != NULL)
		(void)PQcancel(k, ignored, sizeof(ignored));
	PQfreeCancel(k);
}
