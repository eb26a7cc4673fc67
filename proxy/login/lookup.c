/* SPDX-License-Identifier: PostgreSQL
 *
 * The users that auth_file does not have, looked up by auth_query (proxy/login/authquery.h), for
 * one login: what is known without asking, the question, the answer, and the doubt where a login
 * has failed against an answer that was kept for a while.
 */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "proxy/login/authquery.h"
#include "proxy/login/login_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

/* An answer not older than this is not asked for again. */
#define FRESH_US (1 * USEC_PER_SEC)

enum lookup_step { LOOKUP_ASKING, LOOKUP_ANSWERED };

struct lookup {
	enum lookup_step step;
	struct authrecord *record; /* one reference; NULL: there is no such user */
};

/* NULL: PostgreSQL has no user names so long. */
static struct authquery_ask *
new_ask(struct session *s)
{
	struct slice user = login_startup(s->login)->user;
	struct route *route = &s->worker->route;
	struct authquery_ask *a;

	if (user.n == 0 || user.n > AUTHFILE_NAME_MAX)
		return NULL;
	a = xcalloc(1, sizeof(*a));
	a->from = s->worker;
	a->session_id = s->id;
	a->slot = s->slot;
	a->world = world_ref(s->login->world);
	a->database = s->login->database;
	memcpy(a->user, user.p, user.n);
	/* the nodes to ask: the session's, or the first ones of its route, where its role is known
	 */
	if (s->server != NULL) {
		a->nodes[a->nnodes++] = s->login->node;
		return a;
	}
	attach_route(s, route);
	while (a->nnodes < route->nnodes && a->nnodes < AUTHQUERY_NODES_MAX) {
		a->nodes[a->nnodes] = route->nodes[a->nnodes];
		a->nnodes++;
	}
	return a;
}

/* The session that asked, if it still waits. */
static struct session *
who_asked(struct worker *w, const struct authquery_ask *a)
{
	struct session *s = a->slot < w->nslots ? w->slots[a->slot] : NULL;

	if (s == NULL || s->id != a->session_id || s->login == NULL || s->login->lookup == NULL ||
	    s->login->lookup->step != LOOKUP_ASKING || s->login->world != a->world)
		return NULL;
	return s;
}

static void
on_answer(struct letter *take_letter, void *owner)
{
	struct authquery_ask *a = (struct authquery_ask *)take_letter;
	struct worker *w = owner;
	struct session *s = who_asked(w, a);

	stat_add(&w->stats.auth_queries, 1);
	if (a->outcome == AUTHQUERY_FAILED)
		stat_add(&w->stats.auth_query_failures, 1);
	if (s != NULL && a->outcome == AUTHQUERY_FAILED)
		log_limited(LOG_LEVEL_WARNING, session_subject(s), "auth_query: %s", a->why);
	if (s != NULL && a->outcome == AUTHQUERY_FAILED && auth_needs_secret(s)) {
		session_close(s, WHY_LOOKUP_FAILED, NULL);
	} else if (s != NULL) {
		s->login->lookup->step = LOOKUP_ANSWERED;
		s->login->lookup->record = a->record;
		a->record = NULL;
		auth_secret_known(s);
	}
	authquery_ask_free(a);
}

/* Use what is known, or ask. */
static void
ask(struct session *s, struct lookup *k)
{
	struct authquery *q = s->worker->process->authquery;
	struct authquery_ask *a = new_ask(s);

	k->step = LOOKUP_ANSWERED;
	if (a == NULL)
		return;
	if (authquery_known(q, a, &k->record) != AUTHCACHED_NOT) {
		authquery_ask_free(a);
		return;
	}
	k->step = LOOKUP_ASKING;
	a->reply = on_answer;
	authquery_post(q, a);
}

HOT enum auth_lookup
lookup_user(struct session *s, const struct authfile_user **user)
{
	struct login *l = s->login;

	if (l->database == NULL || !authquery_is_on(l->world->config, l->database))
		return LOOKUP_UNKNOWN;
	if (l->lookup == NULL) {
		l->lookup = xcalloc(1, sizeof(*l->lookup));
		ask(s, l->lookup);
	}
	if (l->lookup->step == LOOKUP_ASKING)
		return LOOKUP_PENDING;
	if (l->lookup->record == NULL)
		return LOOKUP_UNKNOWN;
	*user = &l->lookup->record->user;
	return LOOKUP_FOUND;
}

bool
lookup_doubt(struct session *s)
{
	struct lookup *k = s->login->lookup;
	struct authquery_ask *a;

	if (k == NULL || k->record == NULL || clock_us() - k->record->fetched_at_us < FRESH_US)
		return false;
	a = new_ask(s);
	if (a == NULL)
		return false;
	a->suspect = authrecord_ref(k->record);
	a->addr = s->true_addr;
	authquery_post(s->worker->process->authquery, a);
	return true;
}

HOT void
lookup_forget(struct login *l)
{
	if (l->lookup == NULL)
		return;
	authrecord_unref(l->lookup->record);
	free(l->lookup);
	l->lookup = NULL;
}
