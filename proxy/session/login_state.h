/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session needs until it is ready, and no longer: idle sessions are small. Plain data, which
 * the rooms on its way in fill in (proxy/login first of all); what they have put there with a
 * pointer they take down themselves (session_ops.login_ends).
 */
#ifndef PROXY_SESSION_LOGIN_STATE_H
#define PROXY_SESSION_LOGIN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ev/loop.h"
#include "protocol/startup.h"
#include "proxy/auth/throttle.h"
#include "proxy/session/session.h"
#include "routing/route.h"

struct attempt;
struct auth;
struct conf_database;
struct credential;
struct failover;
struct lookup;
struct ownlogin;
struct turn;
struct world;

#define ATTEMPTS_MAX 2

/* What a session needs until it is ready. */
struct login {
	struct session *session;
	struct buf inbox;    /* bytes of the client not consumed yet */
	struct buf packet;   /* the startup packet: login_startup() */
	struct buf text;     /* unescaped settings */
	struct world *world; /* one reference: indices below are of this one */
	const struct conf_database *database;
	enum access access;
	bool reads_nearby; /* its database, or it itself, speaks of reads nearby */
	const char *token; /* what it has seen, by its HTTP header, or NULL */
	struct locality locality;
	uint16_t candidates[ROUTE_NODES_MAX];
	uint16_t ncandidates, next;
	uint16_t node; /* attached to: index */
	struct route_home home;
	int64_t decided_at_us;
	struct attempt *attempts[ATTEMPTS_MAX];
	struct event hedge;         /* when to try the next one beside the first */
	struct failover *failover;  /* it waits for a node (failover.c), or NULL */
	struct buf failures;        /* "us-east1 db1:5432: connection refused; …" */
	struct buf refused;         /* the pools that had nothing for it: ids of their nodes */
	struct buf server_inbox;    /* bytes of the node not forwarded yet */
	uint32_t auth_code;         /* last Authentication message of the node */
	bool asked;                 /* a request of the node has been forwarded */
	size_t heard;               /* bytes of the node since it is attached */
	struct ownlogin *own;       /* Meridian answers the node's requests itself, or NULL */
	struct auth *auth;          /* Meridian finds out who it is (authenticate.h), or NULL */
	struct lookup *lookup;      /* what auth_query knows of it (lookup.h), or NULL */
	struct credential *said;    /* a password said in front of being asked, or NULL */
	struct turn *turn;          /* it waits for its turn (guard.h), or NULL */
	struct throttle_turns took; /* … and what it has taken */
	char *through; /* a server that replicates from this place (subscriber.h), or NULL */
};

/* The login's part: made at the first byte, given back when ready. */
struct login *session_login(struct session *s);
void login_free(struct login *l);
/* The startup packet, read into the worker's scratch (anew where another one was read there since):
 * a burst of logins holds packets, not tables of parameters. Valid until the next login's call on
 * this worker. */
const struct startup *login_startup(const struct login *l);

#endif
