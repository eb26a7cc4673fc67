/* SPDX-License-Identifier: PostgreSQL
 *
 * floor - a relay that understands nothing: what every relay in user space costs at the least.
 *
 *   floor PORT NODE_PORT
 *
 * One thread on epoll (level-triggered, no library). What is read from one side of a pair is sent
 * to the other from the same buffer; what that one does not take is kept, and nothing more is read
 * until it is gone. No protocol, no TLS, no deadline, no limit: part of `make bench`, nothing else.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/loopback.h"

#define SCRATCH 65536
#define BATCH   256

/* One side of a pair. */
struct side {
	int fd;
	uint32_t events; /* that epoll knows */
	struct side *other, *next_dead;
	char *rest; /* to be sent to this side */
	size_t rest_at, rest_n;
	int dead;
};

struct relay {
	int ep, listener;
	struct sockaddr_in node;
	struct side *dead; /* until the events at hand are through */
	char scratch[SCRATCH];
};

static void
side_watch(struct relay *r, struct side *s)
{
	uint32_t events = (s->other->rest_n == 0 ? (uint32_t)EPOLLIN : 0) |
			  (s->rest_n > 0 ? (uint32_t)EPOLLOUT : 0);
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (events != s->events && epoll_ctl(r->ep, EPOLL_CTL_MOD, s->fd, &e) != 0)
		die("epoll_ctl");
	s->events = events;
}

static void
pair_end(struct relay *r, struct side *s)
{
	if (s->dead)
		return;
	s->dead = s->other->dead = 1;
	close(s->fd);
	close(s->other->fd);
	s->next_dead = r->dead;
	r->dead = s;
}

static struct side *
side_new(struct relay *r, int fd)
{
	struct side *s = calloc(1, sizeof(*s));
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };

	if (s == NULL || epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &e) != 0)
		die("a new side");
	no_delay(fd);
	s->fd = fd;
	s->events = EPOLLIN;
	return s;
}

static void
accept_all(struct relay *r)
{
	int client;

	while ((client = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct side *a, *b;

		if (server < 0 ||
		    (connect(server, (struct sockaddr *)&r->node, sizeof(r->node)) != 0 &&
		     errno != EINPROGRESS)) {
			close(client);
			if (server >= 0)
				close(server);
			continue;
		}
		a = side_new(r, client);
		b = side_new(r, server);
		a->other = b;
		b->other = a;
	}
}

/* How much of it was taken; -1 where the pair is no more. */
static ssize_t
send_some(struct relay *r, struct side *to, const char *bytes, size_t n)
{
	ssize_t sent = send(to->fd, bytes, n, MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == ENOTCONN)
		return 0;
	pair_end(r, to);
	return -1;
}

static void
side_readable(struct relay *r, struct side *s)
{
	struct side *to = s->other;
	ssize_t got = recv(s->fd, r->scratch, SCRATCH, 0), sent;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		pair_end(r, s);
		return;
	}
	sent = send_some(r, to, r->scratch, (size_t)got);
	if (sent < 0 || sent == got)
		return;
	to->rest_n = (size_t)(got - sent);
	to->rest_at = 0;
	to->rest = malloc(to->rest_n);
	if (to->rest == NULL)
		die("memory");
	memcpy(to->rest, r->scratch + sent, to->rest_n);
	side_watch(r, s);
	side_watch(r, to);
}

static void
side_writable(struct relay *r, struct side *s)
{
	ssize_t sent = send_some(r, s, s->rest + s->rest_at, s->rest_n);

	if (sent < 0)
		return;
	s->rest_at += (size_t)sent;
	s->rest_n -= (size_t)sent;
	if (s->rest_n > 0)
		return;
	free(s->rest);
	s->rest = NULL;
	side_watch(r, s);
	side_watch(r, s->other);
}

static void
side_event(struct relay *r, struct side *s, uint32_t events)
{
	if (!s->dead && s->rest_n > 0 && (events & EPOLLOUT) != 0)
		side_writable(r, s);
	if (s->dead || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	if (s->other->rest_n == 0)
		side_readable(r, s);
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		pair_end(r, s);
}

static void
bury(struct relay *r)
{
	while (r->dead != NULL) {
		struct side *s = r->dead;

		r->dead = s->next_dead;
		free(s->rest);
		free(s->other->rest);
		free(s->other);
		free(s);
	}
}

int
main(int argc, char **argv)
{
	static struct relay r;
	struct epoll_event events[BATCH], e = { .events = EPOLLIN };

	if (argc != 3) {
		fprintf(stderr, "usage: floor PORT NODE_PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r.listener = loopback_listen(argv[1]);
	r.node = loopback(argv[2]);
	r.ep = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(r.ep, EPOLL_CTL_ADD, r.listener, &e) != 0)
		die("epoll_ctl");
	for (;;) {
		int n = epoll_wait(r.ep, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				accept_all(&r);
			else
				side_event(&r, events[i].data.ptr, events[i].events);
		}
		bury(&r);
	}
}
