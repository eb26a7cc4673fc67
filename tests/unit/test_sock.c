/* SPDX-License-Identifier: PostgreSQL
 *
 * What is configured of TCP reaches the kernel, with every socket that we make, and goes again with
 * a configuration that does not say it; and why a socket could not be had.
 */
#include "config.h"

#include "proxy/net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/config/config.h"

#include "tests/unit/unit.h"

static const struct conf_main plain = { .tcp_keepalive = true, .listen_backlog = 8 };
static const struct conf_main tuned = { .tcp_keepalive = true,
					.tcp_keepcnt = 3,
					.tcp_keepidle = 77,
					.tcp_keepintvl = 11,
					.tcp_user_timeout = 1500 * 1000,
					.listen_backlog = 8 };
static const struct conf_main off = { .listen_backlog = 8 };

static int
has(int fd, int level, int option)
{
	socklen_t n = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, option, &value, &n), 0);
	return value;
}

static void
assert_tuned(int fd)
{
	assert_int_not_equal(has(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(has(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPINTVL), 11);
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500); /* milliseconds */
}

/* As `fresh`, which nobody has tuned, but for what every socket of ours has. */
static void
assert_untuned(int fd, int fresh, int keepalive)
{
	assert_int_not_equal(has(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(has(fd, SOL_SOCKET, SO_KEEPALIVE), keepalive);
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPCNT), has(fresh, IPPROTO_TCP, TCP_KEEPCNT));
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPIDLE), has(fresh, IPPROTO_TCP, TCP_KEEPIDLE));
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_KEEPINTVL),
			 has(fresh, IPPROTO_TCP, TCP_KEEPINTVL));
	assert_int_equal(has(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
}

static int
fresh_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static void
what_is_configured_reaches_the_kernel_and_goes_again(void **state)
{
	int fd = fresh_socket(), fresh = fresh_socket();

	(void)state;
	sock_tune(fd, &plain);
	assert_untuned(fd, fresh, 1);
	sock_tune(fd, &tuned);
	assert_tuned(fd);
	sock_tune_again(fd, &plain);
	assert_untuned(fd, fresh, 1);
	sock_tune_again(fd, &tuned);
	assert_tuned(fd);
	sock_tune_again(fd, &off);
	assert_untuned(fd, fresh, 0);
	close(fd);
	close(fresh);
}

/* A free port of the loopback: the kernel's choice, which `*fd` listens on. */
static struct addr
listening(int *fd)
{
	struct addr at;
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	struct err e;

	assert_true(addr_parse_port(slice_str("127.0.0.1:1"), &at));
	at.port = 0;
	*fd = sock_listen(&at, &tuned, &e);
	assert_true(*fd >= 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&sa, &n), 0);
	at.port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
	return at;
}

static void
both_ends_of_a_connection_are_tuned(void **state)
{
	bool done = false;
	int listener, server, client;
	struct addr at = listening(&listener);

	(void)state;
	client = sock_connect(&at, &tuned, slice_str("first"), &done);
	assert_true(client >= 0);
	assert_true(done);
	assert_int_equal(sock_connect_result(client), 0);
	assert_tuned(client);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_tuned(server);
	close(client);
	close(server);
	close(listener);
}

static void
an_address_that_is_taken_is_refused_in_words(void **state)
{
	struct err e = { 0 };
	int listener, second;
	struct addr at = listening(&listener);

	(void)state;
	assert_int_equal(sock_probe_listen(&at, &e), -1);
	assert_string_equal(e.sqlstate, "58000");
	assert_non_null(strstr(e.msg, "could not listen on 127.0.0.1:"));
	assert_non_null(strstr(e.msg, strerror(EADDRINUSE)));
	second = sock_listen(&at, &tuned, &e); /* SO_REUSEPORT: another worker's */
	assert_true(second >= 0);
	close(second);
	close(listener);
	assert_int_equal(sock_probe_listen(&at, &e), 0);
}

static void
a_path_that_is_too_long_is_refused(void **state)
{
	char path[200];
	struct err e = { 0 };
	bool done;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(sock_connect_unix(path, &done), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(sock_listen_unix(path, 0700, 8, &e), -1);
	assert_non_null(strstr(e.msg, strerror(ENAMETOOLONG)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_configured_reaches_the_kernel_and_goes_again),
		cmocka_unit_test(both_ends_of_a_connection_are_tuned),
		cmocka_unit_test(an_address_that_is_taken_is_refused_in_words),
		cmocka_unit_test(a_path_that_is_too_long_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
