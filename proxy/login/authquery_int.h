/* SPDX-License-Identifier: PostgreSQL
 *
 * Shared inside auth_query only: authquery.c (questions, waiting logins, answers) and
 * authquery_conn.c (connections to nodes). All of it runs on the thread of auth_query.
 */
#ifndef PROXY_LOGIN_AUTHQUERY_INT_H
#define PROXY_LOGIN_AUTHQUERY_INT_H

#include <libpq-fe.h>
#include <pthread.h>
#include <sys/queue.h>

#include "proxy/login/authquery.h"

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

struct authconn;

/* One query about a user at the nodes of a region, and the logins that wait for its answer. */
struct authjob {
	UT_hash_handle hh;
	TAILQ_ENTRY(authjob) in_conn;
	struct authquery *q;
	/* chained by letter.next; the first one's world and nodes are used */
	struct authquery_ask *asks;
	uint16_t at; /* the node that is being asked, or is the next to ask */
	/* it was asked twice, since an established connection had broken */
	bool again;
	PGresult *result;
	struct buf failures; /* "us-east1 db1:5432: connection refused; …" */
	size_t key_len;
	char key[AUTHCACHE_KEY_MAX];
};

TAILQ_HEAD(authjobs, authjob);
TAILQ_HEAD(authconns, authconn);

struct authquery {
	struct loop *loop;
	struct mailbox *mail;
	struct authcache *cache;
	struct throttle *throttle;
	struct authjob *jobs; /* by key */
	uint64_t seed;        /* of the hashes */
	struct authconns conns;
	unsigned nwaiting;
	int64_t ttl_us; /* the last one that a question had */
	struct event sweep;
	bool stopped;
	pthread_t thread;
};

/* The configured query and role. */
struct authwords {
	const char *conninfo, *query, *dbname;
};

struct authwords authwords_of(const struct config *c, const struct conf_database *db);

/* ---- authquery.c ---- */
/* The node cannot be asked now: ask the next one. */
void authjob_next_node(struct authjob *j, const char *why);
/* Ask the same node once more, or the next one. */
void authjob_again(struct authjob *j, const char *why);
/* j->result is complete. */
void authjob_done(struct authjob *j);

/* ---- authquery_conn.c ---- */
/* Have the job's node asked. False and *why: it cannot be now. */
bool authconn_ask(struct authquery *q, struct authjob *j, char why[128]);
/* The connection's jobs come back by authjob_again() or authjob_next_node(). */
void authconn_free(struct authconn *c);

#endif
