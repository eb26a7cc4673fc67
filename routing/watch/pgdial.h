/* SPDX-License-Identifier: PostgreSQL
 *
 * Connections of our own to a node, by libpq: which words it is given, and what its messages mean.
 * Nothing here waits: the caller drives the connection (PQconnectPoll).
 */
#ifndef ROUTING_WATCH_PGDIAL_H
#define ROUTING_WATCH_PGDIAL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Whom to connect to, and as whom; strings may be NULL. Later ones win over earlier ones. */
struct pgdial {
	const char *application; /* unless the words say another */
	const char *conninfo;    /* libpq's words for who we are */
	const char *region;      /* … and for what the region's section says of TLS */
	const char *dbname;
	const char *password; /* unless the words say one */
	const char *options;  /* the whole of it, whatever the words say */
	const char *host;     /* a name, or the directory of a unix socket */
	uint16_t port;
	const struct addr *addrs; /* what the name stands for; none for a unix socket */
	unsigned naddrs;
	unsigned first; /* which address is tried first */
};

/* Begin to connect; NULL and *why where that fails at once. */
PGconn *pgdial_start(const struct pgdial *d, char why[128]);
/* What libpq says of a connection that has failed. From 16 on it says nothing of a socket that it
 * could not create: then it is what the system says of another. */
const char *pgdial_message(const PGconn *conn);
/* The words that matter of a libpq message ("connection refused"), and its SQLSTATE or "". */
void pgdial_explain(const char *message, char why[128], char sqlstate[6]);

/* What we ask nodes has short answers, and libpq keeps whatever comes. In front of PQconnectPoll()
 * and PQconsumeInput(): add what waits to be read to *heard, which the caller sets to 0 whenever it
 * asks or has been answered. False: it is too much by now, and is not to be read. What waits for
 * long is counted as often as it is looked at; of one long message libpq reads as much as comes
 * meanwhile. */
#define PGDIAL_HEARD_MAX (1024UL * 1024)
bool pgdial_hear(const PGconn *conn, size_t *heard);

#endif
