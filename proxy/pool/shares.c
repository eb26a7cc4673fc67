/* SPDX-License-Identifier: PostgreSQL
 *
 * What the pools of different workers have to do with one another: not connections, but the room
 * that max_db_connections and max_user_connections leave to all of them, and the wish to be warm. A
 * pool that has sessions waiting, no connection, and no room starves; the others see that in a
 * counter they share, and give up a connection that is idle or has had its time.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/auth/credential.h"
#include "proxy/pool/limits.h"
#include "proxy/pool/pool_int.h"
#include "proxy/worker_int.h"

/* A connection stays so long where it is, though others starve: reconnecting has its price. */
#define STAY_US (50 * USEC_PER_MSEC)
/* Other workers are told again so often that a user is here. */
#define TELL_US (30 * USEC_PER_SEC)

/* ---- room ---- */

void
shares_starve(struct pool *p, bool starving)
{
	unsigned by = starving ? 1 : UINT32_MAX;

	if (p->starving == starving)
		return;
	p->starving = starving;
	atomic_fetch_add(&p->of_database->starving, by);
	atomic_fetch_add(&p->of_user->starving, by);
	if (starving)
		shares_wake(p->worker);
}

bool
shares_others_starve(const struct pool *p)
{
	unsigned own = p->starving;

	return atomic_load_explicit(&p->of_database->starving, memory_order_relaxed) > own ||
	       atomic_load_explicit(&p->of_user->starving, memory_order_relaxed) > own;
}

WARM bool
shares_must_go(const struct server *sv)
{
	const struct pool *p = sv->pool;

	return shares_others_starve(p) &&
	       (p->nwaiting == 0 || clock_us() - sv->launched_us > STAY_US);
}

static void
close_spare(struct pool *p)
{
	struct server *sv = TAILQ_LAST(&p->places[SERVER_IDLE], server_list);

	if (sv != NULL && shares_others_starve(p))
		server_free(sv);
}

static void
on_wake(struct letter *letter, void *owner)
{
	struct worker *w = owner;
	struct pool *p;

	free(letter);
	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (p->nwaiting > 0)
			pool_grow(p);
		close_spare(p);
	}
}

void
shares_wake(struct worker *w)
{
	for (int i = 0; i < w->process->nworkers; i++) {
		if (w->process->workers[i] != w)
			worker_post(w->process->workers[i], xcalloc(1, sizeof(struct letter)),
				    on_wake);
	}
}

/* ---- warmth ---- */

struct want_letter {
	struct letter letter;
	struct node_live *live;
	struct credential *credential;
	enum access access;
	char *database, *dbname, *user, *options;
};

static void
on_want(struct letter *letter, void *owner)
{
	struct want_letter *l = (struct want_letter *)letter;
	struct pool_key key = { .live = l->live,
				.database = slice_str(l->database),
				.dbname = slice_str(l->dbname),
				.user = slice_str(l->user),
				.options = slice_str(l->options),
				.access = l->access };
	struct worker *w = owner;
	struct pool *p;

	if (!w->draining) {
		p = pool_get(w, &key);
		if (p->credential == NULL)
			pool_set_credential(p, l->credential);
		p->wanted_us = p->told_us = clock_us();
		pools_arm(w->pools);
	}
	node_live_unref(l->live);
	credential_unref(l->credential);
	free(l->database);
	free(l->dbname);
	free(l->user);
	free(l->options);
	free(l);
}

void
shares_want(struct pool *p)
{
	struct worker *w = p->worker;
	int64_t now_us = clock_us();

	if (p->told_us > 0 && now_us - p->told_us < TELL_US)
		return;
	p->told_us = now_us;
	for (int i = 0; i < w->process->nworkers; i++) {
		struct want_letter *l;

		if (w->process->workers[i] == w)
			continue;
		l = xcalloc(1, sizeof(*l));
		l->live = node_live_ref(p->live);
		l->credential = credential_ref(p->credential);
		l->access = p->access;
		l->database = xstrdup(p->database);
		l->dbname = xstrdup(p->dbname);
		l->user = xstrdup(p->user);
		l->options = xstrdup(p->options);
		worker_post(w->process->workers[i], &l->letter, on_want);
	}
}
