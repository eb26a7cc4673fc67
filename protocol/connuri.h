/* SPDX-License-Identifier: PostgreSQL
 *
 * A connection URI, postgresql://user:password@host/database?application_name=…&options=…, as a
 * driver sends it in the header of a request to say its user, password and database. The host is
 * not looked at, and of the parameters only those are that a startup packet can take.
 * Percent-encoding is undone, and '+' in a parameter is a blank, as browsers and node write it.
 * Pure. Format: libpq's "Connection URIs", RFC 3986.
 */
#ifndef PROTOCOL_CONNURI_H
#define PROTOCOL_CONNURI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct connuri {
	struct slice user, password;
	struct slice database; /* the user's name where none is given, as libpq has it */
	struct slice application_name, options;
};

/* The slices point into *text, which must be empty and is the caller's: it holds a password. -1 and
 * *e (08001), which never quotes the URI. */
int connuri_parse(struct slice uri, struct buf *text, struct connuri *out,
		  struct err *e) MUST_CHECK;
/* Append the StartupMessage, protocol 3.0, UTF-8. One that is too long sets b->failed. */
void connuri_put_startup(struct buf *b, const struct connuri *u);

#endif
