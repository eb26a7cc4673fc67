/* SPDX-License-Identifier: PostgreSQL
 *
 * The process: one control thread, N workers. Lives as long as the program; the pointers in it do
 * not change after start-up, so any thread may read them.
 */
#ifndef PROXY_PROCESS_MERIDIAN_H
#define PROXY_PROCESS_MERIDIAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "protocol/scram.h"

struct authcache;
struct authquery;
struct config;
struct control;
struct descriptors;
struct keymaker;
struct listeners;
struct proxy_migrations;
struct redirections;
struct throttle;
struct worker;

struct meridian {
	struct control *control;
	const struct config *begun;  /* what the process started with; control's */
	struct listeners *listeners; /* control's, once the workers run */
	struct descriptors *descriptors;
	struct authcache *authcache; /* the answers of auth_query */
	struct authquery *authquery;
	struct keymaker *keymaker;
	struct throttle *throttle; /* of failed logins */
	struct proxy_migrations *migrations;
	struct redirections *redirections; /* databases that have left our region */
	struct worker **workers;
	int nworkers;
	int64_t started_at_us; /* wall clock */
	int64_t started_us;    /* clock_us() */
	atomic_uint clients;   /* connections held, all workers: max_client_conn counts these */
	atomic_uint streams;   /* WebSockets and CONNECT tunnels: http_max_streams counts these */
	_Atomic uint64_t last_session_id; /* ids are 1, 2, 3 … */
	/* SCRAM for users that do not exist: the same for all workers, or their salts would
	 * differ */
	uint8_t mock_secret[SCRAM_KEY_BYTES];
	uint32_t life; /* random, not 0: tells this process from earlier ones with its peer_id */
	_Atomic uint32_t last_key; /* serial number of cancel keys; starts at a random number */
};

#endif
