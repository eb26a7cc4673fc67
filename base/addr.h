/* SPDX-License-Identifier: PostgreSQL
 *
 * Network addresses in 20 bytes, and address blocks (CIDR). IPv4-mapped IPv6 addresses are unmapped
 * on the way in, so ::ffff:10.0.0.1 and 10.0.0.1 are one address everywhere.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

enum addr_family { ADDR_NONE, ADDR_IPV4, ADDR_IPV6, ADDR_UNIX };

struct addr {
	uint8_t family; /* enum addr_family */
	uint16_t port;  /* host order; 0 for unix */
	uint8_t ip[16]; /* network order; IPv4 in the first four */
};

struct cidr {
	struct addr net;
	uint8_t bits;
};

#define ADDR_TEXT_MAX 64 /* enough for "[ipv6]:port" */

/* Cut "host:port", "host", "[v6]:port", "[v6]" or a bare IPv6 address, which is recognised by its
 * second colon; port->p is NULL where there is none. The host keeps its brackets. False: the host
 * is neither an address nor a DNS name (letters, digits, dot, dash, underscore), or the port is not
 * of 1 to 65535. */
bool host_port_split(struct slice s, struct slice *host, struct slice *port);
bool port_parse(struct slice s, uint16_t *port);
/* An address without a port: "10.0.0.1", "2001:db8::1", "[2001:db8::1]". */
bool addr_parse(struct slice s, struct addr *out);
/* "10.0.0.1:5432", "[2001:db8::1]:5432". */
bool addr_parse_port(struct slice s, struct addr *out);
/* From what accept() or getaddrinfo() gave; false for a family we do not know. */
bool addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
/* To what connect() takes; returns the length, 0 for ADDR_NONE and ADDR_UNIX. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);
/* "10.0.0.1:5432", "[2001:db8::1]:5432", "unix", "-"; returns `to`. */
const char *addr_print(const struct addr *a, char to[ADDR_TEXT_MAX]);
/* The same without the port and the brackets. */
const char *addr_print_ip(const struct addr *a, char to[ADDR_TEXT_MAX]);
/* Same family and same address; ports are not looked at. */
bool addr_same_ip(const struct addr *a, const struct addr *b);

/* "10.0.0.0/8", "::1/128", or an address alone; bits below the mask must be zero. */
bool cidr_parse(struct slice s, struct cidr *out);
bool cidr_has(const struct cidr *c, const struct addr *a);
/* Append-free print: "10.0.0.0/8"; returns `to`. */
const char *cidr_print(const struct cidr *c, char to[ADDR_TEXT_MAX]);

/* A list of blocks that it owns; all zero is empty. */
struct cidrlist {
	struct cidr *v;
	size_t n;
};

bool cidrlist_add(struct cidrlist *l, struct slice text);
bool cidrlist_has(const struct cidrlist *l, const struct addr *a);
void cidrlist_copy(struct cidrlist *to, const struct cidrlist *from);
void cidrlist_fini(struct cidrlist *l);

#endif
