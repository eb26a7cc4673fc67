/* SPDX-License-Identifier: PostgreSQL
 *
 * A writer that remembers what it was promised, for tests of migrations.
 *
 *     ledger [-c CLIENTS] [-f FIRST] [-w MS] [-e] [-p] CONNINFO [CONNINFO …]
 *
 * Each client inserts rows (client, n), client counted from FIRST, into table ledger(client int, n
 * int, …) as fast as it can, each a transaction (-w: with a pause of so many milliseconds between
 * them); -e puts BEGIN and COMMIT around it, -p uses prepared statements. With several CONNINFO a
 * client that is refused by the fence (MR001) or loses its connection goes to the next one: one
 * that bypasses the proxy. Runs until its standard input ends or says something, then prints, for
 * each row that was acknowledged, "ack CLIENT N", and at last a line
 *
 *     total ACKED errors ERRORS unknown UNKNOWN reconnects RECONNECTS gap_ms LONGEST
 *
 * unknown: the connection was lost while a COMMIT was under way. Errors are printed to stderr.
 */
#include "config.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define CLIENTS_MAX 256

struct settings {
	char **conninfo;
	int nconninfo;
	long wait_ms;
	bool is_explicit, is_prepared;
};

struct client {
	pthread_t thread;
	const struct settings *set;
	int id, n, side;
	int *acked;
	size_t nacked, room;
	unsigned errors, unknown, reconnects;
	int64_t last_us, gap_us;
	PGconn *c;
};

static atomic_bool stopping;

static void
nap_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };

	nanosleep(&t, NULL);
}

static void
remember(struct client *k)
{
	int64_t now = clock_us();

	if (k->nacked == k->room) {
		k->room = k->room > 0 ? k->room * 2 : 1024;
		k->acked = xreallocarray(k->acked, k->room, sizeof(*k->acked));
	}
	k->acked[k->nacked++] = k->n;
	if (k->last_us > 0 && now - k->last_us > k->gap_us)
		k->gap_us = now - k->last_us;
	k->last_us = now;
}

static bool
is_connected(struct client *k)
{
	if (k->c != NULL && PQstatus(k->c) == CONNECTION_OK)
		return true;
	if (k->c != NULL)
		k->reconnects++;
	PQfinish(k->c);
	k->c = PQconnectdb(k->set->conninfo[k->side]);
	if (PQstatus(k->c) == CONNECTION_OK && k->set->is_prepared)
		PQclear(PQprepare(k->c, "put", "INSERT INTO ledger(client, n) VALUES ($1, $2)", 2,
				  NULL));
	return PQstatus(k->c) == CONNECTION_OK;
}

/* false: it was refused, and says so in *state (5 characters; "" : the connection is gone). */
static bool
run(struct client *k, const char *sql, char state[6])
{
	char id[16], n[16];
	const char *const params[] = { id, n };
	PGresult *r;
	bool ok;

	snprintf(id, sizeof(id), "%d", k->id);
	snprintf(n, sizeof(n), "%d", k->n);
	if (sql != NULL)
		r = PQexec(k->c, sql);
	else if (k->set->is_prepared)
		r = PQexecPrepared(k->c, "put", 2, params, NULL, NULL, 0);
	else
		r = PQexecParams(k->c, "INSERT INTO ledger(client, n) VALUES ($1, $2)", 2, NULL,
				 params, NULL, NULL, 0);
	ok = PQresultStatus(r) == PGRES_COMMAND_OK;
	state[0] = '\0';
	if (!ok && PQresultErrorField(r, PG_DIAG_SQLSTATE) != NULL)
		snprintf(state, 6, "%s", PQresultErrorField(r, PG_DIAG_SQLSTATE));
	/* COMMIT of a transaction that failed is a ROLLBACK. */
	if (ok && sql != NULL && strcmp(sql, "COMMIT") == 0 &&
	    strcmp(PQcmdStatus(r), "COMMIT") != 0)
		ok = false;
	PQclear(r);
	return ok;
}

/* One row. */
static bool
put(struct client *k, char state[6], bool *in_doubt)
{
	*in_doubt = false;
	if (!k->set->is_explicit) {
		*in_doubt = true;
		return run(k, NULL, state);
	}
	if (!run(k, "BEGIN", state) || !run(k, NULL, state))
		return false;
	*in_doubt = true;
	return run(k, "COMMIT", state);
}

static void
fail(struct client *k, const char *state, bool in_doubt)
{
	bool is_lost = PQstatus(k->c) != CONNECTION_OK;

	if (k->set->nconninfo > 1) {
		k->side = (k->side + 1) % k->set->nconninfo;
		PQfinish(k->c);
		k->c = NULL;
		nap_ms(2);
		return;
	}
	k->errors++;
	if (is_lost && in_doubt)
		k->unknown++;
	fprintf(stderr, "client %d row %d: %s %s\n", k->id, k->n, state, PQerrorMessage(k->c));
	if (!is_lost && PQtransactionStatus(k->c) != PQTRANS_IDLE)
		PQclear(PQexec(k->c, "ROLLBACK"));
	nap_ms(5);
}

static void *
write_rows(void *arg)
{
	struct client *k = arg;
	char state[6];
	bool in_doubt;

	while (!atomic_load(&stopping)) {
		if (!is_connected(k)) {
			if (k->set->nconninfo > 1)
				k->side = (k->side + 1) % k->set->nconninfo;
			nap_ms(10);
			continue;
		}
		k->n++;
		if (put(k, state, &in_doubt))
			remember(k);
		else
			fail(k, state, in_doubt);
		if (k->set->wait_ms > 0)
			nap_ms(k->set->wait_ms);
	}
	PQfinish(k->c);
	return NULL;
}

static void
report(struct client *v, int n)
{
	struct client sum = { 0 };
	int64_t gap = 0;

	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < v[i].nacked; k++)
			printf("ack %d %d\n", v[i].id, v[i].acked[k]);
		sum.nacked += v[i].nacked;
		sum.errors += v[i].errors;
		sum.unknown += v[i].unknown;
		sum.reconnects += v[i].reconnects;
		if (v[i].gap_us > gap)
			gap = v[i].gap_us;
		free(v[i].acked);
	}
	printf("total %zu errors %u unknown %u reconnects %u gap_ms %ld\n", sum.nacked, sum.errors,
	       sum.unknown, sum.reconnects, (long)(gap / USEC_PER_MSEC));
}

int
main(int argc, char **argv)
{
	struct settings set = { 0 };
	struct client *v;
	int n = 4, first = 1, opt;
	char byte;

	while ((opt = getopt(argc, argv, "c:f:w:ep")) != -1) {
		if (opt == 'c')
			n = atoi(optarg);
		else if (opt == 'f')
			first = atoi(optarg);
		else if (opt == 'w')
			set.wait_ms = atol(optarg);
		else if (opt == 'e')
			set.is_explicit = true;
		else if (opt == 'p')
			set.is_prepared = true;
		else
			return 2;
	}
	if (n < 1 || n > CLIENTS_MAX || optind >= argc)
		return 2;
	set.conninfo = argv + optind;
	set.nconninfo = argc - optind;
	v = xcalloc((size_t)n, sizeof(*v));
	for (int i = 0; i < n; i++) {
		v[i].id = first + i;
		v[i].set = &set;
		if (pthread_create(&v[i].thread, NULL, write_rows, &v[i]) != 0)
			return 1;
	}
	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
	atomic_store(&stopping, true);
	for (int i = 0; i < n; i++)
		pthread_join(v[i].thread, NULL);
	report(v, n);
	free(v);
	return 0;
}
