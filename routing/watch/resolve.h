/* SPDX-License-Identifier: PostgreSQL
 *
 * Host names of nodes to addresses, without blocking a loop: one small thread calls getaddrinfo()
 * and posts what it found. Literal addresses need no thread, directories of unix sockets have no
 * address. A lookup that fails leaves the addresses that were known.
 */
#ifndef ROUTING_WATCH_RESOLVE_H
#define ROUTING_WATCH_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev/loop.h"
#include "routing/topology.h"

struct resolver;

/* The addresses of some host are not what they were, or the first round is done. Called from the
 * loop, never from inside a resolver_ function. */
typedef void (*resolver_changed_fn)(void *arg);

struct resolver *resolver_new(struct loop *l, resolver_changed_fn changed, void *arg);
/* Does not wait for a lookup that is under way. Accepts NULL. */
void resolver_free(struct resolver *r);
/* Resolve the hosts of `t` (borrowed for the call) now and every `max_ttl_us` from then on (0: only
 * now). Hosts that stay keep their addresses. */
void resolver_configure(struct resolver *r, const struct topology *t, int64_t max_ttl_us);
/* Look every name up again at once. */
void resolver_refresh(struct resolver *r);
/* Every host has been found, or has failed once. */
bool resolver_settled(const struct resolver *r);
/* Block until that is so, but for at most max_us. What is found meanwhile is not announced. */
void resolver_wait(struct resolver *r, int64_t max_us);
/* Write addresses, with the node's port, into a topology that is being built. */
void resolver_fill(const struct resolver *r, struct topology *t);

#endif
