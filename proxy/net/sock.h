/* SPDX-License-Identifier: PostgreSQL
 *
 * Sockets: making, tuning and connecting them. All are non-blocking and close-on-exec.
 */
#ifndef PROXY_NET_SOCK_H
#define PROXY_NET_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/slice.h"

struct conf_main;

/* TCP_NODELAY, keepalive and TCP_USER_TIMEOUT as configured; nothing on a unix socket. */
void sock_tune(int fd, const struct conf_main *conf);
/* The same for a socket that was tuned by another configuration: what this one does not set gets
 * the system's default again. */
void sock_tune_again(int fd, const struct conf_main *conf);

/* Begin to connect a tuned socket. Returns the descriptor, with *done where it is connected
 * already; -1 and errno. The caller sends first: `first`, unless it is empty, was sent where *done
 * is set; it must be short enough (a few hundred bytes) to be taken whole. */
int sock_connect(const struct addr *to, const struct conf_main *conf, struct slice first,
		 bool *done);
int sock_connect_unix(const char *path, bool *done);
/* How connecting ended: 0 or an errno. */
int sock_connect_result(int fd);

/* Whether the kernel has IPv6 (ipv6.disable=1, ipv6(7)). */
bool sock_has_ipv6(void);
/* Whether an address is free. To be called before the first sock_listen(): with SO_REUSEPORT a
 * second process of the same user could share the address without an error. 0, or -1 and *e. */
int sock_probe_listen(const struct addr *at, struct err *e);
/* One of several listening TCP sockets on the same address (SO_REUSEPORT), tuned: connections that
 * it accepts inherit that without a system call. -1 and *e. */
int sock_listen(const struct addr *at, const struct conf_main *conf, struct err *e);
/* A listening unix socket. A stale file of a process that has ended is replaced, a live one is
 * not. */
int sock_listen_unix(const char *path, int mode, int backlog, struct err *e);

/* The user at the other end of a unix socket (SO_PEERCRED). False: the kernel does not tell. */
bool sock_peer_uid(int fd, unsigned *uid);

#endif
