/* SPDX-License-Identifier: PostgreSQL
 *
 * Looks at some of a session's statements, for SHOW FINGERPRINTS and for migrations that want to
 * know what traffic there is (proxy/sqlstate/fingerprints.h). Only sessions of databases with
 * statement_sample have one. Reads the client's bytes as they pass and changes none; keeps what a
 * read has cut of a message at most SAMPLER_TEXT_MAX bytes long, and notes which fingerprints its
 * prepared statements have, of the last few (prepared.h).
 *
 * One of N is looked at: of Queries, of Parses without a name (with all that is bound to it), and
 * of what is bound to prepared statements that have one. An answer is timed where nothing else of
 * the session is under way.
 */
#ifndef PROXY_SQLSTATE_SAMPLER_H
#define PROXY_SQLSTATE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct fingerprints;
struct prepared_names;
struct sampler;

#define SAMPLER_TEXT_MAX ((size_t)4096)

/* `table` and `names`, the session's (prepared.h), outlive it; `database` is copied. */
struct sampler *sampler_new(struct fingerprints *table, struct prepared_names *names,
			    struct slice database, unsigned one_of);
void sampler_free(struct sampler *s); /* accepts NULL */

/* The client's next bytes, in the order in which it said them, from the first message behind its
 * login on. */
void sampler_client(struct sampler *s, struct slice bytes);
/* The server has said ReadyForQuery and owes nothing more. */
void sampler_answered(struct sampler *s);

/* What it says next is the first byte of a message, for another server: nothing is under way.
 * Accepts NULL. */
void sampler_restart(struct sampler *s);

#endif
