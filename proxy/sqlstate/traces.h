/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session may have left on a server connection of its own that the server cannot be asked
 * for when the session is to get another (rehome.h): the names of its own settings
 * (pg_settings does not list them), what can be told from the text alone (LOAD, a setting whose
 * name is a parameter), and the last Parse of the statement without a name, which no view shows.
 * And, with pool = off, its StartupMessage, with which the other connection begins.
 *
 * Kept for sessions whose login Meridian makes itself and that have a server of their own; in a
 * transaction pool statements.h and session_probe.h know all that. Reads whole messages of the
 * client and changes none; keeps one Parse of at most TRACES_PARSE_MAX bytes and a few names. Of
 * what is longer nothing is known.
 */
#ifndef PROXY_SQLSTATE_TRACES_H
#define PROXY_SQLSTATE_TRACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

struct exchange;
struct traces;

#define TRACES_PARSE_MAX ((size_t)16 * 1024)

/* Copies the packet; empty where the session has another way to begin anew (a pool). */
struct traces *traces_new(struct slice packet);
void traces_free(struct traces *t); /* accepts NULL */

/* The client's next bytes, before exchange_client() follows them. Where one of the messages changes
 * the statement without a name, the exchange's requests are listed (protocol/exchange_list.h) until
 * nothing is outstanding, and the server's answers say whether it has. */
void traces_client(struct traces *t, struct exchange *x, const char *p, size_t n);

/* A COPY has begun: exchange_server() has followed the server's bytes. */
void traces_copy(struct traces *t, const struct exchange *x);

/* What is outstanding is answered in the server's place, as done. */
void traces_answered(struct traces *t);

struct slice traces_packet(const struct traces *t);
/* The names, lower case, each with a NUL behind it. */
struct slice traces_names(const struct traces *t);
/* What pins by the texts alone: enum pin of session_probe.h. */
unsigned traces_pins(const struct traces *t);
/* The message that has prepared the statement without a name; empty: there is none. What is
 * outstanding has not changed it yet. False: there may be one that was too long to be kept, or that
 * was sent during a COPY. */
bool traces_unnamed(const struct traces *t, struct slice *message);

#endif
