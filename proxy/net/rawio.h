/* SPDX-License-Identifier: PostgreSQL
 *
 * recv(2) and send(2) of connected sockets. Those of libc are points of cancellation: in a process
 * with threads each of them does two locked instructions, and nobody cancels a thread of ours.
 * Sanitizers look at what libc's do, and have them.
 */
#ifndef PROXY_NET_RAWIO_H
#define PROXY_NET_RAWIO_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(SYS_recvfrom) && defined(SYS_sendto) && !defined(SANITIZED)

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

#endif

#endif
