/* SPDX-License-Identifier: PostgreSQL
 *
 * One attempt to attach a session to a node: dial, send the StartupMessage, and wait for the first
 * answer that decides. Until then the client has been told nothing (INV-8), so any failure
 * (refused, timeout, TLS, 57P03, 53300, died during startup, the wrong role) moves on to the next
 * candidate.
 *
 * What a node sends before that answer (AuthenticationOk, ParameterStatus …) is held back: with
 * `trust` a node refuses only after AuthenticationOk, and reports only then that it is a standby.
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
	size_t seen;        /* bytes of it that were looked at */
	int64_t begun_us;
	uint16_t node;
	bool hedge; /* it was begun beside a slow one */
};

/* What the node's first answer says. */
enum attempt_end {
	ATTEMPT_FAILED, /* the failure counts against the node's health */
	ATTEMPT_UNFIT,  /* the node is well, but does not fit this session */
	ATTEMPT_RETRY,  /* sslmode allows another try: with TLS, or without */
};

void attempt_begin(struct login *l, unsigned place, uint16_t node, enum dial_way way);
void attempt_on_event(struct attempt *a, short what);
/* Give up everything that was not handed over. Accepts NULL. */
void attempt_free(struct attempt *a);

/* Called in attach.c when the attempt has ended, by how it ended. */
void attach_won(struct attempt *a);
void attach_failed(struct attempt *a, enum attempt_end how, const char *reason)
    __attribute__((cold));

#endif
