/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"

static size_t
ip_length(const struct addr *a)
{
	if (a->family == ADDR_IPV4)
		return 4;
	return a->family == ADDR_IPV6 ? 16 : 0;
}

static void
set_ipv6(struct addr *out, const uint8_t ip[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
		out->family = ADDR_IPV4;
		memcpy(out->ip, ip + 12, 4);
		return;
	}
	out->family = ADDR_IPV6;
	memcpy(out->ip, ip, 16);
}

/* As inet_pton(): four numbers in decimal, none with a zero in front. */
static bool
parse_ipv4(const char *p, uint8_t ip[4])
{
	for (unsigned i = 0; i < 4; i++) {
		const char *begin = p;
		unsigned n = 0;

		while (*p >= '0' && *p <= '9' && p - begin < 3)
			n = n * 10 + (unsigned)(*p++ - '0');
		if (p == begin || n > 255 || (*begin == '0' && p - begin > 1) ||
		    *p++ != (i < 3 ? '.' : '\0'))
			return false;
		ip[i] = (uint8_t)n;
	}
	return true;
}

bool
addr_parse(struct slice s, struct addr *out)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	struct addr a = { 0 };

	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = slice_of(s.p + 1, s.n - 2);
	if (s.n == 0 || !text_copy(text, sizeof(text), s) || strlen(text) != s.n)
		return false;
	if (parse_ipv4(text, a.ip)) {
		a.family = ADDR_IPV4;
	} else if (inet_pton(AF_INET6, text, ip) == 1) {
		set_ipv6(&a, ip);
	} else {
		return false;
	}
	*out = a;
	return true;
}

bool
port_parse(struct slice s, uint16_t *port)
{
	int64_t number;

	if (s.n == 0 || !isdigit((unsigned char)s.p[0]) || !text_to_int(s, 1, 65535, &number))
		return false;
	*port = (uint16_t)number;
	return true;
}

/* A DNS name, or an IPv4 address. */
static bool
is_host(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!isalnum((unsigned char)s.p[i]) && strchr(".-_", s.p[i]) == NULL)
			return false;
	}
	return s.n > 0 && s.n <= 253 && s.p[0] != '-' && s.p[0] != '.' &&
	       memchr(s.p, 0, s.n) == NULL;
}

bool
host_port_split(struct slice s, struct slice *host, struct slice *port)
{
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	const char *bracket = s.n > 0 ? memrchr(s.p, ']', s.n) : NULL;
	struct addr a;
	uint16_t number;

	*host = s;
	*port = (struct slice){ NULL, 0 };
	if (addr_parse(s, &a))
		return true;
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		host->n = (size_t)(colon - s.p);
		*port = slice_skip(s, host->n + 1);
		if (!port_parse(*port, &number))
			return false;
	}
	if (host->n > 0 && host->p[0] == '[')
		return addr_parse(*host, &a);
	return is_host(*host);
}

bool
addr_parse_port(struct slice s, struct addr *out)
{
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	struct slice host, port;
	struct addr a;
	int64_t n;

	if (colon == NULL)
		return false;
	host = slice_of(s.p, (size_t)(colon - s.p));
	port = slice_skip(s, host.n + 1);
	if (memchr(host.p, ':', host.n) != NULL && host.p[0] != '[')
		return false;
	if (!addr_parse(host, &a) || !text_to_int(port, 1, 65535, &n))
		return false;
	a.port = (uint16_t)n;
	*out = a;
	return true;
}

HOT bool
addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
	struct addr a = { 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		a.family = ADDR_IPV4;
		a.port = ntohs(in.sin_port);
		memcpy(a.ip, &in.sin_addr, 4);
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		a.port = ntohs(in6.sin6_port);
		set_ipv6(&a, in6.sin6_addr.s6_addr);
		break;
	case AF_UNIX:
		a.family = ADDR_UNIX;
		break;
	default:
		return false;
	}
	*out = a;
	return true;
}

HOT socklen_t
addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

	memset(out, 0, sizeof(*out));
	if (a->family == ADDR_IPV4) {
		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == ADDR_IPV6) {
		memcpy(&in6.sin6_addr, a->ip, 16);
		memcpy(out, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

/* As inet_ntop(), which goes through sprintf() and all that is behind it: every login comes here.
 */
static void
print_ipv4(const uint8_t ip[4], char *to)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			*to++ = '.';
		if (ip[i] >= 100)
			*to++ = (char)('0' + ip[i] / 100);
		if (ip[i] >= 10)
			*to++ = (char)('0' + ip[i] / 10 % 10);
		*to++ = (char)('0' + ip[i] % 10);
	}
	*to = '\0';
}

HOT const char *
addr_print_ip(const struct addr *a, char to[ADDR_TEXT_MAX])
{
	if (a->family == ADDR_IPV4)
		print_ipv4(a->ip, to);
	else if (a->family == ADDR_IPV6)
		inet_ntop(AF_INET6, a->ip, to, ADDR_TEXT_MAX);
	else
		snprintf(to, ADDR_TEXT_MAX, "%s", a->family == ADDR_UNIX ? "unix" : "-");
	return to;
}

const char *
addr_print(const struct addr *a, char to[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_print_ip(a, ip);
	if (a->family == ADDR_IPV4)
		snprintf(to, ADDR_TEXT_MAX, "%.46s:%u", ip, a->port);
	else if (a->family == ADDR_IPV6)
		snprintf(to, ADDR_TEXT_MAX, "[%.46s]:%u", ip, a->port);
	else
		snprintf(to, ADDR_TEXT_MAX, "%.46s", ip);
	return to;
}

bool
addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, ip_length(a)) == 0;
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool
cidr_parse(struct slice s, struct cidr *out)
{
	static const uint8_t zero[16];
	struct slice host = slice_cut(&s, '/');
	struct cidr c;
	int64_t bits;
	size_t max;

	if (!addr_parse(host, &c.net))
		return false;
	max = ip_length(&c.net) * 8;
	bits = (int64_t)max;
	if (s.p != NULL && !text_to_int(s, 0, (int64_t)max, &bits))
		return false;
	c.bits = (uint8_t)bits;
	/* host bits must be zero: the address with its network part cleared equals zero */
	struct addr host_bits = c.net;
	for (size_t i = 0; i < (size_t)bits; i++)
		host_bits.ip[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
	if (!same_bits(host_bits.ip, zero, (unsigned)max))
		return false;
	*out = c;
	return true;
}

bool
cidr_has(const struct cidr *c, const struct addr *a)
{
	return c->net.family == a->family && ip_length(a) > 0 &&
	       same_bits(c->net.ip, a->ip, c->bits);
}

const char *
cidr_print(const struct cidr *c, char to[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_print_ip(&c->net, ip);
	snprintf(to, ADDR_TEXT_MAX, "%.46s/%u", ip, c->bits);
	return to;
}

bool
cidrlist_add(struct cidrlist *l, struct slice text)
{
	struct cidr c;

	if (!cidr_parse(text, &c))
		return false;
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = c;
	return true;
}

HOT bool
cidrlist_has(const struct cidrlist *l, const struct addr *a)
{
	for (size_t i = 0; i < l->n; i++) {
		if (cidr_has(&l->v[i], a))
			return true;
	}
	return false;
}

void
cidrlist_copy(struct cidrlist *to, const struct cidrlist *from)
{
	to->v = xreallocarray(NULL, from->n, sizeof(*to->v));
	to->n = from->n;
	if (from->n > 0)
		memcpy(to->v, from->v, from->n * sizeof(*to->v));
}

void
cidrlist_fini(struct cidrlist *l)
{
	free(l->v);
	*l = (struct cidrlist){ NULL, 0 };
}
