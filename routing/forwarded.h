/* SPDX-License-Identifier: PostgreSQL
 *
 * The client's address from what a chain of proxies appended to a request: X-Forwarded-For, and
 * Forwarded of RFC 7239. Both are read from the right, where our own proxies wrote: entries of
 * trusted proxies are skipped, and the first that is none of them is the client, whatever stands
 * before it (any client may have written that). An entry that is no address ends the walk at the
 * last proxy that is known.
 *
 * Does not know whether the peer that sent the request may be believed at all: its caller has asked
 * (INV-16).
 */
#ifndef ROUTING_FORWARDED_H
#define ROUTING_FORWARDED_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/slice.h"
#include "protocol/http.h"

struct forwarded {
	const struct cidrlist *trusted;
	unsigned hops; /* entries at the right end that are our own proxies, whatever they say */
};

/* All headers of that name together, in the form of X-Forwarded-For ("client, proxy1, proxy2"), or
 * of RFC 7239 ('for="[2001:db8::1]:4711";proto=https, for=10.0.0.1'). False: no address. */
bool forwarded_for(const struct forwarded *f, const struct http_head *h, const char *name,
		   struct addr *out);
bool forwarded_rfc7239(const struct forwarded *f, const struct http_head *h, const char *name,
		       struct addr *out);
/* One address, with a port or without, quoted or not. */
bool forwarded_address(struct slice text, struct addr *out);

#endif
