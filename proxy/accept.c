/* SPDX-License-Identifier: PostgreSQL
 *
 * Accepting: connections of a worker's listening sockets become sessions. A connection that has
 * sent nothing yet costs one accept4(), and one epoll_ctl() of its stream.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/net/rawio.h"
#include "proxy/net/sock.h"
#include "proxy/process/descriptors.h"
#include "proxy/session/session_int.h"
#include "proxy/workers.h"

#define ACCEPTS_PER_TURN 64U
#define PAUSE_US         25000

static void
socket_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct listen_socket *ls = arg;

	(void)fd;
	(void)what;
	event_add(&ls->ev, NULL);
}

/* There is no descriptor to accept with: the connections stay in the kernel's queue, and we try
 * again a little later instead of spinning. */
static void
pause_accepting(struct listen_socket *ls)
{
	static const struct timeval a_little = { .tv_usec = PAUSE_US };
	static struct log_limit limit;
	unsigned dropped;

	if (log_limit_pass(&limit, &dropped))
		log_msg(LOG_LEVEL_WARNING, "could not accept a connection: %s", strerror(errno));
	event_del(&ls->ev);
	event_add(&ls->pause, &a_little);
}

/* How many to accept now. One at first: to learn from accept4() that there is no second one would
 * cost as much as the first. If the next turn finds more, twice as many, and so on. */
static unsigned
how_many(struct listen_socket *ls)
{
	uint64_t turn = loop_turn(ls->worker->loop);

	if (ls->more && turn == ls->turn + 1)
		ls->most = ls->most * 2 < ACCEPTS_PER_TURN ? ls->most * 2 : ACCEPTS_PER_TURN;
	else
		ls->most = 1;
	ls->turn = turn;
	ls->more = true;
	return ls->most;
}

/* Whether accepted connections must be tuned one by one: the socket was made before a reload that
 * may have changed the options that they inherit. */
static bool
tune(struct listen_socket *ls)
{
	const struct config *config = ls->worker->world->config;

	if (ls->kind != LISTEN_TCP || ls->tuned == config->version)
		return false;
	sock_tune_again(ls->fd, &config->main);
	ls->tuned = config->version;
	ls->most = ACCEPTS_PER_TURN;
	return true;
}

/* Where no descriptor is left, take one of the reserve: the client may be an administrator. */
static int
accept_connection(const struct listen_socket *ls, struct sockaddr_storage *sa)
{
	struct worker *w = ls->worker;
	struct descriptors *d = w->process->descriptors;
	bool spent;
	int fd;

	do {
		socklen_t len = sizeof(*sa);

		fd = raw_accept(ls->fd, (struct sockaddr *)sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		spent = fd < 0 && (errno == EMFILE || errno == ENFILE) &&
			descriptors_spend(d, ls->kind == LISTEN_UNIX);
	} while (spent);
	return fd;
}

/* False: there is none, or it cannot be accepted. */
static bool
accept_one(struct listen_socket *ls, bool alone)
{
	struct worker *w = ls->worker;
	struct sockaddr_storage sa;
	struct addr peer = { .family = ADDR_UNIX };
	int fd = accept_connection(ls, &sa);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(ls);
		return false;
	}
	if (ls->kind != LISTEN_UNIX)
		(void)addr_from_sockaddr((struct sockaddr *)&sa, &peer);
	if (ls->kind == LISTEN_INHERITED)
		sock_tune(fd, &w->world->config->main);
	else if (alone)
		sock_tune_again(fd, &w->world->config->main);
	(void)session_new(w, fd, ls->listener, &peer);
	return true;
}

static HOT void
worker_on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listen_socket *ls = arg;
	bool alone;

	(void)fd;
	(void)what;
	(void)worker_world(ls->worker);
	(void)how_many(ls);
	alone = tune(ls);
	for (unsigned i = 0; ls->more && i < ls->most; i++)
		ls->more = accept_one(ls, alone);
}

void
accept_from(struct worker *w, int take_fd, uint16_t listener, enum listen_kind kind)
{
	w->sockets = xreallocarray(w->sockets, w->nsockets + 1, sizeof(*w->sockets));
	w->sockets[w->nsockets++] = (struct listen_socket){ .worker = w,
							    .fd = take_fd,
							    .listener = listener,
							    .kind = (uint8_t)kind,
							    .tuned = w->world->config->version };
}

void
accept_begin(struct worker *w)
{
	for (size_t i = 0; i < w->nsockets; i++) {
		struct listen_socket *ls = &w->sockets[i];

		evtimer_assign(&ls->pause, loop_base(w->loop), socket_on_pause_over, ls);
		event_assign(&ls->ev, loop_base(w->loop), ls->fd, EV_READ | EV_PERSIST,
			     worker_on_accept, ls);
		event_add(&ls->ev, NULL);
	}
}

static void
close_socket(struct listen_socket *ls)
{
	if (ls->fd < 0)
		return;
	if (event_initialized(&ls->ev)) {
		event_del(&ls->ev);
		event_del(&ls->pause);
	}
	close(ls->fd);
	ls->fd = -1;
}

void
accept_stop(struct worker *w)
{
	for (size_t i = 0; i < w->nsockets; i++) {
		if (!w->world->config->listeners[w->sockets[i].listener].peers_only)
			close_socket(&w->sockets[i]);
	}
}

void
accept_fini(struct worker *w)
{
	for (size_t i = 0; i < w->nsockets; i++)
		close_socket(&w->sockets[i]);
	free(w->sockets);
}
