/* SPDX-License-Identifier: PostgreSQL
 *
 * auth_query: asks a node for the secret of a user that auth_file does not have. It has a thread of
 * its own with a loop of its own. Workers ask by letter and get a letter back, so no login waits
 * for a reload or a probe, and what is slow here (a verifier of plain text takes a millisecond)
 * delays no session. Known answers are in its cache, which workers look at themselves.
 *
 * The question goes to the first of the session's nodes that answers, over a connection of our own
 * as the role of auth_conninfo, pipelined, with the name as parameter $1. Nothing else of the
 * client's startup packet gets there, and search_path is empty, so a client cannot choose what the
 * query's names mean (CVE-2025-12819).
 *
 * Logins that ask for the same user at the same time share one query. At most AUTHQUERY_WAITING_MAX
 * logins wait. A session may have ended when its answer comes: the receiver of the answer checks
 * that.
 */
#ifndef PROXY_LOGIN_AUTHQUERY_H
#define PROXY_LOGIN_AUTHQUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ev/mailbox.h"
#include "proxy/auth/authcache.h"
#include "proxy/config/config.h"

#define AUTHQUERY_NODES_MAX   6
#define AUTHQUERY_WAITING_MAX 20000

struct authquery;
struct throttle;
struct worker;
struct world;

enum authquery_outcome {
	AUTHQUERY_FOUND,
	AUTHQUERY_MISSING,
	AUTHQUERY_FAILED, /* no node could be asked: see `why` */
};

/* Filled in by the sender, handed back to `reply` on worker `from`, which frees it
 * (authquery_ask_free). */
struct authquery_ask {
	struct letter letter; /* first */
	struct worker *from;
	letter_fn reply; /* NULL: the sender wants no answer, only the cache filled */
	uint64_t session_id;
	uint32_t slot;

	struct world *world;                  /* one reference */
	const struct conf_database *database; /* in that world */
	char user[AUTHFILE_NAME_MAX + 1];
	/* indices in that world's topology, in the order to ask */
	uint16_t nodes[AUTHQUERY_NODES_MAX];
	uint16_t nnodes;

	/* A login has failed against this record, which was kept for a while: if it is still true,
	 * the failure counts against the address. One reference, or NULL. */
	struct authrecord *suspect;
	struct addr addr;

	enum authquery_outcome outcome;
	struct authrecord *record; /* FOUND: one reference */
	char why[256];             /* FAILED */
};

/* Whether users of this database are looked up at all. */
bool authquery_is_on(const struct config *c, const struct conf_database *db);

/* `throttle` counts the failures that turn out to be real. Both are borrowed. */
struct authquery *authquery_new(struct authcache *cache, struct throttle *throttle);
int authquery_start(struct authquery *q); /* -1: no thread */
/* Answer what is waiting, and end the thread; later questions fail. */
void authquery_stop(struct authquery *q);
/* After the stop: carry out the letters that its loop did not get. True: there were any. */
bool authquery_deliver(struct authquery *q);
void authquery_free(struct authquery *q); /* accepts NULL */

/* Any thread. */
void authquery_post(struct authquery *q, struct authquery_ask *take_ask);
void authquery_ask_free(struct authquery_ask *a); /* accepts NULL */
/* What is known without asking. FOUND: *out is a reference of the caller's. */
enum authcached authquery_known(struct authquery *q, const struct authquery_ask *a,
				struct authrecord **out);

#endif
