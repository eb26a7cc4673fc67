/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/rehearsal.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/sqlstate.h"
#include "protocol/startup.h"
#include "proxy/auth/credential.h"
#include "proxy/move/cutover.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"
#include "proxy/session/signon.h"

/* ---- the list ---- */

static void
login_fini(struct login_tried *l)
{
	free(l->user);
	free(l->database);
	free(l->options);
	credential_unref(l->credential);
	if (l->live != NULL)
		node_live_unref(l->live);
}

void
rehearsal_fini(struct logins_tried *l)
{
	for (size_t i = 0; i < l->n; i++)
		login_fini(&l->v[i]);
	free(l->v);
	*l = (struct logins_tried){ 0 };
}

static struct login_tried *
find(const struct logins_tried *l, const char *user, const struct credential *credential)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->v[i].user, user) == 0 &&
		    credential_equal(l->v[i].credential, credential))
			return &l->v[i];
	}
	return NULL;
}

static void
add(struct logins_tried *to, const struct login_tried *take)
{
	to->v = xreallocarray(to->v, to->n + 1, sizeof(*to->v));
	to->v[to->n++] = *take;
}

void
rehearsal_merge(struct logins_tried *to, struct logins_tried *from)
{
	for (size_t i = 0; i < from->n; i++) {
		struct login_tried *known = find(to, from->v[i].user, from->v[i].credential);

		if (known == NULL) {
			add(to, &from->v[i]);
			continue;
		}
		known->sessions += from->v[i].sessions;
		login_fini(&from->v[i]);
	}
	free(from->v);
	*from = (struct logins_tried){ 0 };
}

void
rehearsal_copy(struct logins_tried *to, const struct logins_tried *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct login_tried *f = &from->v[i];
		const struct login_tried l = {
			.user = xstrdup(f->user),
			.database = xstrdup(f->database),
			.options = xstrdup(f->options),
			.credential = credential_ref(f->credential),
			.live = f->live != NULL ? node_live_ref(f->live) : NULL,
			.access = f->access,
			.sessions = f->sessions,
		};

		add(to, &l);
	}
}

static void
list_one(struct session *s, const struct cutover *c, const struct authority *as_if,
	 struct logins_tried *out)
{
	struct slice dbname =
	    locate_configured_dbname(s->worker->world, session_name(s, NAME_DATABASE));
	struct login_tried *known = find(out, s->names, s->credential);
	struct slice options = pooled_options(s);
	struct route *route = &s->worker->route;

	if (known == NULL) {
		struct login_tried l = {
			.user = xstrdup(s->names), /* the user is the first of the names */
			.database =
			    c->newdb[0] != '\0' ? xstrdup(c->newdb) : xstrndup(dbname.p, dbname.n),
			.options = xstrndup(options.p, options.n),
			.credential = credential_ref(s->credential),
			.access = (enum access)s->access,
		};

		/* the first node of its route, if the decision were in force */
		locate_route_again(s, -1, as_if, route);
		if (route->nnodes > 0)
			l.live =
			    node_live_ref(s->worker->world->topology->nodes[route->nodes[0]].live);
		add(out, &l);
		known = &out->v[out->n - 1];
	}
	known->sessions++;
}

void
rehearsal_list(struct worker *w, const struct cutover *c, struct logins_tried *out)
{
	struct topology *t = cutover_decided(w, c);
	const struct authority *as_if = topology_authority(t, slice_str(c->from.database));

	for (uint32_t i = 0; i < w->nslots; i++) {
		struct session *s = cutover_session_at(w, c, i);

		if (s != NULL && *cutover_why_not(s) == '\0')
			list_one(s, c, as_if, out);
	}
	topology_unref(t);
}

/* ---- trying ---- */

struct rehearsal {
	LIST_ENTRY(rehearsal) all;
	struct worker *worker;
	struct login_tried *login;
	struct server *server; /* NULL: there is no node */
	struct event timer;
	void (*over)(void *arg);
	void *arg;
};

static void
end(struct rehearsal *r, const struct err *e)
{
	event_del(&r->timer);
	LIST_REMOVE(r, all);
	server_free(r->server);
	r->login->is_tried = true;
	if (e != NULL)
		r->login->refused = *e;
	r->over(r->arg);
	loop_defer(r->worker->loop, free, r);
}

static void
on_signed_on(void *arg, struct server *sv, enum signon_end how, const struct err *e)
{
	(void)sv;
	end(arg, how == SIGNON_READY ? NULL : e);
}

static void
give_up(struct rehearsal *r, const char *why)
{
	struct err e;

	err_set(&e, SQLSTATE_CONNECTION_FAILURE, "%s", why);
	end(r, &e);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct rehearsal *r = arg;

	(void)fd;
	(void)what;
	give_up(r, r->login->live != NULL ? "no answer in time"
					  : "no node there can take the session");
}

static void
sign_on(struct rehearsal *r)
{
	const struct login_tried *l = r->login;
	struct buf startup = { .cap = 2 * STARTUP_BYTES_MAX };
	char *about = xasprintf("rehearsal of %s/%s", l->database, l->user);
	struct signon_order order = { .server = r->server,
				      .credential = l->credential,
				      .user = l->user,
				      .access = l->access,
				      .about = about,
				      .done = on_signed_on,
				      .arg = r };
	const struct startup_param set[] = {
		{ slice_str("user"), slice_str(l->user) },
		{ slice_str("database"), slice_str(l->database) },
		{ slice_str("options"), slice_str(l->options) },
	};
	const struct startup_edit edit = { .set = set, .set_n = l->options[0] != '\0' ? 3 : 2 };
	const struct startup st = { .kind = STARTUP_V3, .major = 3 };

	startup_build(&startup, &st, &edit);
	order.startup = startup.failed ? slice_of(NULL, 0) : buf_view(&startup);
	signon_begin(&order);
	buf_fini(&startup);
	free(about);
}

void
rehearsal_begin(struct worker *w, struct login_tried *l, int64_t deadline_us,
		void (*over)(void *arg), void *arg)
{
	int64_t left = l->live != NULL ? deadline_us - clock_us() : 0;
	struct timeval tv = { .tv_sec = left / USEC_PER_SEC, .tv_usec = left % USEC_PER_SEC };
	struct rehearsal *r = xcalloc(1, sizeof(*r));

	r->worker = w;
	r->login = l;
	r->over = over;
	r->arg = arg;
	if (l->live != NULL) {
		r->server = server_new(w, NULL, l->live);
		sign_on(r);
	}
	LIST_INSERT_HEAD(&w->rehearsals, r, all);
	evtimer_assign(&r->timer, loop_base(w->loop), on_timer, r);
	if (left <= 0)
		tv = (struct timeval){ 0 };
	event_add(&r->timer, &tv);
}

void
rehearsal_end_all(struct worker *w)
{
	struct rehearsal *r;

	while ((r = LIST_FIRST(&w->rehearsals)) != NULL)
		give_up(r, "the proxy is shutting down");
}
