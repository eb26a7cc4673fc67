/* SPDX-License-Identifier: PostgreSQL
 *
 * The gate's part about logins: what sessions have to log in with at the node that a migration will
 * send them to, and a try of each before sessions are frozen.
 */
#include "config.h"

#include "proxy/move/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/authcache.h"
#include "proxy/auth/credential.h"
#include "proxy/config/config.h"
#include "proxy/move/cutover.h"
#include "proxy/move/errand.h"
#include "proxy/move/rehearsal.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker_int.h"

struct gate_logins {
	struct meridian *process;
	struct world *world; /* one reference; NULL: no worker has answered */
	struct logins_tried list;
};

/* ---- the list ---- */

/* What is sent to the workers, and what they answer. */
struct listing {
	struct cutover cutover;
	struct world *world; /* the first worker's world; one reference */
	struct logins_tried *of_workers;
	int nworkers;
};

static void
listing_free(void *arg)
{
	struct listing *o = arg;

	for (int i = 0; i < o->nworkers; i++)
		rehearsal_fini(&o->of_workers[i]);
	world_unref(o->world);
	free(o->of_workers);
	free(o);
}

static bool
list_here(struct errand *e, struct worker *w)
{
	struct listing *o = errand_what(e);

	if (worker_id(w) == 1)
		o->world = world_ref(worker_world(w));
	rehearsal_list(w, &o->cutover, &o->of_workers[worker_id(w) - 1]);
	return true;
}

struct gate_logins *
gate_logins(void *arg, const struct gate_move *m)
{
	struct meridian *process = arg;
	struct gate_logins *l = xcalloc(1, sizeof(*l));
	struct listing *o = xcalloc(1, sizeof(*o));
	struct errand *e;

	l->process = process;
	cutover_init(&o->cutover, m);
	o->nworkers = process->nworkers;
	o->of_workers = xcalloc((size_t)o->nworkers, sizeof(*o->of_workers));
	e = errand_new(process, o, listing_free);
	errand_to_workers(e, list_here);
	if (errand_wait(e, clock_us() + GATE_TURN_US)) {
		for (int i = 0; i < o->nworkers; i++)
			rehearsal_merge(&l->list, &o->of_workers[i]);
		l->world = world_ref(o->world);
	}
	errand_unref(e);
	return l;
}

void
gate_logins_free(struct gate_logins *l)
{
	if (l == NULL)
		return;
	rehearsal_fini(&l->list);
	world_unref(l->world);
	free(l);
}

void
gate_logins_each(const struct gate_logins *l,
		 void (*each)(void *to, const struct gate_login *login), void *to)
{
	for (size_t i = 0; i < l->list.n; i++) {
		const struct login_tried *t = &l->list.v[i];
		const struct gate_login v = { .user = t->user,
					      .sessions = t->sessions,
					      .is_rehearsed = t->is_tried,
					      .refused = t->refused.msg };

		each(to, &v);
	}
}

/* ---- trying ---- */

/* The list of logins is shared; each worker tries every n-th. */
struct trying {
	struct logins_tried list;
	int64_t deadline_us;
	struct part {
		struct errand *errand;
		unsigned left;
	} * parts;
};

static void
trying_free(void *arg)
{
	struct trying *o = arg;

	rehearsal_fini(&o->list);
	free(o->parts);
	free(o);
}

/* Called on the worker. */
static void
one_over(void *arg)
{
	struct part *p = arg;

	if (--p->left == 0)
		errand_done(p->errand);
}

static bool
try_here(struct errand *e, struct worker *w)
{
	struct trying *o = errand_what(e);
	size_t step = (size_t)w->process->nworkers, first = (size_t)worker_id(w) - 1;
	struct part *p = &o->parts[first];

	p->errand = e;
	p->left = 1; /* the part stays open until all logins were begun */
	for (size_t i = first; i < o->list.n; i += step) {
		p->left++;
		rehearsal_begin(w, &o->list.v[i], o->deadline_us, one_over, p);
	}
	return --p->left == 0;
}

void
gate_rehearse(void *arg, struct gate_logins *l, int64_t deadline_us)
{
	struct meridian *process = arg;
	struct trying *o = xcalloc(1, sizeof(*o));
	struct errand *e = errand_new(process, o, trying_free);
	struct logins_tried tried = { 0 };

	rehearsal_copy(&o->list, &l->list);
	o->deadline_us = deadline_us;
	o->parts = xcalloc((size_t)process->nworkers, sizeof(*o->parts));
	errand_to_workers(e, try_here);
	if (errand_wait(e, deadline_us + GATE_TURN_US)) {
		tried = l->list;
		l->list = o->list;
		o->list = tried;
	} else {
		for (size_t i = 0; i < l->list.n; i++) {
			l->list.v[i].is_tried = true;
			err_set(&l->list.v[i].refused, SQLSTATE_CONNECTION_FAILURE,
				"a worker of this proxy did not answer in time");
		}
	}
	errand_unref(e);
}

/* ---- what nodes keep, and what we do ---- */

struct comparing {
	struct slice user, secret;
	struct gate_fit *fit;
};

static bool
is_as_good(const struct authfile_user *u, struct slice user, struct slice secret)
{
	if (u->kind == AUTHFILE_SCRAM && !u->was_plain) {
		struct scram_verifier v;
		struct err e;
		bool same;

		if (scram_verifier_parse(secret, &v, &e) != 0)
			return false;
		same = memcmp(v.stored_key, u->scram.stored_key, sizeof(v.stored_key)) == 0;
		scram_verifier_wipe(&v);
		return same;
	}
	return u->kind == AUTHFILE_NONE || credential_fits(u->credential, user, secret);
}

static void
compare_told(const struct authrecord *r, void *arg)
{
	struct comparing *c = arg;

	if (!slice_is(c->user, r->name))
		return;
	c->fit->known_fits = (*c->fit->known_by == '\0' || c->fit->known_fits) &&
			     is_as_good(&r->user, c->user, c->secret);
	c->fit->known_by = "auth_query";
}

void
gate_logins_fit(const struct gate_logins *l, const char *user, const char *secret,
		struct gate_fit *out)
{
	struct comparing c = { slice_str(user), slice_str(secret), out };
	const struct authfile *file = l->world != NULL ? l->world->config->auth : NULL;
	const struct authfile_user *u = file != NULL ? authfile_find(file, c.user) : NULL;

	*out = (struct gate_fit){ .known_by = "" };
	for (size_t i = 0; i < l->list.n; i++) {
		const struct login_tried *t = &l->list.v[i];

		if (strcmp(t->user, user) != 0)
			continue;
		out->sessions += t->sessions;
		if (t->credential != NULL && !credential_fits(t->credential, c.user, c.secret))
			out->unfit += t->sessions;
	}
	/* auth_file comes before auth_query, as for logins */
	if (u == NULL) {
		authcache_walk(l->process->authcache, compare_told, &c);
		return;
	}
	c.fit->known_by = "auth_file";
	c.fit->known_fits = is_as_good(u, c.user, c.secret);
}
