/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/ev/mailbox.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"

struct mailbox {
	_Atomic(struct letter *) newest;
	struct event ev;
	void *owner;
	int fd;
};

/* Take everything posted so far, oldest first. */
static struct letter *
take_all(struct mailbox *m)
{
	struct letter *l = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
	struct letter *oldest = NULL, *next;

	for (; l != NULL; l = next) {
		next = l->next;
		l->next = oldest;
		oldest = l;
	}
	return oldest;
}

bool
mailbox_deliver(struct mailbox *m)
{
	struct letter *first = take_all(m), *next;

	for (struct letter *l = first; l != NULL; l = next) {
		next = l->next;
		l->next = NULL;
		l->deliver(l, m->owner);
	}
	return first != NULL;
}

static void
mailbox_on_readable(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	(void)mailbox_deliver(arg);
}

void
mailbox_wait(struct mailbox *m, int ms)
{
	struct pollfd p = { .fd = m->fd, .events = POLLIN };

	(void)poll(&p, 1, ms);
}

struct mailbox *
mailbox_new(struct loop *l, void *owner)
{
	struct mailbox *m = xcalloc(1, sizeof(*m));

	m->owner = owner;
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	BUG_ON(m->fd < 0);
	event_assign(&m->ev, loop_base(l), m->fd, EV_READ | EV_PERSIST, mailbox_on_readable, m);
	event_add(&m->ev, NULL);
	return m;
}

void
mailbox_free(struct mailbox *m)
{
	if (m == NULL)
		return;
	event_del(&m->ev);
	(void)mailbox_deliver(m);
	close(m->fd);
	free(m);
}

void
mailbox_post(struct mailbox *m, struct letter *take_letter, letter_fn deliver)
{
	struct letter *old = atomic_load_explicit(&m->newest, memory_order_relaxed);
	static const uint64_t one = 1;

	take_letter->deliver = deliver;
	do {
		take_letter->next = old;
	} while (!atomic_compare_exchange_weak_explicit(
	    &m->newest, &old, take_letter, memory_order_release, memory_order_relaxed));
	/* the sender that finds the box empty rings; the reader takes all at once */
	if (old == NULL)
		(void)!write(m->fd, &one, sizeof(one));
}
