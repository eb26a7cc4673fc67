/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/config/config.h"
#include "proxy/net/rawio.h"

static void
set_int(int fd, int level, int option, int value)
{
	(void)raw_set_option(fd, level, option, value);
}

static int
open_socket(int family)
{
	return raw_socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
}

HOT void
sock_tune(int fd, const struct conf_main *conf)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (conf->tcp_user_timeout > 0)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			(int)(conf->tcp_user_timeout / USEC_PER_MSEC));
	if (!conf->tcp_keepalive)
		return;
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (conf->tcp_keepcnt > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, conf->tcp_keepcnt);
	if (conf->tcp_keepidle > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, conf->tcp_keepidle);
	if (conf->tcp_keepintvl > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, conf->tcp_keepintvl);
}

void
sock_tune_again(int fd, const struct conf_main *conf)
{
	static const struct {
		int level, option;
	} tuned[] = { { SOL_SOCKET, SO_KEEPALIVE },
		      { IPPROTO_TCP, TCP_USER_TIMEOUT },
		      { IPPROTO_TCP, TCP_KEEPCNT },
		      { IPPROTO_TCP, TCP_KEEPIDLE },
		      { IPPROTO_TCP, TCP_KEEPINTVL } };
	int fresh = open_socket(AF_INET);

	/* first the values that a socket has by default */
	for (size_t i = 0; fresh >= 0 && i < sizeof(tuned) / sizeof(tuned[0]); i++) {
		int value = 0;
		socklen_t n = sizeof(value);

		(void)getsockopt(fresh, tuned[i].level, tuned[i].option, &value, &n);
		set_int(fd, tuned[i].level, tuned[i].option, value);
	}
	if (fresh >= 0)
		close(fresh);
	sock_tune(fd, conf);
}

static int
close_keep_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

/* Whether it is connected by now: connect() tells when it is called again, and so does send() of
 * what has to be sent first anyway. */
static bool
is_connected(int fd, const struct sockaddr *sa, socklen_t len, struct slice first)
{
	ssize_t n;

	if (first.n == 0)
		return raw_connect(fd, sa, len) == 0;
	n = raw_send(fd, first.p, first.n);
	if (n >= 0 && (size_t)n < first.n)
		errno = EPIPE; /* unreachable: the bytes could not be sent a second time */
	return n == (ssize_t)first.n;
}

/* For a server on this host the handshake is over when connect() returns, although a non-blocking
 * connect() reports "in progress". For others it still goes on (EALREADY, EAGAIN). */
static HOT int
begin_connect(int fd, const struct sockaddr *sa, socklen_t len, struct slice first, bool *done)
{
	*done = raw_connect(fd, sa, len) == 0;
	if (!*done && errno == EINPROGRESS)
		*done = is_connected(fd, sa, len, first);
	if (!*done && errno != EINPROGRESS && errno != EALREADY && errno != EAGAIN)
		return close_keep_errno(fd);
	return fd;
}

HOT int
sock_connect(const struct addr *to, const struct conf_main *conf, struct slice first, bool *done)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(to, &sa);
	int fd = open_socket(sa.ss_family);

	if (fd < 0)
		return -1;
	sock_tune(fd, conf);
	/* the last segment of the handshake waits for our first bytes, and goes with them */
	set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
	return begin_connect(fd, (struct sockaddr *)&sa, len, first, done);
}

static int
unix_address(const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", path) >=
	    sizeof(sun->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

int
sock_connect_unix(const char *path, bool *done)
{
	struct sockaddr_un sun;
	int fd;

	if (unix_address(path, &sun) != 0)
		return -1;
	fd = open_socket(AF_UNIX);
	if (fd < 0)
		return -1;
	return begin_connect(fd, (struct sockaddr *)&sun, sizeof(sun), slice_of("", 0), done);
}

int
sock_connect_result(int fd)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		return errno;
	return error;
}

bool
sock_has_ipv6(void)
{
	int fd = open_socket(AF_INET6);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EAFNOSUPPORT;
}

static int
bind_to(const struct addr *at, bool reuseport, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(at, &sa);
	char text[ADDR_TEXT_MAX];
	int fd = open_socket(sa.ss_family);

	if (fd < 0)
		return err_set(e, "58000", "could not create a socket: %m");
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (reuseport)
		set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (at->family == ADDR_IPV6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	err_set(e, "58000", "could not listen on %s: %m", addr_print(at, text));
	return close_keep_errno(fd);
}

int
sock_probe_listen(const struct addr *at, struct err *e)
{
	int fd = bind_to(at, false, e);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

int
sock_listen(const struct addr *at, const struct conf_main *conf, struct err *e)
{
	char text[ADDR_TEXT_MAX];
	int fd = bind_to(at, true, e);

	if (fd >= 0)
		sock_tune(fd, conf);
	if (fd < 0 || listen(fd, conf->listen_backlog) == 0)
		return fd;
	err_set(e, "58000", "could not listen on %s: %m", addr_print(at, text));
	return close_keep_errno(fd);
}

/* Whether a process accepts connections on this path. */
static bool
is_alive(const char *path)
{
	bool done;
	int fd = sock_connect_unix(path, &done);

	if (fd < 0)
		return errno == EAGAIN;
	close(fd);
	return true;
}

int
sock_listen_unix(const char *path, int mode, int backlog, struct err *e)
{
	struct sockaddr_un sun;
	int fd;

	if (unix_address(path, &sun) != 0)
		return err_set(e, "58000", "could not listen on %s: %m", path);
	if (is_alive(path))
		return err_set(e, "58000", "could not listen on %s: another process does", path);
	(void)unlink(path);
	fd = open_socket(AF_UNIX);
	if (fd < 0)
		return err_set(e, "58000", "could not create a socket: %m");
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || chmod(path, (mode_t)mode) != 0 ||
	    listen(fd, backlog) != 0) {
		err_set(e, "58000", "could not listen on %s: %m", path);
		return close_keep_errno(fd);
	}
	return fd;
}

bool
sock_peer_uid(int fd, unsigned *uid)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 || n != sizeof(cred))
		return false;
	*uid = cred.uid;
	return true;
}
