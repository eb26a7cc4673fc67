/* SPDX-License-Identifier: PostgreSQL
 *
 * Which HTTP headers say where a caller is: the names that clouds and CDNs use, those that the
 * operator configured, and how each is read. A head in, claims and the client's address out.
 *
 * The option header_names is a list of items: a set ("gcp", "cloudflare" …), a header of one of the
 * sets by its name ("X-City"), or any name with what it says ("X-Town:city"). Sets are asked in the
 * order of the list, until one says more of the place than the country; headers that are named one
 * by one are one set, which stands where the first of them does. The first address wins.
 *
 * Refuses to know whether the sender may be believed: the caller says so, and claims carry it. A
 * header that comes twice counts as its last value: a balancer appends.
 */
#ifndef ROUTING_HEADERS_H
#define ROUTING_HEADERS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/mem.h"
#include "protocol/http.h"
#include "routing/locality.h"

#define HEADERS_ITEM_MAX 256 /* of an item's normal form, with its NUL */

struct header_rules {
	const struct strlist *names; /* items in their normal form */
	const struct cidrlist *trusted;
	unsigned hops; /* see forwarded.h */
};

/* Check an item and write its normal form ("gcp", "x-town:city"); false where it is none. */
bool headers_item(struct slice item, char to[HEADERS_ITEM_MAX]);

/* Read a head into claims of the source `header`. A trusted sender's word on the client's address
 * goes to *address, which else stays as it is; of any other sender it becomes a claim that does not
 * count, for showing. */
void headers_claim(const struct header_rules *r, const struct http_head *h, bool trusted,
		   struct claims *to, struct addr *address);
/* How many headers of this head the rules would read, addresses included. */
unsigned headers_count(const struct header_rules *r, const struct http_head *h);

/* What a name says of a place in a TLV's name=value: a part by its own word, or a header of any
 * set; -1: nothing. */
int headers_part(struct slice name);

#endif
