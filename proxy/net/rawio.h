/* SPDX-License-Identifier: PostgreSQL
 *
 * The system calls on a session's sockets. Those of libc are cancellation points: in a process with
 * threads each costs two locked instructions, and this process cancels no thread. They also lie on
 * several pages, all of which a new session would touch. Sanitizers check libc's functions, so a
 * sanitizer build uses those.
 */
#ifndef PROXY_NET_RAWIO_H
#define PROXY_NET_RAWIO_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(SYS_recvfrom) && defined(SYS_sendto) && defined(SYS_accept4) && !defined(SANITIZED)

static inline ssize_t
raw_recv(int fd, void *to, size_t n)
{
	return syscall(SYS_recvfrom, fd, to, n, 0, NULL, NULL);
}

static inline ssize_t
raw_send(int fd, const void *from, size_t n)
{
	return syscall(SYS_sendto, fd, from, n, MSG_NOSIGNAL, NULL, 0);
}

/* More bytes, or the end of the stream, will follow: the kernel may wait for them. */
static inline ssize_t
raw_send_more(int fd, const void *from, size_t n)
{
	return syscall(SYS_sendto, fd, from, n, MSG_NOSIGNAL | MSG_MORE, NULL, 0);
}

static inline int
raw_socket(int family, int type)
{
	return (int)syscall(SYS_socket, family, type, 0);
}

static inline int
raw_accept(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
	return (int)syscall(SYS_accept4, fd, from, n, flags);
}

static inline int
raw_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	return (int)syscall(SYS_connect, fd, to, n);
}

static inline int
raw_set_option(int fd, int level, int option, int value)
{
	return (int)syscall(SYS_setsockopt, fd, level, option, &value, (socklen_t)sizeof(value));
}

static inline void
raw_close(int fd)
{
	(void)syscall(SYS_close, fd);
}

#else

static inline ssize_t
raw_recv(int fd, void *to, size_t n)
{
	return recv(fd, to, n, 0);
}

static inline ssize_t
raw_send(int fd, const void *from, size_t n)
{
	return send(fd, from, n, MSG_NOSIGNAL);
}

static inline ssize_t
raw_send_more(int fd, const void *from, size_t n)
{
	return send(fd, from, n, MSG_NOSIGNAL | MSG_MORE);
}

static inline int
raw_socket(int family, int type)
{
	return socket(family, type, 0);
}

static inline int
raw_accept(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
	return accept4(fd, from, n, flags);
}

static inline int
raw_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	return connect(fd, to, n);
}

static inline int
raw_set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static inline void
raw_close(int fd)
{
	close(fd);
}

#endif

#endif
