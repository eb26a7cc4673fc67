/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/watch/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/ev/mailbox.h"
#include "base/log.h"
#include "base/mem.h"

/* A question on its way to the thread, and the answer on its way back. */
struct lookup {
	struct letter letter; /* first */
	struct lookup *next;
	char *host;
	int error; /* EAI_… */
	struct addr addrs[NODE_ADDRS_MAX];
	uint8_t naddrs;
};

/* What the thread and the resolver share. The thread may sit in getaddrinfo() for long, so it is
 * detached, and the one of the two that leaves last frees this. */
struct desk {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct lookup *first, **last;
	struct mailbox *box; /* NULL: the resolver is gone */
	struct refcount refs;
};

enum host_state { HOST_NEW, HOST_FOUND, HOST_FAILED };

struct host {
	char *name;
	enum host_state state;
	bool literal;   /* an address or a directory: no lookup */
	unsigned asked; /* lookups under way: 0 or 1 */
	int error;
	struct addr addrs[NODE_ADDRS_MAX];
	uint8_t naddrs;
};

struct resolver {
	struct loop *loop;
	resolver_changed_fn changed;
	void *arg;
	struct mailbox *box;
	struct desk *desk; /* NULL: no thread yet */
	struct event timer;
	struct host *hosts;
	size_t nhosts;
};

static void
lookup_free(struct lookup *q)
{
	free(q->host);
	free(q);
}

static void
desk_unref(struct desk *d)
{
	struct lookup *q;

	if (!refcount_put(&d->refs))
		return;
	while ((q = d->first) != NULL) {
		d->first = q->next;
		lookup_free(q);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->work);
	free(d);
}

/* ---- the thread ---- */

static void lookup_on_answer(struct letter *take_letter, void *owner);

/* The next question, or NULL when the resolver is gone. */
static struct lookup *
desk_next(struct desk *d)
{
	struct lookup *q = NULL;

	pthread_mutex_lock(&d->lock);
	while (d->box != NULL && d->first == NULL)
		pthread_cond_wait(&d->work, &d->lock);
	if (d->box != NULL) {
		q = d->first;
		d->first = q->next;
		if (d->first == NULL)
			d->last = &d->first;
	}
	pthread_mutex_unlock(&d->lock);
	return q;
}

static void *
resolver_main(void *arg)
{
	struct desk *d = arg;
	struct lookup *q;

	while ((q = desk_next(d)) != NULL) {
		struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
		struct addrinfo *list = NULL;

		q->error = getaddrinfo(q->host, NULL, &hints, &list);
		for (struct addrinfo *i = list; i != NULL && q->naddrs < NODE_ADDRS_MAX;
		     i = i->ai_next)
			if (addr_from_sockaddr(i->ai_addr, &q->addrs[q->naddrs]))
				q->naddrs++;
		if (list != NULL)
			freeaddrinfo(list);
		if (q->error == 0 && q->naddrs == 0)
			q->error = EAI_NONAME;
		pthread_mutex_lock(&d->lock);
		if (d->box != NULL)
			mailbox_post(d->box, &q->letter, lookup_on_answer);
		else
			lookup_free(q);
		pthread_mutex_unlock(&d->lock);
	}
	desk_unref(d);
	return NULL;
}

static struct desk *
desk_new(struct mailbox *box)
{
	struct desk *d = xcalloc(1, sizeof(*d));
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int rc;

	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	d->last = &d->first;
	d->box = box;
	refcount_init(&d->refs);
	refcount_get(&d->refs);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, &attr, resolver_main, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	BUG_ON(rc != 0);
	return d;
}

/* ---- the loop's side ---- */

static struct host *
find_host(const struct resolver *r, const char *name)
{
	for (size_t i = 0; i < r->nhosts; i++)
		if (strcasecmp(r->hosts[i].name, name) == 0)
			return &r->hosts[i];
	return NULL;
}

/* Servers of names rotate their answers: another order is no change. */
static bool
same_addresses(const struct host *h, const struct lookup *q)
{
	for (unsigned i = 0; i < q->naddrs; i++) {
		bool found = false;

		for (unsigned k = 0; k < h->naddrs && !found; k++)
			found = addr_same_ip(&q->addrs[i], &h->addrs[k]);
		if (!found)
			return false;
	}
	return q->naddrs == h->naddrs;
}

static bool
take_answer(struct host *h, const struct lookup *q)
{
	bool first = h->state == HOST_NEW;

	h->asked = 0;
	if (q->error != 0) {
		if (h->error == 0)
			log_msg(LOG_LEVEL_WARNING, "could not resolve the host name \"%s\": %s",
				h->name, gai_strerror(q->error));
		h->error = q->error;
		if (first)
			h->state = HOST_FAILED;
		return first;
	}
	h->error = 0;
	h->state = HOST_FOUND;
	if (!first && same_addresses(h, q))
		return false;
	memcpy(h->addrs, q->addrs, sizeof(h->addrs));
	h->naddrs = q->naddrs;
	return true;
}

static void
lookup_on_answer(struct letter *take_letter, void *owner)
{
	struct lookup *q = (struct lookup *)take_letter;
	struct resolver *r = owner;
	struct host *h = find_host(r, q->host);
	bool changed = h != NULL && take_answer(h, q);

	lookup_free(q);
	if (changed && r->changed != NULL)
		r->changed(r->arg);
}

static void
resolver_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	resolver_refresh(arg);
}

struct resolver *
resolver_new(struct loop *l, resolver_changed_fn changed, void *arg)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->changed = changed;
	r->arg = arg;
	r->box = mailbox_new(l, r);
	event_assign(&r->timer, loop_base(l), -1, EV_PERSIST, resolver_on_timer, r);
	return r;
}

static void
free_hosts(struct host *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].name);
	free(v);
}

void
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	r->changed = NULL;
	event_del(&r->timer);
	if (r->desk != NULL) {
		pthread_mutex_lock(&r->desk->lock);
		r->desk->box = NULL;
		pthread_cond_signal(&r->desk->work);
		pthread_mutex_unlock(&r->desk->lock);
		desk_unref(r->desk);
	}
	mailbox_free(r->box);
	free_hosts(r->hosts, r->nhosts);
	free(r);
}

static struct host
new_host(const char *name)
{
	struct host h = { .name = xstrdup(name), .state = HOST_NEW };

	if (addr_parse(slice_str(name), &h.addrs[0]))
		h.naddrs = 1;
	h.literal = name[0] == '/' || h.naddrs == 1;
	if (h.literal)
		h.state = HOST_FOUND;
	return h;
}

void
resolver_configure(struct resolver *r, const struct topology *t, int64_t max_ttl_us)
{
	struct resolver old = *r;
	struct timeval ttl = { max_ttl_us / USEC_PER_SEC, max_ttl_us % USEC_PER_SEC };
	bool names = false;

	r->hosts = xcalloc(t->nnodes + 1U, sizeof(*r->hosts));
	r->nhosts = 0;
	for (unsigned i = 0; i < t->nnodes; i++) {
		struct host *known;

		if (find_host(r, t->nodes[i].host) != NULL)
			continue;
		known = find_host(&old, t->nodes[i].host);
		r->hosts[r->nhosts] = known != NULL ? *known : new_host(t->nodes[i].host);
		if (known != NULL)
			r->hosts[r->nhosts].name = xstrdup(known->name);
		names = names || !r->hosts[r->nhosts].literal;
		r->nhosts++;
	}
	free_hosts(old.hosts, old.nhosts);
	event_del(&r->timer);
	if (names && max_ttl_us > 0)
		event_add(&r->timer, &ttl);
	resolver_refresh(r);
}

void
resolver_refresh(struct resolver *r)
{
	for (size_t i = 0; i < r->nhosts; i++) {
		struct host *h = &r->hosts[i];
		struct lookup *q;

		if (h->literal || h->asked > 0)
			continue;
		if (r->desk == NULL)
			r->desk = desk_new(r->box);
		q = xcalloc(1, sizeof(*q));
		q->host = xstrdup(h->name);
		h->asked = 1;
		pthread_mutex_lock(&r->desk->lock);
		*r->desk->last = q;
		r->desk->last = &q->next;
		pthread_cond_signal(&r->desk->work);
		pthread_mutex_unlock(&r->desk->lock);
	}
}

bool
resolver_settled(const struct resolver *r)
{
	for (size_t i = 0; i < r->nhosts; i++)
		if (r->hosts[i].state == HOST_NEW)
			return false;
	return true;
}

void
resolver_wait(struct resolver *r, int64_t max_us)
{
	resolver_changed_fn changed = r->changed;
	int64_t left, until = clock_us() + max_us;

	r->changed = NULL;
	while (!resolver_settled(r) && (left = until - clock_us()) > 0) {
		mailbox_wait(r->box, (int)(left / 1000) + 1);
		(void)mailbox_deliver(r->box);
	}
	r->changed = changed;
}

void
resolver_fill(const struct resolver *r, struct topology *t)
{
	for (unsigned i = 0; i < t->nnodes; i++) {
		struct node *n = &t->nodes[i];
		const struct host *h = find_host(r, n->host);

		if (h == NULL)
			continue;
		memcpy(n->addrs, h->addrs, sizeof(n->addrs));
		n->naddrs = h->naddrs;
		for (unsigned k = 0; k < n->naddrs; k++)
			n->addrs[k].port = n->port;
	}
}
