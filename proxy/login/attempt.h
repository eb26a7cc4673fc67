/* SPDX-License-Identifier: PostgreSQL
 *
 * One attempt to attach a session to a node: dial, send the StartupMessage, and wait for the first
 * answer that says something. Until then the client has been told nothing, so any failure (refused,
 * timeout, TLS, 57P03, 53300, died during startup, the wrong role) moves on to the next candidate.
 *
 * What a node may send before that answer (AuthenticationOk, ParameterStatus …) is held back: with
 * `trust` a node refuses only after AuthenticationOk, and says only then that it is a standby.
 */
#ifndef PROXY_LOGIN_ATTEMPT_H
#define PROXY_LOGIN_ATTEMPT_H

#include "proxy/net/dial.h"
#include "proxy/session/session_int.h"

struct attempt {
	struct login *login;
	struct server *server;
	struct dial dial;
	struct event timer; /* server_connect_timeout */
	struct buf inbox;   /* what the node sent so far */
	size_t seen;        /* bytes of it looked at */
	int64_t begun_us;
	uint16_t node;
	bool hedge; /* begun beside a slow first one */
};

/* What the first answer was. */
enum attempt_end {
	ATTEMPT_FAILED, /* counts as evidence against the node */
	ATTEMPT_UNFIT,  /* the node is well, but not for this session */
	ATTEMPT_RETRY,  /* sslmode allows to try the other way: with TLS, or without */
};

void attempt_begin(struct login *l, unsigned place, uint16_t node, enum dial_way way);
void attempt_on_event(struct attempt *a, short what);
/* Give up everything that was not handed over. Accepts NULL. */
void attempt_free(struct attempt *a);

/* attach.c: how it went. */
void attach_won(struct attempt *a);
void attach_failed(struct attempt *a, enum attempt_end how, const char *reason)
    __attribute__((cold));

#endif
