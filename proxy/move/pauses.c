/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/pauses.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ev/loop.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/move/errand.h"
#include "proxy/move/pause.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"

/* The most that scope_text() writes. */
#define SCOPE_TEXT 480

struct paused {
	LIST_ENTRY(paused) next;
	struct paused_list *all;
	struct pause pause;
	/* workers that have not reported yet that no transaction is open */
	int left;
	/* the PAUSE whose answer waits for them; NULL: it was answered */
	struct control_request *waiting;
	struct errand *errand; /* the same for a freeze */
	struct event deadline; /* of the PAUSE; of a freeze: its end */
};

/* The paused part, for messages: "database "movr" in region "us-east1"". */
static const char *
scope_text(const struct pause_scope *p, char to[SCOPE_TEXT])
{
	bool d = p->database[0] != '\0', r = p->region[0] != '\0';

	if (p->migration != 0) {
		(void)snprintf(to, SCOPE_TEXT, "database \"%s\" in \"%s\" by migration %d",
			       p->database, p->region, p->migration);
		return to;
	}
	(void)snprintf(to, SCOPE_TEXT, "%s%s%s%s%s%s%s%s", d ? "database \"" : "", p->database,
		       d ? "\"" : "", d && r ? " in " : "", r ? "region \"" : "", p->region,
		       r ? "\"" : "", !d && !r ? "everything" : "");
	return to;
}

static void
publish(struct paused_list *all)
{
	struct paused *p;
	size_t n = 0;

	LIST_FOREACH (p, &all->list, next)
		n++;
	for (int i = 0; i < all->process->nworkers; i++) {
		struct pause *v = n > 0 ? xcalloc(n, sizeof(*v)) : NULL;
		size_t k = 0;

		LIST_FOREACH (p, &all->list, next)
			v[k++] = p->pause;
		pause_publish(all->process->workers[i], v, n);
	}
}

static void
answer(struct paused *p, const char *why)
{
	struct control_request *r = p->waiting;
	struct errand *e = p->errand;
	char scope[SCOPE_TEXT];

	p->errand = NULL;
	if (e != NULL)
		errand_done(e);
	if (p->pause.scope.migration == 0)
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
	char scope[SCOPE_TEXT];

	log_msg(LOG_LEVEL_INFO, "PAUSE of %s is over: %s", scope_text(&p->pause.scope, scope), why);
	answer(p, why);
	event_del(&p->deadline);
	LIST_REMOVE(p, next);
	free(p);
}

static void
paused_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct paused *p = arg;
	struct paused_list *all = p->all;

	(void)fd;
	(void)what;
	take_back(p, p->pause.scope.migration != 0
			 ? "its time is over, and the migration has not ended it"
			 : "a transaction was open yet at its deadline");
	publish(all);
}

static struct paused *
find_scope(struct paused_list *all, const struct pause_scope *scope)
{
	struct paused *p;

	LIST_FOREACH (p, &all->list, next) {
		if (p->pause.scope.migration == scope->migration &&
		    strcmp(p->pause.scope.database, scope->database) == 0 &&
		    strcmp(p->pause.scope.region, scope->region) == 0)
			return p;
	}
	return NULL;
}

static struct pause_scope
scope_of(const struct control_request *r)
{
	struct pause_scope scope = { .migration = 0 };

	(void)text_copy(scope.database, sizeof(scope.database), slice_str(r->subject));
	(void)text_copy(scope.region, sizeof(scope.region), slice_str(r->region));
	return scope;
}

/* From now on. */
static void
set_deadline(struct paused *p, int64_t us)
{
	struct timeval tv = { .tv_sec = us / USEC_PER_SEC, .tv_usec = us % USEC_PER_SEC };

	event_del(&p->deadline);
	if (us > 0)
		event_add(&p->deadline, &tv);
}

static struct paused *
begin(struct paused_list *all, const struct pause_scope *scope)
{
	struct paused *p = xcalloc(1, sizeof(*p));

	p->all = all;
	p->pause.scope = *scope;
	p->pause.since_us = clock_wall_us();
	evtimer_assign(&p->deadline, loop_base(all->loop), paused_on_deadline, p);
	LIST_INSERT_HEAD(&all->list, p, next);
	return p;
}

/* Have the workers report when no transaction is open there. */
static void
ask_workers(struct paused_list *all, struct paused *p)
{
	p->pause.serial = ++all->last_serial;
	p->left = all->process->nworkers;
	publish(all);
}

static bool
is_operator_there(const struct paused_list *all)
{
	const struct paused *p;

	LIST_FOREACH (p, &all->list, next) {
		if (p->pause.scope.migration == 0)
			return true;
	}
	return false;
}

/* Take back what the operator has paused (`scope` all of it), or what a migration has frozen of a
 * database. False: there is nothing. */
static bool
take_all_back(struct paused_list *all, const struct pause_scope *scope, const char *why)
{
	struct paused *p, *next;
	bool some = false;

	for (p = LIST_FIRST(&all->list); p != NULL; p = next) {
		next = LIST_NEXT(p, next);
		if (p->pause.scope.migration != scope->migration ||
		    (scope->migration != 0 &&
		     strcmp(p->pause.scope.database, scope->database) != 0))
			continue;
		take_back(p, why);
		some = true;
	}
	return some;
}

bool
paused_freeze(struct paused_list *all, const struct pause_scope *scope, int64_t expires_us,
	      struct errand *take_e)
{
	struct paused *p = find_scope(all, scope);
	char text[SCOPE_TEXT];

	if (all->closed)
		return false;
	log_msg(LOG_LEVEL_INFO, "freeze of %s", scope_text(scope, text));
	if (p == NULL)
		p = begin(all, scope);
	answer(p, NULL); /* a console that asked before */
	p->errand = take_e;
	set_deadline(p, expires_us);
	ask_workers(all, p);
	return true;
}

bool
paused_is_frozen(const struct paused_list *all, const char *database)
{
	const struct paused *p;

	LIST_FOREACH (p, &all->list, next) {
		if (p->pause.scope.migration != 0 && strcmp(p->pause.scope.database, database) == 0)
			return true;
	}
	return false;
}

void
paused_thaw(struct paused_list *all, const struct pause_scope *scope, const char *why)
{
	if (take_all_back(all, scope, why))
		publish(all);
}

bool
paused_any(const struct paused_list *all)
{
	return !LIST_EMPTY(&all->list);
}

bool
paused_begin(struct paused_list *all, struct control_request *r)
{
	struct pause_scope scope = scope_of(r);
	struct paused *p = find_scope(all, &scope);
	char text[SCOPE_TEXT];

	if (all->closed) {
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
	p = begin(all, &scope);
	p->waiting = r;
	set_deadline(p, r->deadline_us);
	ask_workers(all, p);
	return false;
}

bool
paused_end(struct paused_list *all, struct control_request *r)
{
	struct pause_scope scope = scope_of(r);
	struct paused *p = find_scope(all, &scope);
	bool is_all = scope.database[0] == '\0' && scope.region[0] == '\0';
	char text[SCOPE_TEXT];

	if (p == NULL && (!is_all || !is_operator_there(all))) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE, "%s is not paused",
			is_all ? "nothing" : scope_text(&scope, text));
		if (is_all)
			err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE, "nothing is paused");
		else if (!LIST_EMPTY(&all->list))
			err_hint(&r->err,
				 "SHOW PAUSES lists what is; RESUME alone ends all of it but "
				 "what a migration has frozen.");
		return true;
	}
	if (is_all)
		take_all_back(all, &scope, "RESUME");
	else
		take_back(p, "RESUME");
	publish(all);
	return true;
}

/* The console that waits for a PAUSE has gone: no operator would know that it is in force. */
bool
paused_left(struct paused_list *all, struct control_request *r)
{
	struct paused *p;

	LIST_FOREACH (p, &all->list, next) {
		if (p->waiting != NULL && p->waiting->sender_id == r->sender_id) {
			take_back(p, "its console has gone");
			publish(all);
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
	struct paused_list *all = control_paused_list(owner);
	struct paused *p;
	char scope[SCOPE_TEXT];

	LIST_FOREACH (p, &all->list, next) {
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
	control_post(c, &l->letter, on_quiet);
}

/* ---- life ---- */

void
paused_init(struct paused_list *all, struct meridian *process, struct loop *loop)
{
	all->process = process;
	all->loop = loop;
	LIST_INIT(&all->list);
}

void
paused_fini(struct paused_list *all)
{
	while (!LIST_EMPTY(&all->list))
		take_back(LIST_FIRST(&all->list), "the proxy is shutting down");
}
