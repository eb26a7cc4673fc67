/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/login/authquery.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/throttle.h"
#include "proxy/login/authquery_int.h"
#include "proxy/process/worker.h"

#define SWEEP_SECONDS  10
#define FAILURES_BYTES 512

/* ---- what is asked ---- */

struct authwords
authwords_of(const struct config *c, const struct conf_database *db)
{
	struct authwords w = { .conninfo = c->main.auth_conninfo,
			       .query = c->main.auth_query,
			       .dbname = c->main.auth_dbname };

	if (db->auth_query != NULL)
		w.query = db->auth_query;
	if (db->auth_dbname != NULL)
		w.dbname = db->auth_dbname;
	return w;
}

HOT bool
authquery_is_on(const struct config *c, const struct conf_database *db)
{
	struct authwords w = authwords_of(c, db);

	return w.conninfo != NULL && w.query != NULL;
}

static const struct region *
region_of(const struct authquery_ask *a, unsigned i)
{
	const struct topology *t = a->world->topology;

	return &t->regions[t->nodes[a->nodes[i]].region];
}

static uint64_t
mix(uint64_t h, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

/* The key of a question: a hash of the configured query and role, the region that is asked, and the
 * user. A change of the configuration makes another key; what the client sent comes last and whole.
 * Returns the length, 0: too long. */
static size_t
make_key(const struct authquery_ask *a, char to[AUTHCACHE_KEY_MAX])
{
	struct authwords w = authwords_of(a->world->config, a->database);
	const char *region = a->nnodes > 0 ? region_of(a, 0)->name : "";
	uint64_t h = mix(mix(mix(UINT64_C(0xcbf29ce484222325), w.conninfo), w.query), w.dbname);
	size_t region_len = strlen(region) + 1, user_len = strlen(a->user);

	if (sizeof(h) + region_len + user_len > AUTHCACHE_KEY_MAX)
		return 0;
	memcpy(to, &h, sizeof(h));
	memcpy(to + sizeof(h), region, region_len);
	memcpy(to + sizeof(h) + region_len, a->user, user_len);
	return sizeof(h) + region_len + user_len;
}

enum authcached
authquery_known(struct authquery *q, const struct authquery_ask *a, struct authrecord **out)
{
	char key[AUTHCACHE_KEY_MAX];
	size_t n = make_key(a, key);

	return n > 0 ? authcache_get(q->cache, slice_of(key, n),
				     a->world->config->main.auth_cache_ttl, clock_us(), out)
		     : AUTHCACHED_NOT;
}

void
authquery_ask_free(struct authquery_ask *a)
{
	if (a == NULL)
		return;
	authrecord_unref(a->suspect);
	authrecord_unref(a->record);
	world_unref(a->world);
	free(a);
}

/* ---- answers ---- */

static bool
same_secret(const struct authrecord *a, const struct authrecord *b)
{
	return a->user.kind == b->user.kind && a->user.was_plain == b->user.was_plain &&
	       credential_equal(a->user.credential, b->user.credential) &&
	       (a->user.kind != AUTHFILE_SCRAM || a->user.was_plain ||
		memcmp(a->user.scram.stored_key, b->user.scram.stored_key, SCRAM_KEY_BYTES) == 0);
}

/* A failed login against a record that has turned out to be still true was a wrong password. While
 * the pair is throttled it does not count, like a failure of a user that does not exist. */
static void
count_failure(struct authquery *q, const struct authquery_ask *a)
{
	const struct conf_main *m = &a->world->config->main;
	const struct throttle_rules rules = { (unsigned)m->auth_throttle_after,
					      m->auth_throttle_base, m->auth_throttle_max, 0 };
	int64_t now_us = clock_us();

	if (a->outcome == AUTHQUERY_FOUND && !same_secret(a->suspect, a->record))
		return;
	if (throttle_wait_us(q->throttle, &rules, &a->addr, slice_str(a->user), now_us) == 0)
		(void)throttle_failed(q->throttle, &rules, &a->addr, slice_str(a->user), now_us);
}

/* Takes the ask; the record is borrowed. */
static void
answer(struct authquery *q, struct authquery_ask *take_ask, enum authquery_outcome outcome,
       struct authrecord *record, const char *why)
{
	take_ask->outcome = outcome;
	take_ask->record = record != NULL ? authrecord_ref(record) : NULL;
	(void)text_copy(take_ask->why, sizeof(take_ask->why), slice_str(why));
	if (take_ask->suspect != NULL)
		count_failure(q, take_ask);
	if (take_ask->reply != NULL)
		worker_post(take_ask->from, &take_ask->letter, take_ask->reply);
	else
		authquery_ask_free(take_ask);
}

/* End a job. */
static void
finish(struct authjob *j, enum authquery_outcome outcome, struct authrecord *record,
       const char *why)
{
	struct authquery *q = j->q;
	struct authquery_ask *next;

	HASH_DEL(q->jobs, j);
	for (struct authquery_ask *a = j->asks; a != NULL; a = next) {
		next = (struct authquery_ask *)a->letter.next;
		q->nwaiting--;
		answer(q, a, outcome, record, why);
	}
	if (j->result != NULL)
		PQclear(j->result);
	buf_fini(&j->failures);
	free(j);
}

static void
arm_sweep(struct authquery *q)
{
	static const struct timeval later = { .tv_sec = SWEEP_SECONDS };

	if (!event_pending(&q->sweep, EV_TIMEOUT, NULL))
		event_add(&q->sweep, &later);
}

static void
authquery_on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct authquery *q = arg;

	(void)fd, (void)what;
	authcache_sweep(q->cache, q->ttl_us, clock_us());
	if (authcache_count(q->cache, false) + authcache_count(q->cache, true) > 0)
		arm_sweep(q);
}

/* Put the result into the cache, and answer with it. */
static void
keep_and_answer(struct authjob *j, struct authrecord *take_record)
{
	struct authquery *q = j->q;

	if (q->ttl_us > 0) {
		authcache_put(q->cache, slice_of(j->key, j->key_len),
			      take_record != NULL ? authrecord_ref(take_record) : NULL, clock_us());
		arm_sweep(q);
	}
	finish(j, take_record != NULL ? AUTHQUERY_FOUND : AUTHQUERY_MISSING, take_record, "");
	authrecord_unref(take_record);
}

static const char *
node_name(const struct authjob *j)
{
	return j->asks->world->topology->nodes[j->asks->nodes[j->at]].name;
}

/* The query has returned something unusable, as it would at any node. */
static void
refuse_answer(struct authjob *j, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "%s %s: %s", region_of(j->asks, j->at)->name, node_name(j),
		 why);
	finish(j, AUTHQUERY_FAILED, NULL, text);
}

static void
take_row(struct authjob *j)
{
	char *secret = PQgetvalue(j->result, 0, 1);
	size_t n = (size_t)PQgetlength(j->result, 0, 1);
	struct slice name =
	    slice_of(PQgetvalue(j->result, 0, 0), (size_t)PQgetlength(j->result, 0, 0));
	struct authrecord *r;
	struct err e = { 0 };

	if (!slice_is(name, j->asks->user)) {
		explicit_bzero(secret, n);
		refuse_answer(j, "auth_query has answered with another user than it was asked for");
		return;
	}
	r = authrecord_new(name, slice_of(secret, n), j->asks->world->config->salt_secret,
			   clock_us(), &e);
	explicit_bzero(secret, n);
	if (r == NULL)
		refuse_answer(j, e.msg);
	else
		keep_and_answer(j, r);
}

/* Errors that another node, or another attempt, may not have: by class, or by code. */
static bool
is_of_this_node(const char *sqlstate)
{
	static const char *const classes[] = { "08", "40", "53", "57", "58", "25006", "XX" };

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0)
			return true;
	}
	return false;
}

void
authjob_done(struct authjob *j)
{
	const PGresult *res = j->result;

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		const char *code = PQresultErrorField(j->result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(j->result, PG_DIAG_MESSAGE_PRIMARY);
		char why[128];

		snprintf(why, sizeof(why), "auth_query has failed: %s",
			 message != NULL ? message : PQresStatus(PQresultStatus(j->result)));
		if (code != NULL && is_of_this_node(code)) {
			PQclear(j->result);
			j->result = NULL;
			authjob_next_node(j, why);
		} else {
			refuse_answer(j, why);
		}
	} else if (PQnfields(res) < 2) {
		refuse_answer(j, "auth_query must answer with two columns, a name and a secret");
	} else if (PQntuples(res) > 1) {
		refuse_answer(j, "auth_query has answered with more than one row");
	} else if (PQntuples(res) == 0 || PQgetisnull(res, 0, 0)) {
		/* a function with OUT parameters returns one row of NULLs for an unknown user */
		keep_and_answer(j, NULL);
	} else {
		take_row(j);
	}
}

/* ---- jobs ---- */

static void
note_failure(struct authjob *j, const char *why)
{
	buf_printf(&j->failures, "%s%s %s: %s", j->failures.n > 0 ? "; " : "",
		   region_of(j->asks, j->at)->name, node_name(j), why);
}

static void
go(struct authjob *j)
{
	char why[128] = "";

	while (j->at < j->asks->nnodes) {
		if (authconn_ask(j->q, j, why))
			return;
		note_failure(j, why);
		j->at++;
	}
	finish(j, AUTHQUERY_FAILED, NULL,
	       j->failures.n > 0 ? buf_text(&j->failures) : "no region can be asked");
}

void
authjob_next_node(struct authjob *j, const char *why)
{
	note_failure(j, why);
	j->at++;
	j->again = false;
	go(j);
}

void
authjob_again(struct authjob *j, const char *why)
{
	if (j->again) {
		authjob_next_node(j, why);
		return;
	}
	j->again = true;
	go(j);
}

static void
join(struct authjob *j, struct authquery_ask *take_ask)
{
	struct authquery_ask **end = &j->asks;

	/* the first job stays first, the others need no order */
	if (*end != NULL) {
		take_ask->letter.next = (*end)->letter.next;
		(*end)->letter.next = &take_ask->letter;
	} else {
		take_ask->letter.next = NULL;
		*end = take_ask;
	}
	j->q->nwaiting++;
}

/* Whether the cache has the answer by now, since another login asked a moment ago. Where a record
 * is doubted, only a newer one is an answer. */
static bool
answer_known(struct authquery *q, struct authquery_ask *a)
{
	struct authrecord *r = NULL;
	enum authcached known = authquery_known(q, a, &r);
	bool doubted =
	    r != NULL && a->suspect != NULL && r->fetched_at_us <= a->suspect->fetched_at_us;

	if (known != AUTHCACHED_NOT && !doubted)
		answer(q, a, r != NULL ? AUTHQUERY_FOUND : AUTHQUERY_MISSING, r, "");
	authrecord_unref(r);
	return known != AUTHCACHED_NOT && !doubted;
}

static void
on_ask(struct letter *take_letter, void *owner)
{
	struct authquery_ask *a = (struct authquery_ask *)take_letter;
	struct authquery *q = owner;
	char key[AUTHCACHE_KEY_MAX];
	size_t n = make_key(a, key);
	struct authjob *j;
	uint32_t hash;

	if (q->stopped) {
		answer(q, a, AUTHQUERY_FAILED, NULL, "the proxy is shutting down");
		return;
	}
	q->ttl_us = a->world->config->main.auth_cache_ttl;
	if (n == 0 || a->user[0] == '\0') {
		answer(q, a, AUTHQUERY_MISSING, NULL, "");
		return;
	}
	if (answer_known(q, a))
		return;
	if (q->nwaiting >= AUTHQUERY_WAITING_MAX) {
		answer(q, a, AUTHQUERY_FAILED, NULL, "too many logins are waiting for auth_query");
		return;
	}
	hash = hash_slice(q->seed, slice_of(key, n));
	HASH_FIND_BYHASHVALUE(hh, q->jobs, key, n, hash, j);
	if (j != NULL) {
		join(j, a);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->q = q;
	j->failures.cap = FAILURES_BYTES;
	memcpy(j->key, key, n);
	j->key_len = n;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, q->jobs, j->key, j->key_len, hash, j);
	join(j, a);
	go(j);
}

void
authquery_post(struct authquery *q, struct authquery_ask *take_ask)
{
	mailbox_post(q->mail, &take_ask->letter, on_ask);
}

/* ---- life ---- */

struct authquery *
authquery_new(struct authcache *cache, struct throttle *throttle)
{
	struct authquery *q = xcalloc(1, sizeof(*q));

	q->throttle = throttle;
	q->seed = hash_new_seed();
	q->loop = loop_new();
	q->mail = mailbox_new(q->loop, q);
	q->cache = cache;
	TAILQ_INIT(&q->conns);
	evtimer_assign(&q->sweep, loop_base(q->loop), authquery_on_sweep, q);
	return q;
}

static void *
authquery_main(void *arg)
{
	struct authquery *q = arg;

	(void)pthread_setname_np(pthread_self(), "auth_query");
	loop_run(q->loop);
	return NULL;
}

int
authquery_start(struct authquery *q)
{
	return pthread_create(&q->thread, NULL, authquery_main, q) == 0 ? 0 : -1;
}

static void
on_stop(struct letter *take_letter, void *owner)
{
	struct authquery *q = owner;
	struct authconn *c;

	free(take_letter);
	q->stopped = true;
	while ((c = TAILQ_FIRST(&q->conns)) != NULL)
		authconn_free(c);
	BUG_ON(q->jobs != NULL);
	event_del(&q->sweep);
	loop_stop(q->loop);
}

void
authquery_stop(struct authquery *q)
{
	mailbox_post(q->mail, xcalloc(1, sizeof(struct letter)), on_stop);
	(void)pthread_join(q->thread, NULL);
}

bool
authquery_deliver(struct authquery *q)
{
	return mailbox_deliver(q->mail);
}

void
authquery_free(struct authquery *q)
{
	if (q == NULL)
		return;
	mailbox_free(q->mail);
	loop_free(q->loop);
	free(q);
}
