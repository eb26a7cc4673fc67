/* SPDX-License-Identifier: PostgreSQL
 *
 * Which messages of a client a server has yet to answer, one by one: what protocol/exchange.h does
 * not keep, and what must be known to answer in the place of a server that has committed, and gone.
 * Begins where nothing is awaited; where it loses its way (too many, COPY, what it does not know)
 * it says so until it is begun anew. Reads headers only.
 *
 * Source: PostgreSQL documentation, "Message Flow: Extended Query".
 */
#ifndef PROTOCOL_AWAITED_H
#define PROTOCOL_AWAITED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define AWAITED_MAX 32

/* One direction. */
struct awaited_side {
	size_t left;
	uint8_t have, head[5];
	bool kind_due; /* the next byte says what a Describe is of */
};

struct awaited {
	char types[AWAITED_MAX]; /* oldest first; Describe of a statement is 's' */
	uint8_t n;
	bool lost;
	struct awaited_side client, server;
};

/* All is answered, and both directions are between two messages. */
void awaited_begin(struct awaited *a);
void awaited_client(struct awaited *a, const char *p, size_t n);
void awaited_server(struct awaited *a, const char *p, size_t n);
/* What a server says when the one command that is awaited was a COMMIT, and is done. False: it is
 * not known, or more than that is awaited. */
bool awaited_put_commit(const struct awaited *a, struct buf *out);

#endif
