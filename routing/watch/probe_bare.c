/* SPDX-License-Identifier: PostgreSQL
 *
 * The bare handshake: asks for GSS encryption and closes on the answer, whatever it is. Measured on
 * PostgreSQL 15, this leaves no line in the server's log with TLS on or off, whereas an SSLRequest
 * followed by a close is logged where TLS is on ("could not accept SSL connection: EOF detected").
 * Only a handshake that is given up before the answer (a timeout, our own end) may leave one.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "routing/watch/probe_int.h"

static void connect_next(struct watch *w);

static socklen_t
target_of(const struct watch *w, struct sockaddr_storage *to)
{
	struct sockaddr_un *un = (struct sockaddr_un *)to;
	struct addr a;
	int n;

	if (w->naddrs > 0) {
		a = w->addrs[(w->first_addr + w->tried) % w->naddrs];
		a.port = w->port;
		return addr_to_sockaddr(&a, to);
	}
	un->sun_family = AF_UNIX;
	n = snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%u", w->host,
		     (unsigned)w->port);
	return n > 0 && (size_t)n < sizeof(un->sun_path) ? sizeof(*un) : 0;
}

/* This address will not do: the next one, or the end. */
static void
connect_failed(struct watch *w, int error)
{
	watch_drop_socket(w);
	if (probe_is_our_fault(error)) {
		watch_skip(w, strerror(error));
		return;
	}
	w->tried++;
	if (w->tried < w->naddrs) {
		connect_next(w);
		return;
	}
	if (error == 0)
		watch_fail(w, "closed the connection without an answer");
	else
		watch_fail(w, "%s", strerror(error));
	if (w->reason[0] >= 'A' && w->reason[0] <= 'Z')
		w->reason[0] = (char)(w->reason[0] - 'A' + 'a');
}

static void
watch_on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char answer;
	ssize_t n = recv(fd, &answer, 1, 0);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		watch_wait_for(w, fd, EV_READ, watch_on_answer);
		return;
	}
	if (n <= 0) {
		connect_failed(w, n < 0 ? errno : 0);
		return;
	}
	w->sample.rtt_us = clock_us() - w->step_us;
	watch_drop_socket(w);
	watch_finish(w, true);
}

static void
watch_on_connected(evutil_socket_t fd, short what, void *arg)
{
	static const unsigned char request[8] = { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30 };
	struct watch *w = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && w->naddrs > 0)
		w->sample.connect_us = clock_us() - w->step_us;
	w->step_us = clock_us();
	if (error == 0 && send(fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		error = errno;
	if (error != 0) {
		connect_failed(w, error);
		return;
	}
	watch_enter(w, WATCH_ANSWER);
	watch_wait_for(w, fd, EV_READ, watch_on_answer);
}

static void
connect_next(struct watch *w)
{
	struct sockaddr_storage to = { 0 };
	socklen_t len = target_of(w, &to);
	int on = 1;

	watch_enter(w, WATCH_CONNECT);
	w->step_us = clock_us();
	w->fd = len == 0 ? -1 : socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0) {
		connect_failed(w, len == 0 ? ENAMETOOLONG : errno);
		return;
	}
	if (w->naddrs > 0)
		setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(w->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS) {
		connect_failed(w, errno);
		return;
	}
	watch_wait_for(w, w->fd, EV_WRITE, watch_on_connected);
}

void
watch_handshake(struct watch *w)
{
	watch_drop_connection(w);
	w->tried = 0;
	connect_next(w);
}
