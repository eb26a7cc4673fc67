/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pauses.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/control_int.h"
#include "proxy/session/pause.h"

struct paused {
	LIST_ENTRY(paused) next;
	struct control *control;
	struct pause pause;
	int left;                        /* workers that have not said yet that it is quiet there */
	struct control_request *waiting; /* the PAUSE, until they all have; NULL: it is in force */
	struct event deadline;           /* of that */
};

/* What is meant, for messages: "database "movr" in region "us-east1"". */
static const char *
scope_text(const struct pause_scope *p, char to[320])
{
	bool d = p->database[0] != '\0', r = p->region[0] != '\0';

	(void)snprintf(to, 320, "%s%s%s%s%s%s%s%s", d ? "database \"" : "", p->database,
		       d ? "\"" : "", d && r ? " in " : "", r ? "region \"" : "", p->region,
		       r ? "\"" : "", !d && !r ? "everything" : "");
	return to;
}

static void
publish(struct control *c)
{
	struct paused *p;
	size_t n = 0;

	LIST_FOREACH (p, &c->paused.list, next)
		n++;
	for (int i = 0; i < c->process->nworkers; i++) {
		struct pause *v = n > 0 ? xcalloc(n, sizeof(*v)) : NULL;
		size_t k = 0;

		LIST_FOREACH (p, &c->paused.list, next)
			v[k++] = p->pause;
		pause_publish(c->process->workers[i], v, n);
	}
}

static void
answer(struct paused *p, const char *why)
{
	struct control_request *r = p->waiting;
	char scope[320];

	event_del(&p->deadline);
	p->waiting = NULL;
	if (r == NULL)
		return;
	r->failed = why != NULL;
	if (why != NULL)
		err_set(&r->err, SQLSTATE_QUERY_CANCELED, "PAUSE of %s was taken back: %s",
			scope_text(&p->pause.scope, scope), why);
	worker_post(r->from, &r->letter, r->reply);
}

static void
take_back(struct paused *p, const char *why)
{
	char scope[320];

	log_msg(LOG_LEVEL_INFO, "PAUSE of %s is over: %s", scope_text(&p->pause.scope, scope), why);
	answer(p, why);
	LIST_REMOVE(p, next);
	free(p);
}

static void
paused_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct paused *p = arg;
	struct control *c = p->control;

	(void)fd;
	(void)what;
	take_back(p, "a transaction was open yet at its deadline");
	publish(c);
}

static struct paused *
find_scope(struct control *c, const struct pause_scope *scope)
{
	struct paused *p;

	LIST_FOREACH (p, &c->paused.list, next) {
		if (strcmp(p->pause.scope.database, scope->database) == 0 &&
		    strcmp(p->pause.scope.region, scope->region) == 0)
			return p;
	}
	return NULL;
}

static struct pause_scope
scope_of(const struct control_request *r)
{
	struct pause_scope scope;

	(void)text_copy(scope.database, sizeof(scope.database), slice_str(r->subject));
	(void)text_copy(scope.region, sizeof(scope.region), slice_str(r->region));
	return scope;
}

static void
begin(struct control *c, struct control_request *r, const struct pause_scope *scope)
{
	struct timeval tv = { .tv_sec = r->deadline_us / USEC_PER_SEC,
			      .tv_usec = r->deadline_us % USEC_PER_SEC };
	struct paused *p = xcalloc(1, sizeof(*p));

	p->control = c;
	p->pause.scope = *scope;
	p->pause.serial = ++c->paused.last_serial;
	p->pause.since_us = clock_wall_us();
	p->left = c->process->nworkers;
	p->waiting = r;
	evtimer_assign(&p->deadline, loop_base(c->loop), paused_on_deadline, p);
	if (r->deadline_us > 0)
		event_add(&p->deadline, &tv);
	LIST_INSERT_HEAD(&c->paused.list, p, next);
	publish(c);
}

bool
paused_any(const struct control *c)
{
	return !LIST_EMPTY(&c->paused.list);
}

bool
paused_begin(struct control *c, struct control_request *r)
{
	struct pause_scope scope = scope_of(r);
	struct paused *p = find_scope(c, &scope);
	char text[320];

	if (c->stopping > 0) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_ADMIN_SHUTDOWN, "the proxy is shutting down");
		return true;
	}
	if (p != NULL && p->waiting != NULL) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_OBJECT_IN_USE, "%s is being paused already",
			scope_text(&scope, text));
	}
	if (p != NULL)
		return true;
	log_msg(LOG_LEVEL_INFO, "PAUSE of %s", scope_text(&scope, text));
	begin(c, r, &scope);
	return false;
}

bool
paused_end(struct control *c, struct control_request *r)
{
	struct pause_scope scope = scope_of(r);
	struct paused *p = find_scope(c, &scope);
	bool all = scope.database[0] == '\0' && scope.region[0] == '\0';
	char text[320];

	if (p == NULL && (!all || LIST_EMPTY(&c->paused.list))) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE, "%s is not paused",
			all ? "nothing" : scope_text(&scope, text));
		if (all)
			err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE, "nothing is paused");
		else if (!LIST_EMPTY(&c->paused.list))
			err_hint(&r->err,
				 "SHOW PAUSES lists what is; RESUME alone ends all of it.");
		return true;
	}
	if (!all)
		take_back(p, "RESUME");
	while (all && !LIST_EMPTY(&c->paused.list))
		take_back(LIST_FIRST(&c->paused.list), "RESUME");
	publish(c);
	return true;
}

/* The console that waits for a PAUSE has gone: nobody would know that it is in force. */
bool
paused_left(struct control *c, struct control_request *r)
{
	struct paused *p;

	LIST_FOREACH (p, &c->paused.list, next) {
		if (p->waiting != NULL && p->waiting->sender_id == r->sender_id) {
			take_back(p, "its console has gone");
			publish(c);
			break;
		}
	}
	return true;
}

/* ---- letters of workers ---- */

struct quiet_letter {
	struct letter letter;
	uint64_t serial;
};

static void
on_quiet(struct letter *letter, void *owner)
{
	struct quiet_letter *l = (struct quiet_letter *)letter;
	struct control *c = owner;
	struct paused *p;
	char scope[320];

	LIST_FOREACH (p, &c->paused.list, next) {
		if (p->pause.serial != l->serial || --p->left > 0)
			continue;
		log_msg(LOG_LEVEL_INFO, "PAUSE of %s is in force",
			scope_text(&p->pause.scope, scope));
		answer(p, NULL);
	}
	free(l);
}

void
control_paused(struct control *c, uint64_t serial)
{
	struct quiet_letter *l = xcalloc(1, sizeof(*l));

	l->serial = serial;
	mailbox_post(c->mail, &l->letter, on_quiet);
}

/* ---- life ---- */

void
paused_init(struct control *c)
{
	LIST_INIT(&c->paused.list);
}

void
paused_fini(struct control *c)
{
	while (!LIST_EMPTY(&c->paused.list))
		take_back(LIST_FIRST(&c->paused.list), "the proxy is shutting down");
}
