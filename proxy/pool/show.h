/* SPDX-License-Identifier: PostgreSQL
 *
 * What the console and the metrics show of pools, and RECONNECT. On the worker's own thread; slices
 * and strings are the pool's, valid until the callback returns.
 */
#ifndef PROXY_POOL_SHOW_H
#define PROXY_POOL_SHOW_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct pool_facts {
	const char *database, *user, *region, *node, *options, *mode, *reason;
	unsigned cl_active, cl_waiting; /* sessions that are there, without those that wait */
	unsigned sv_used, sv_idle, sv_login, sv_reset, sv_held;
	unsigned size; /* this worker's share of default_pool_size */
	bool paused;
	uint64_t lent, waited, wait_us;
	int64_t maxwait_us; /* of who has waited longest */
};

struct server_facts {
	const char *database, *user, *region, *node, *state, *mode, *tls, *tls_cipher;
	uint64_t session; /* that has it; 0: none */
	uint32_t pid;
	bool close_needed;
	unsigned prepared;
	int64_t connected_at_us, since_us; /* wall clock; 0: not yet */
	int64_t rtt_us;                    /* -1: not known */
};

void pools_show(struct worker *w, void (*row)(void *arg, const struct pool_facts *f), void *arg);
/* Connections of pools; those of sessions alone are in session_facts(). */
void pools_show_servers(struct worker *w, void (*row)(void *arg, const struct server_facts *f),
			void *arg);
/* RECONNECT of the pools of a database and region (NULL: of all); returns how many sessions keep a
 * connection that is theirs alone. */
unsigned pools_renew(struct worker *w, const char *database, const char *region);

#endif
