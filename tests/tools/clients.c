/* SPDX-License-Identifier: PostgreSQL
 *
 * clients - what tests need of libpq beyond psql.
 *
 *   clients hold N CONNINFO       opens N sessions, one query on each, says "ready"; at each line
 *                                 on standard input another query on each and "ready" again; ends
 *                                 with the input
 *   clients pipeline N CONNINFO   N queries in pipeline mode, one in 100 an error, a Sync behind
 *                                 every 10; results are read while there is more to send; prints
 *                                 "rows R errors E aborted A syncs S"
 *   clients echo N CONNINFO       a value of N bytes to the server and back; prints "same" when it
 *                                 is
 *   clients cancel N CONNINFO     N sessions; in each a long query, cancelled by PQcancel; prints
 *                                 the SQLSTATE of each, and says whether PQbackendPID() is the pid
 *                                 that the server gives
 *   clients cancelconn N CONNINFO the same by PQcancelBlocking, whose connection is made as the
 *                                 session's was, encrypted; prints "none" where libpq has it not
 *                                 (before 17)
 */
#include "config.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

static void
die(const char *what, PGconn *conn)
{
	printf("%s: %s\n", what, conn != NULL ? PQerrorMessage(conn) : "");
	exit(1);
}

static PGconn *
open_session(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", conn);
	return conn;
}

/* ---------------------------------------------------------------- hold */

static void
ask_each(PGconn **conns, int n)
{
	for (int i = 0; i < n; i++) {
		PGresult *res = PQexec(conns[i], "SELECT 1");

		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			die("query", conns[i]);
		PQclear(res);
	}
	printf("ready\n");
	fflush(stdout);
}

static int
hold(int n, const char *conninfo)
{
	PGconn **conns = calloc((size_t)n, sizeof(*conns));
	char line[100];

	if (conns == NULL)
		die("memory", NULL);
	for (int i = 0; i < n; i++)
		conns[i] = open_session(conninfo);
	do {
		ask_each(conns, n);
	} while (fgets(line, sizeof(line), stdin) != NULL);
	for (int i = 0; i < n; i++)
		PQfinish(conns[i]);
	free(conns);
	return 0;
}

/* ---------------------------------------------------------------- pipeline */

struct tally {
	int rows, errors, aborted, syncs;
};

/* Take the results that are there. */
static void
collect(PGconn *conn, struct tally *t, int syncs_wanted)
{
	bool more = true;

	while (more && t->syncs < syncs_wanted && !PQisBusy(conn)) {
		PGresult *res = PQgetResult(conn);
		ExecStatusType status = PQresultStatus(res);

		t->rows += status == PGRES_TUPLES_OK;
		t->errors += status == PGRES_FATAL_ERROR && res != NULL;
		t->aborted += status == PGRES_PIPELINE_ABORTED;
		t->syncs += status == PGRES_PIPELINE_SYNC;
		PQclear(res);
	}
}

static void
send_one(PGconn *conn, int i)
{
	char value[20];
	const char *values[1] = { value };

	snprintf(value, sizeof(value), "%d", i % 100 == 95 ? 0 : 1);
	if (PQsendQueryParams(conn, "SELECT 1/$1::int, repeat('x', 100)", 1, NULL, values, NULL,
			      NULL, 0) != 1)
		die("send", conn);
	if (i % 10 == 9 && PQpipelineSync(conn) != 1)
		die("sync", conn);
}

static int
pipeline(int n, const char *conninfo)
{
	PGconn *conn = open_session(conninfo);
	struct pollfd p = { .fd = PQsocket(conn) };
	struct tally t = { 0 };
	int sent = 0, syncs = n / 10, left = 0;

	if (PQsetnonblocking(conn, 1) != 0 || PQenterPipelineMode(conn) != 1)
		die("pipeline", conn);
	while (t.syncs < syncs) {
		for (int i = 0; i < 1000 && sent < syncs * 10 && left == 0; i++) {
			send_one(conn, sent++);
			left = PQflush(conn);
		}
		if (left != 0)
			left = PQflush(conn);
		p.events = POLLIN | (left != 0 || sent < syncs * 10 ? POLLOUT : 0);
		if (left < 0 || poll(&p, 1, 20000) <= 0 || PQconsumeInput(conn) != 1)
			die("wait", conn);
		collect(conn, &t, syncs);
	}
	printf("rows %d errors %d aborted %d syncs %d\n", t.rows, t.errors, t.aborted, t.syncs);
	PQfinish(conn);
	return 0;
}

/* ---------------------------------------------------------------- echo */

static int
echo(int n, const char *conninfo)
{
	PGconn *conn = open_session(conninfo);
	char *value = malloc((size_t)n);
	const char *values[1] = { value };
	const int lengths[1] = { n }, formats[1] = { 1 };
	PGresult *res;
	bool same;

	if (value == NULL)
		die("memory", NULL);
	for (int i = 0; i < n; i++)
		value[i] = (char)(i % 251 + i / 65536);
	res = PQexecParams(conn, "SELECT $1::bytea", 1, NULL, values, lengths, formats, 1);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		die("echo", conn);
	same = PQgetlength(res, 0, 0) == n && memcmp(PQgetvalue(res, 0, 0), value, (size_t)n) == 0;
	printf("%s\n", same ? "same" : "differs");
	PQclear(res);
	PQfinish(conn);
	free(value);
	return 0;
}

/* ---------------------------------------------------------------- cancel */

typedef void (*request_fn)(PGconn *conn);

static void
request(PGconn *conn)
{
	PGcancel *key = PQgetCancel(conn);
	char reason[256];

	if (PQcancel(key, reason, sizeof(reason)) != 1)
		die(reason, NULL);
	PQfreeCancel(key);
}

/* Until it ends: a cancel that comes before the query has begun cancels nothing. */
static PGresult *
cancelled(PGconn *conn, request_fn ask)
{
	struct pollfd answer = { .fd = PQsocket(conn), .events = POLLIN };

	do {
		ask(conn);
		poll(&answer, 1, 1000);
		if (PQconsumeInput(conn) != 1)
			die("answer", conn);
	} while (PQisBusy(conn));
	return PQgetResult(conn);
}

static int
cancel_by(int n, const char *conninfo, request_fn ask)
{
	PGconn **conns = calloc((size_t)n, sizeof(*conns));

	if (conns == NULL)
		die("memory", NULL);
	for (int i = 0; i < n; i++) {
		PGresult *res;

		conns[i] = open_session(conninfo);
		res = PQexec(conns[i], "SELECT pg_backend_pid()");
		printf("pid %s ",
		       atoi(PQgetvalue(res, 0, 0)) == PQbackendPID(conns[i]) ? "same" : "differs");
		PQclear(res);
		if (PQsendQuery(conns[i], "SELECT pg_sleep(100)") != 1)
			die("send", conns[i]);
	}
	printf("\n");
	for (int i = 0; i < n; i++) {
		PGresult *res = cancelled(conns[i], ask);

		printf("%s ", PQresultErrorField(res, PG_DIAG_SQLSTATE));
		PQclear(res);
		/* the others go on */
		if (i + 1 < n && (PQconsumeInput(conns[i + 1]) != 1 || !PQisBusy(conns[i + 1])))
			die("the wrong one was cancelled", conns[i + 1]);
	}
	printf("\n");
	for (int i = 0; i < n; i++)
		PQfinish(conns[i]);
	free(conns);
	return 0;
}

static int
cancel(int n, const char *conninfo)
{
	return cancel_by(n, conninfo, request);
}

#ifdef LIBPQ_HAS_ASYNC_CANCEL
static void
request_alike(PGconn *conn)
{
	PGcancelConn *c = PQcancelCreate(conn);

	if (PQcancelBlocking(c) != 1)
		die(PQcancelErrorMessage(c), NULL);
	PQcancelFinish(c);
}

static int
cancelconn(int n, const char *conninfo)
{
	return cancel_by(n, conninfo, request_alike);
}
#else
static int
cancelconn(int n, const char *conninfo)
{
	(void)n, (void)conninfo;
	printf("none\n");
	return 0;
}
#endif

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int n, const char *conninfo);
	} commands[] = {
		{ "hold", hold },     { "pipeline", pipeline },     { "echo", echo },
		{ "cancel", cancel }, { "cancelconn", cancelconn },
	};
	int n = argc == 4 ? atoi(argv[2]) : 0;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (n > 0 && strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(n, argv[3]);
	}
	fprintf(stderr, "usage: clients hold|pipeline|echo|cancel|cancelconn N CONNINFO\n");
	return 2;
}
