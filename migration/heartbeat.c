/* SPDX-License-Identifier: PostgreSQL
 *
 * The second thread of an executor: it keeps the lease alive while a step waits, writes events and
 * progress, and reads what others have ordered (PAUSE, ABORT, SET, ACK).
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"

#define PERIOD_MIN   (50 * USEC_PER_MSEC)
#define PERIOD_MAX   (250 * USEC_PER_MSEC)
#define LOCK_TIMEOUT "1s"

/* ---- events ---- */

void
heartbeat_add_event(struct heartbeat *b, const char *event, const char *detail)
{
	struct event *v = xcalloc(1, sizeof(*v));

	v->event = xstrdup(event);
	v->detail = detail != NULL ? xstrdup(detail) : NULL;
	pthread_mutex_lock(&b->lock);
	*b->last = v;
	b->last = &v->next;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

static struct event *
first_event(struct heartbeat *b)
{
	struct event *v;

	pthread_mutex_lock(&b->lock);
	v = b->first;
	pthread_mutex_unlock(&b->lock);
	return v;
}

/* In the order in which they came, on either thread. One that cannot be written waits; one that the
 * server refuses is left out. */
void
heartbeat_write_events(struct executor *x, PGconn *c)
{
	struct heartbeat *b = &x->heartbeat;
	struct event *v;
	struct err e;

	pthread_mutex_lock(&b->writing);
	while ((v = first_event(b)) != NULL && PQtransactionStatus(c) == PQTRANS_IDLE) {
		int rc = journal_add(c, &x->j->m, x->actor, v->event, v->detail, &e);

		if (rc < 0 && (PQstatus(c) != CONNECTION_OK || db_is_retryable(&e)))
			break;
		pthread_mutex_lock(&b->lock);
		b->first = v->next;
		if (b->first == NULL)
			b->last = &b->first;
		pthread_mutex_unlock(&b->lock);
		free(v->event);
		free(v->detail);
		free(v);
	}
	pthread_mutex_unlock(&b->writing);
}

/* ---- the thread ---- */

struct reading {
	bool is_ours;
	char *request, *acks, *options;
};

static int
heartbeat_once(struct executor *x, PGconn *c, struct reading *out, struct err *e)
{
	struct heartbeat *b = &x->heartbeat;
	char percent[16], token[24], *detail;
	const char *params[] = { x->lease.uuid, token, x->lease.owner, percent, NULL };
	PGresult *r;

	pthread_mutex_lock(&b->lock);
	snprintf(percent, sizeof(percent), "%d", b->percent);
	detail = b->detail != NULL ? xstrdup(b->detail) : NULL;
	pthread_mutex_unlock(&b->lock);
	params[4] = detail;
	snprintf(token, sizeof(token), "%" PRId64, x->lease.token);
	r = db_query(
	    c, e,
	    "WITH b AS (UPDATE meridian.lease SET heartbeat = clock_timestamp() WHERE uuid = "
	    "CAST($1 AS text) AND token = CAST($2 AS int8) AND owner = CAST($3 AS text) RETURNING "
	    "1), p AS (UPDATE meridian.migration SET progress = CAST($4 AS int), detail = CAST($5 "
	    "AS text), rev = rev + 1 WHERE uuid = $1 AND CAST($5 AS text) IS NOT NULL AND EXISTS "
	    "(SELECT 1 FROM b) AND (progress <> CAST($4 AS int) OR detail <> CAST($5 AS text)) "
	    "RETURNING 1) SELECT (SELECT count(*) FROM b), request, acks, options FROM "
	    "meridian.migration WHERE uuid = $1",
	    5, params);
	free(detail);
	if (r == NULL)
		return -1;
	*out = (struct reading){ 0 };
	if (PQntuples(r) == 1) {
		out->is_ours = PQgetvalue(r, 0, 0)[0] == '1';
		out->request = xstrdup(PQgetvalue(r, 0, 1));
		out->acks = xstrdup(PQgetvalue(r, 0, 2));
		out->options = xstrdup(PQgetvalue(r, 0, 3));
	}
	PQclear(r);
	return 0;
}

static void
store_reading(struct heartbeat *b, struct reading *r)
{
	pthread_mutex_lock(&b->lock);
	b->is_lost = b->is_lost || !r->is_ours;
	if (r->is_ours) {
		b->last_us = clock_us();
		snprintf(b->request, sizeof(b->request), "%s", r->request);
		free(b->acks);
		b->acks = r->acks;
		r->acks = NULL;
		if (b->options == NULL || strcmp(b->options, r->options) != 0) {
			b->options_new = b->options != NULL;
			free(b->options);
			b->options = r->options;
			r->options = NULL;
		}
	}
	pthread_mutex_unlock(&b->lock);
	free(r->request);
	free(r->acks);
	free(r->options);
}

/* Connect to the home, after the connection was lost or the home has moved. Where another executor
 * has taken the lock, the lease is lost. */
static PGconn *
reconnect(struct executor *x, struct site_node *node, char **dbname, struct err *e)
{
	const struct site *s = x->j->site;
	char *words = s->ops->conninfo(s->arg, node, *dbname);
	PGconn *c = db_connect(words, x->lease.migration, e);

	free(words);
	if (c == NULL)
		return NULL;
	db_exec(c, e, "SET lock_timeout = '" LOCK_TIMEOUT "'");
	if (lease_relock(c, &x->lease, e) == 0)
		return c;
	if (strcmp(e->sqlstate, LEASE_LOST) == 0) {
		pthread_mutex_lock(&x->heartbeat.lock);
		x->heartbeat.is_lost = true;
		pthread_mutex_unlock(&x->heartbeat.lock);
	}
	PQfinish(c);
	return NULL;
}

/* eager: an event ends the wait. False: the thread is to end. */
static bool
wait_period(struct heartbeat *b, int64_t us, bool eager)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += us % USEC_PER_SEC * 1000;
	until.tv_sec += us / USEC_PER_SEC + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&b->lock);
	while (!b->is_over && !(eager && b->first != NULL) && !b->home_moved &&
	       pthread_cond_timedwait(&b->cond, &b->lock, &until) != ETIMEDOUT)
		;
	go_on = !b->is_over && !b->is_lost;
	pthread_mutex_unlock(&b->lock);
	return go_on;
}

/* Where the home is; true: it is another one than at the last call. */
static bool
home_of(struct executor *x, struct site_node *node, char **dbname)
{
	struct heartbeat *b = &x->heartbeat;
	bool moved;

	pthread_mutex_lock(&b->lock);
	moved = b->home_moved || *dbname == NULL;
	if (moved) {
		const struct place *p = &x->j->places[x->j->home];

		*node = p->node;
		free(*dbname);
		*dbname = xstrdup(p->dbname);
		b->home_moved = false;
	}
	pthread_mutex_unlock(&b->lock);
	return moved;
}

static void *
heartbeat_main(void *arg)
{
	struct executor *x = arg;
	struct heartbeat *b = &x->heartbeat;
	int64_t us = x->lease.lease_us / 10;
	struct site_node node;
	char *dbname = NULL;
	struct err e;
	bool is_well;

	us = us < PERIOD_MIN ? PERIOD_MIN : us > PERIOD_MAX ? PERIOD_MAX : us;
	home_of(x, &node, &dbname);
	do {
		struct reading r;

		is_well = false;
		if (home_of(x, &node, &dbname) || PQstatus(b->c) != CONNECTION_OK) {
			PQfinish(b->c);
			b->c = reconnect(x, &node, &dbname, &e);
			atomic_store(&b->pid, b->c != NULL ? PQbackendPID(b->c) : 0);
		}
		if (b->c == NULL || heartbeat_once(x, b->c, &r, &e) < 0)
			continue;
		store_reading(b, &r);
		heartbeat_write_events(x, b->c);
		is_well = first_event(b) == NULL;
	} while (wait_period(b, us, is_well));
	free(dbname);
	return NULL;
}

int
heartbeat_start(struct executor *x, PGconn *c, struct err *e)
{
	struct heartbeat *b = &x->heartbeat;
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->cond, &attr);
	pthread_condattr_destroy(&attr);
	b->c = c;
	atomic_store(&b->pid, PQbackendPID(c));
	b->last_us = clock_us();
	b->percent = x->j->m.progress;
	if (db_exec(c, e, "SET lock_timeout = '" LOCK_TIMEOUT "'") < 0)
		return -1;
	if (pthread_create(&b->thread, NULL, heartbeat_main, x) != 0)
		return err_set(e, "53000", "cannot start a thread");
	b->is_started = true;
	return 0;
}

void
heartbeat_stop(struct heartbeat *b)
{
	if (b->is_started) {
		pthread_mutex_lock(&b->lock);
		b->is_over = true;
		pthread_cond_signal(&b->cond);
		pthread_mutex_unlock(&b->lock);
		pthread_join(b->thread, NULL);
		b->is_started = false;
	}
}
