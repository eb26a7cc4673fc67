/* SPDX-License-Identifier: PostgreSQL
 *
 * The connections of auth_query: one for each node, role and database, made when it is needed and
 * kept for a while. Questions go out in a pipeline, each with its own Sync, so that an error of one
 * does not fail the others.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/auth/credential.h"
#include "proxy/config/conninfo.h"
#include "proxy/login/authquery_int.h"
#include "proxy/process/world.h"
#include "routing/watch/pgdial.h"

#define PIPELINE_MAX   64                   /* outstanding questions on one connection */
#define REST_US        (1 * USEC_PER_SEC)   /* how long a node is left alone after a failure */
#define KEEP_US        (600 * USEC_PER_SEC) /* how long an unused connection is kept */
#define TIMEOUT_MAX_US (5 * USEC_PER_SEC)   /* for connecting, and for an answer */
#define EMPTY_OPTIONS  "-c search_path="

enum authconn_state {
	AUTHCONN_RESTING, /* no connection; none is made before rest_until_us */
	AUTHCONN_CONNECTING,
	AUTHCONN_READY,
};

struct authconn {
	TAILQ_ENTRY(authconn) link;
	struct authquery *q;
	char *name; /* "us-east1 db1:5432", for the log */
	/* all that it was made from: a change of the configuration makes another connection */
	char *words;
	enum authconn_state state;
	PGconn *pg;
	struct event io;
	struct event timer; /* the time-out, or the end of an unused connection */
	int64_t timeout_us, rest_until_us;
	struct authjobs waiting, sent;
	unsigned nsent;
	unsigned nulls; /* NULL results of PQgetResult() in a row */
	size_t heard;   /* bytes since it was connected, or since the last answer */
	char why[128];  /* of the last failure */
};

static void authconn_on_io(evutil_socket_t fd, short what, void *arg);

static void
describe(const void *about, struct buf *b)
{
	const struct authconn *c = about;

	buf_printf(b, " node=\"%s\" reason=", c->name);
	text_put_safe(b, slice_str(c->why), sizeof(c->why));
}

static void
set_timer(struct authconn *c, int64_t us)
{
	const struct timeval tv = { us / USEC_PER_SEC, us % USEC_PER_SEC };

	event_add(&c->timer, &tv);
}

static void
wait_for(struct authconn *c, short what)
{
	event_del(&c->io);
	event_assign(&c->io, loop_base(c->q->loop), PQsocket(c->pg), what, authconn_on_io, c);
	event_add(&c->io, NULL);
}

/* ---- ends ---- */

static void
hang_up(struct authconn *c)
{
	event_del(&c->io);
	event_del(&c->timer);
	if (c->pg != NULL)
		PQfinish(c->pg);
	c->pg = NULL;
	c->state = AUTHCONN_RESTING;
	c->nsent = 0;
}

/* Give the questions back, to be asked elsewhere. When this returns, the connection may have new
 * questions, or be freed. */
static void
give_back(struct authjobs *jobs, const char *why, bool again)
{
	struct authjob *j;

	while ((j = TAILQ_FIRST(jobs)) != NULL) {
		TAILQ_REMOVE(jobs, j, in_conn);
		PQclear(j->result);
		j->result = NULL;
		if (again)
			authjob_again(j, why);
		else
			authjob_next_node(j, why);
	}
}

static void
lose(struct authconn *c)
{
	bool stood = c->state == AUTHCONN_READY;
	struct authjobs lost = TAILQ_HEAD_INITIALIZER(lost);
	char why[128];

	TAILQ_CONCAT(&lost, &c->sent, in_conn);
	TAILQ_CONCAT(&lost, &c->waiting, in_conn);
	/* an established connection may just have been old: a new one is made at once */
	if (!stood)
		log_limited(LOG_LEVEL_WARNING, ((struct log_subject){ describe, c }),
			    "auth_query cannot be asked");
	hang_up(c);
	set_timer(c, KEEP_US);
	c->rest_until_us = stood ? 0 : clock_us() + REST_US;
	(void)text_copy(why, sizeof(why), slice_str(c->why));
	give_back(&lost, why, stood);
}

static void
lose_by_message(struct authconn *c)
{
	char sqlstate[6];

	pgdial_explain(pgdial_message(c->pg), c->why, sqlstate);
	lose(c);
}

/* One of the questions may be the cause: the others are asked once more. */
static void
give_up(struct authconn *c)
{
	struct authjob *first = TAILQ_FIRST(&c->sent);

	if (first != NULL)
		first->again = true;
	lose(c);
}

static void
authconn_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct authconn *c = arg;

	(void)fd, (void)what;
	if (c->state != AUTHCONN_CONNECTING && c->nsent == 0) {
		authconn_free(c);
		return;
	}
	snprintf(c->why, sizeof(c->why), "no answer within %lld ms",
		 (long long)(c->timeout_us / USEC_PER_MSEC));
	give_up(c);
}

void
authconn_free(struct authconn *c)
{
	struct authjobs left = TAILQ_HEAD_INITIALIZER(left);

	TAILQ_REMOVE(&c->q->conns, c, link);
	TAILQ_CONCAT(&left, &c->sent, in_conn);
	TAILQ_CONCAT(&left, &c->waiting, in_conn);
	hang_up(c);
	give_back(&left, "the connection was closed", false);
	free(c->name);
	explicit_bzero(c->words, strlen(c->words)); /* it may contain a password (INV-20) */
	free(c->words);
	free(c);
}

/* ---- questions and answers ---- */

/* The time-out is for the first outstanding question: neither the questions behind it nor other
 * bytes from the node extend it. */
static void
arm(struct authconn *c)
{
	set_timer(c, c->nsent > 0 ? c->timeout_us : KEEP_US);
}

static void
pump(struct authconn *c)
{
	bool was_idle = c->nsent == 0;
	struct authjob *j;
	int left;

	while (c->nsent < PIPELINE_MAX && (j = TAILQ_FIRST(&c->waiting)) != NULL) {
		const struct authquery_ask *a = j->asks;
		const char *query = authwords_of(a->world->config, a->database).query;
		const char *values[] = { a->user };

		if (PQsendQueryParams(c->pg, query, 1, NULL, values, NULL, NULL, 0) == 0 ||
		    PQpipelineSync(c->pg) == 0) {
			lose_by_message(c);
			return;
		}
		TAILQ_REMOVE(&c->waiting, j, in_conn);
		TAILQ_INSERT_TAIL(&c->sent, j, in_conn);
		c->nsent++;
	}
	if (was_idle)
		arm(c);
	left = PQflush(c->pg);
	if (left < 0)
		lose_by_message(c);
	else
		wait_for(c, left > 0 ? EV_READ | EV_WRITE : EV_READ);
}

/* One result of the first outstanding question. */
static void
take_result(struct authconn *c, PGresult *take_res)
{
	struct authjob *j = TAILQ_FIRST(&c->sent);

	BUG_ON(j == NULL);
	if (PQresultStatus(take_res) != PGRES_PIPELINE_SYNC) {
		if (j->result == NULL)
			j->result = take_res;
		else
			PQclear(take_res);
		return;
	}
	PQclear(take_res);
	TAILQ_REMOVE(&c->sent, j, in_conn);
	c->nsent--;
	c->heard = 0;
	arm(c);
	authjob_done(j);
}

/* False: the connection is broken. Questions may have been answered, and new ones have come. */
static bool
take_results(struct authconn *c)
{
	PGresult *res;

	if (PQconsumeInput(c->pg) == 0)
		return false;
	while (c->nsent > 0 && PQisBusy(c->pg) == 0) {
		res = PQgetResult(c->pg);
		/* one NULL ends a result, two in a row mean that there is no other */
		c->nulls = res == NULL ? c->nulls + 1 : 0;
		if (c->nulls > 1)
			return false;
		if (res != NULL)
			take_result(c, res);
	}
	(void)PQisBusy(c->pg); /* parses, so that bytes that nothing has asked for do not pile up */
	return PQstatus(c->pg) == CONNECTION_OK;
}

/* ---- connecting ---- */

static void
poll_connection(struct authconn *c)
{
	switch (PQconnectPoll(c->pg)) {
	case PGRES_POLLING_READING:
		wait_for(c, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		wait_for(c, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		c->state = AUTHCONN_READY;
		(void)PQsetnonblocking(c->pg, 1);
		if (PQenterPipelineMode(c->pg) != 0)
			pump(c);
		else
			lose_by_message(c);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		lose_by_message(c);
		break;
	}
}

static void
authconn_on_io(evutil_socket_t fd, short what, void *arg)
{
	struct authconn *c = arg;

	(void)fd, (void)what;
	if (!pgdial_hear(c->pg, &c->heard)) {
		snprintf(c->why, sizeof(c->why), "it says more than it was asked");
		give_up(c);
	} else if (c->state == AUTHCONN_CONNECTING) {
		poll_connection(c);
	} else if (!take_results(c)) {
		lose_by_message(c);
	} else {
		pump(c);
	}
}

/* The role's password in auth_file, if it is there in plain text; else NULL. */
static const char *
own_password(const struct config *config)
{
	PQconninfoOption *words = PQconninfoParse(config->main.auth_conninfo, NULL);
	const struct authfile_user *u = NULL;

	for (const PQconninfoOption *o = words; o != NULL && o->keyword != NULL; o++) {
		if (strcmp(o->keyword, "user") == 0 && o->val != NULL && config->auth != NULL)
			u = authfile_find(config->auth, slice_str(o->val));
	}
	PQconninfoFree(words);
	return u != NULL && u->credential->kind == CREDENTIAL_PASSWORD ? u->credential->password
								       : NULL;
}

static bool
start(struct authconn *c, const struct authquery_ask *a, const struct node *n)
{
	const struct config *config = a->world->config;
	struct authwords words = authwords_of(config, a->database);
	char *region = conninfo_of_region(&config->regions[n->region]);
	const struct pgdial d = {
		.application = "meridian auth_query",
		.conninfo = words.conninfo,
		.region = region,
		.dbname = words.dbname,
		.password = own_password(config),
		.options = EMPTY_OPTIONS,
		.host = n->host,
		.port = n->port,
		.addrs = n->addrs,
		.naddrs = n->naddrs,
	};

	c->timeout_us = config->main.server_connect_timeout;
	if (c->timeout_us > TIMEOUT_MAX_US)
		c->timeout_us = TIMEOUT_MAX_US;
	if (n->naddrs > 0 || n->host[0] == '/')
		c->pg = pgdial_start(&d, c->why);
	else
		snprintf(c->why, sizeof(c->why), "the host name has no address");
	free(region);
	if (c->pg == NULL) {
		c->rest_until_us = clock_us() + REST_US;
		return false;
	}
	c->state = AUTHCONN_CONNECTING;
	c->heard = 0;
	wait_for(c, EV_WRITE);
	set_timer(c, c->timeout_us);
	return true;
}

/* ---- finding a connection ---- */

static struct authconn *
find_or_make(struct authquery *q, const struct authquery_ask *a, const struct node *n)
{
	const struct config *config = a->world->config;
	struct authwords w = authwords_of(config, a->database);
	char *region = conninfo_of_region(&config->regions[n->region]), *words;
	struct authconn *c;

	words = xasprintf("%s %s dbname=%s %s%s", n->live->region, n->name,
			  w.dbname != NULL ? w.dbname : "", w.conninfo, region);
	free(region);
	TAILQ_FOREACH (c, &q->conns, link) {
		if (strcmp(c->words, words) == 0)
			break;
	}
	if (c != NULL) {
		explicit_bzero(words, strlen(words));
		free(words);
		return c;
	}
	c = xcalloc(1, sizeof(*c));
	c->q = q;
	c->words = words;
	c->name = xasprintf("%s %s", n->live->region, n->name);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->sent);
	event_assign(&c->io, loop_base(q->loop), -1, EV_READ, authconn_on_io, c);
	evtimer_assign(&c->timer, loop_base(q->loop), authconn_on_timer, c);
	TAILQ_INSERT_TAIL(&q->conns, c, link);
	set_timer(c, KEEP_US);
	return c;
}

bool
authconn_ask(struct authquery *q, struct authjob *j, char why[128])
{
	const struct authquery_ask *a = j->asks;
	const struct node *n = &a->world->topology->nodes[a->nodes[j->at]];
	struct authconn *c;

	if (q->stopped) {
		snprintf(why, 128, "the proxy is shutting down");
		return false;
	}
	c = find_or_make(q, a, n);
	if (c->state == AUTHCONN_RESTING && (clock_us() < c->rest_until_us || !start(c, a, n))) {
		(void)text_copy(why, 128, slice_str(c->why));
		return false;
	}
	TAILQ_INSERT_TAIL(&c->waiting, j, in_conn);
	if (c->state == AUTHCONN_READY)
		pump(c);
	return true;
}
