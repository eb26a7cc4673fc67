/* SPDX-License-Identifier: PostgreSQL
 *
 * The threads of the console's commands, and the queues between them and their consoles.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/sqlstate.h"
#include "proxy/move/migrations_int.h"

#define QUEUE_MAX ((size_t)256 << 10) /* bytes said and not taken; above it the thread waits */

struct migration_call {
	LIST_ENTRY(migration_call) all;
	struct proxy_migrations *pm;
	pthread_t thread;
	struct migration_request rq; /* with strings of its own */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* the queue has room, or the console has gone */
	unsigned refs;          /* one of the console, one of the list */
	struct call_item *first, **last;
	size_t queued; /* bytes */
	bool dropped, over, failed;
	struct err err;
	void (*wake)(void *arg); /* NULL: the console does not wait */
	void *wake_arg;
};

void
call_item_free(struct call_item *item)
{
	if (item == NULL)
		return;
	for (size_t i = 0; i < item->n; i++)
		free(item->values[i]);
	free(item->values);
	free(item->notice);
	free(item->line);
	free(item);
}

static size_t
size_of(const struct call_item *item)
{
	size_t size = sizeof(*item) + (item->notice != NULL ? sizeof(*item->notice) : 0);

	for (size_t i = 0; i < item->n; i++)
		size += item->values[i] != NULL ? strlen(item->values[i]) + 1 : 0;
	return size + (item->line != NULL ? strlen(item->line) : 0);
}

/* ---- the request ---- */

/* Every string of it. */
#define REQUEST_STRINGS(X) \
	X(migration)       \
	X(text)            \
	X(phase) X(argument) X(argument2) X(deadline) X(force) X(user) X(address) X(statement)

/* ---- references ---- */

static void
call_free(struct migration_call *c)
{
	struct call_item *item;

	while ((item = c->first) != NULL) {
		c->first = item->next;
		call_item_free(item);
	}
#define FREE(field) free((char *)(uintptr_t)c->rq.field);
	REQUEST_STRINGS(FREE)
#undef FREE
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c);
}

static void
call_unref(struct migration_call *c)
{
	bool last;

	pthread_mutex_lock(&c->lock);
	last = --c->refs == 0;
	pthread_mutex_unlock(&c->lock);
	if (last)
		call_free(c);
}

/* ---- the thread's side ---- */

/* With the lock held: wake the console, once. */
static void
wake_up(struct migration_call *c)
{
	void (*wake)(void *arg) = c->wake;

	c->wake = NULL;
	if (wake != NULL)
		wake(c->wake_arg);
}

static void
say(struct migration_call *c, struct call_item *item)
{
	pthread_mutex_lock(&c->lock);
	while (c->queued >= QUEUE_MAX && !c->dropped)
		pthread_cond_wait(&c->changed, &c->lock);
	if (c->dropped) {
		call_item_free(item);
	} else {
		c->queued += size_of(item);
		*c->last = item;
		c->last = &item->next;
		wake_up(c);
	}
	pthread_mutex_unlock(&c->lock);
}

static void
sink_row(void *arg, const char *const *values, size_t n)
{
	struct call_item *item = xcalloc(1, sizeof(*item));

	item->kind = CALL_ROW;
	item->n = n;
	item->values = xcalloc(n + 1, sizeof(*item->values));
	for (size_t i = 0; i < n; i++)
		item->values[i] = values[i] != NULL ? xstrdup(values[i]) : NULL;
	say(arg, item);
}

static void
sink_notice(void *arg, const char *severity, const struct err *e)
{
	struct call_item *item = xcalloc(1, sizeof(*item));

	item->kind = CALL_NOTICE;
	strncpy(item->severity, severity, sizeof(item->severity) - 1);
	item->notice = xmalloc(sizeof(*item->notice));
	*item->notice = *e;
	say(arg, item);
}

static void
sink_line(void *arg, const char *text)
{
	struct call_item *item = xcalloc(1, sizeof(*item));

	item->kind = CALL_LINE;
	item->line = xstrdup(text);
	say(arg, item);
}

static bool
sink_is_cancelled(void *arg)
{
	struct migration_call *c = arg;
	bool dropped;

	pthread_mutex_lock(&c->lock);
	dropped = c->dropped;
	pthread_mutex_unlock(&c->lock);
	return dropped;
}

static void *
call_run(void *arg)
{
	struct migration_call *c = arg;
	const struct migration_sink sink = { c, sink_row, sink_notice, sink_line,
					     sink_is_cancelled };
	struct calls *calls = &c->pm->calls;
	struct err e = { 0 };
	int rc = proxy_migrations_ready(c->pm, &e);

	if (rc == 0)
		rc = migration_execute(c->pm->migrations, &c->rq, &sink, &e);
	pthread_mutex_lock(&calls->lock);
	calls->running--;
	pthread_mutex_unlock(&calls->lock);
	/* the thread's last act, so that a caller may join it while holding locks */
	pthread_mutex_lock(&c->lock);
	c->over = true;
	c->failed = rc != 0;
	c->err = e;
	wake_up(c);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- the console's side ---- */

enum call_state
call_take(struct migration_call *c, struct call_item **item, bool *failed, struct err *e,
	  void (*wake)(void *arg), void *arg)
{
	enum call_state state = CALL_WAITS;

	pthread_mutex_lock(&c->lock);
	*item = c->first;
	if (c->first != NULL) {
		state = CALL_SAYS;
		c->queued -= size_of(c->first);
		c->first = c->first->next;
		if (c->first == NULL)
			c->last = &c->first;
		pthread_cond_signal(&c->changed);
	} else if (c->over) {
		state = CALL_OVER;
		*failed = c->failed;
		*e = c->err;
	} else {
		c->wake = wake;
		c->wake_arg = arg;
	}
	pthread_mutex_unlock(&c->lock);
	return state;
}

void *
call_drop(struct migration_call *c)
{
	void *arg;

	pthread_mutex_lock(&c->lock);
	arg = c->wake != NULL ? c->wake_arg : NULL;
	c->wake = NULL;
	c->dropped = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	call_unref(c);
	return arg;
}

/* ---- all of them ---- */

void
calls_init(struct calls *c)
{
	pthread_mutex_init(&c->lock, NULL);
	LIST_INIT(&c->all);
}

/* Join the threads that have ended, or all of them. */
static void
reap(struct calls *calls, bool all)
{
	struct migration_call *c, *next;

	for (c = LIST_FIRST(&calls->all); c != NULL; c = next) {
		bool over;

		next = LIST_NEXT(c, all);
		pthread_mutex_lock(&c->lock);
		over = c->over;
		pthread_mutex_unlock(&c->lock);
		if (!over && !all)
			continue;
		LIST_REMOVE(c, all);
		(void)pthread_join(c->thread, NULL);
		call_unref(c);
	}
}

/* With the lock of the calls held. */
static int
admit(struct calls *calls, struct err *e)
{
	if (calls->stopping)
		return err_set(e, SQLSTATE_ADMIN_SHUTDOWN, "the proxy is shutting down");
	if (calls->running < CALLS_MAX)
		return 0;
	err_set(e, SQLSTATE_TOO_MANY_CONNECTIONS, "too many commands about migrations at once");
	return err_hint(e, "At most %d wait for databases at a time, FOLLOW and RUN WAIT too.",
			CALLS_MAX);
}

struct migration_call *
call_start(struct proxy_migrations *pm, const struct migration_request *rq, struct err *e)
{
	struct calls *calls = &pm->calls;
	struct migration_call *c = xcalloc(1, sizeof(*c));
	int rc;

	c->pm = pm;
	c->rq = *rq;
#define COPY(field) c->rq.field = rq->field != NULL ? xstrdup(rq->field) : NULL;
	REQUEST_STRINGS(COPY)
#undef COPY
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->refs = 2;
	c->last = &c->first;
	pthread_mutex_lock(&calls->lock);
	if (!calls->stopping) /* once stopping, calls_join() walks the list without the lock */
		reap(calls, false);
	rc = admit(calls, e);
	if (rc == 0 && proxy_migrations_thread(&c->thread, call_run, c) != 0)
		rc = err_set(e, SQLSTATE_INSUFFICIENT_RESOURCES, "could not start a thread");
	if (rc == 0) {
		calls->running++;
		LIST_INSERT_HEAD(&calls->all, c, all);
	}
	pthread_mutex_unlock(&calls->lock);
	if (rc == 0)
		return c;
	call_free(c);
	return NULL;
}

void
calls_stop(struct calls *calls)
{
	struct migration_call *c;

	pthread_mutex_lock(&calls->lock);
	calls->stopping = true;
	LIST_FOREACH (c, &calls->all, all) {
		pthread_mutex_lock(&c->lock);
		c->dropped = true;
		pthread_cond_signal(&c->changed);
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_unlock(&calls->lock);
}

/* No call is admitted any more: the list is walked without the lock. */
void
calls_join(struct calls *calls)
{
	reap(calls, true);
}

void
calls_fini(struct calls *c)
{
	pthread_mutex_destroy(&c->lock);
}
