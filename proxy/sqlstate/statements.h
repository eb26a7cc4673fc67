/* SPDX-License-Identifier: PostgreSQL
 *
 * Prepared statements of a session whose server connection changes from one transaction to the
 * next. The client's names belong to the client; a server connection has names of ours
 * (meridian_17), a fresh one for each Parse that goes there; equal texts share one statement.
 * Parse, Bind, Describe and Close are rewritten on their way, and where the server has not got what
 * is meant, a Parse of ours goes in front. What the client reads is what a server of its own would
 * have said: no reply is ever made up, replies to messages of ours are taken out, and order and
 * errors are the server's.
 *
 *   client's bytes -> statements_client() -> exchange_client() -> server
 *   client <- exchange_filter() <- server's bytes
 *
 * It has the exchange listed (protocol/exchange_list.h) while it has put messages of its own there.
 *
 * Knows bytes, not sockets; no clock; nothing calls back. Memory is bounded. A Bind streams; a
 * Parse and a Query are looked at whole, those above STATEMENTS_TEXT_MAX pass in pieces. A
 * statement that long pins its session to the server that has it: statements_pins().
 *
 * The state of names is changed when the server has answered, never before. A message that refers
 * to something that an earlier sequence (all up to a Sync) has yet to settle waits for that:
 * statements_waits(). Inside one sequence nothing has to wait: an error skips the rest of it.
 *
 * Source: PostgreSQL documentation, "Message Flow: Extended Query".
 */
#ifndef PROXY_SQLSTATE_STATEMENTS_H
#define PROXY_SQLSTATE_STATEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/exchange.h"

#define STATEMENTS_TEXT_MAX ((size_t)64 * 1024) /* of a message that is looked at whole */
#define STATEMENTS_PREFIX   "meridian_"         /* of our names on a server */

/* One per worker, and outlives what was made with it: the texts that are known. */
struct statement_table;

/* `max` statements on one server connection (option max_prepared_statements); 0: names pass as they
 * are, and a Parse with a name pins, in sessions that begin while it is so. */
struct statement_table *statement_table_new(unsigned max);
void statement_table_free(struct statement_table *t);
void statement_table_limit(struct statement_table *t, unsigned max);
/* For other tables of the worker's whose keys clients choose. */
uint64_t statement_table_seed(const struct statement_table *t);
size_t statement_table_count(const struct statement_table *t);

/* One per server connection: what is prepared there. */
struct server_statements;

struct server_statements *server_statements_new(struct statement_table *t);
void server_statements_free(struct server_statements *ss);
/* A DISCARD ALL or DEALLOCATE ALL of ours has run there: nothing is prepared any more. */
void server_statements_clear(struct server_statements *ss);
size_t server_statements_count(const struct server_statements *ss);
/* One per pooled session: what the client has prepared. */
struct statements;
struct prepared_names;

/* `names`: the session's (prepared.h); none is in it yet, and it outlives this. */
struct statements *statements_new(struct statement_table *t, struct prepared_names *names);
void statements_free(struct statements *c);

/* A server connection is the session's from now on, after the answer to the last question of ours
 * there (a Query of ours takes the place of the statement without a name: say this anew after
 * each). `exchange` is the session's: it must outlive the attachment. */
void statements_attach(struct statements *c, struct server_statements *ss,
		       struct exchange *exchange);
/* At a safe point; or the server is gone. */
void statements_detach(struct statements *c);

/* Texts may mean something else behind one with these effects: meaning 0, until that is known. */
bool statements_change_meaning(unsigned effects);

/* The session has temporary tables or other objects of pg_temp on its server (or may have), or has
 * them no more. A text with one of their names means something else in this session than in any
 * other: from the first on it shares no statement, and what it has prepared before is prepared anew
 * when it is used. It begins by itself behind a text of EFFECTS_THAT_SHADOW. */
void statements_shadow(struct statements *c, bool is_so);

enum statements_verdict {
	STATEMENTS_AS_IS,     /* send the bytes that were given */
	STATEMENTS_REWRITTEN, /* send what has been put into `out`, and only that (maybe nothing) */
	STATEMENTS_BAD,       /* not the protocol, or too much: statements_why() */
};

/* The client's next n bytes; before exchange_client() has them. What is half a message may be kept
 * inside, and is put in front of what comes next. `meaning` stands for what decides what a text
 * means when it is prepared, the schema and settings (search_path, TimeZone, …; not
 * application_name): sessions of equal meaning share statements; 0, unknown: this session's
 * statements are its own. With n = 0 goes on after a wait. */
enum statements_verdict statements_client(struct statements *c, uint64_t meaning, const char *p,
					  size_t n, struct buf *out);
const char *statements_why(const struct statements *c);

/* At a safe point by exchange_safe_point(): whether it is one for us, too. */
bool statements_settled(const struct statements *c);
/* Bytes of the client's are kept. */
bool statements_holds(const struct statements *c);
/* … because their message waits for the server: do not read from the client. */
bool statements_waits(const struct statements *c);
/* … and need not wait any more: call statements_client() with n = 0. Ask after each call of
 * statements_heard(), when the server's bytes have gone their way, and when its socket takes more.
 */
bool statements_goes_on(const struct statements *c);

/* The server has said something, and exchange_filter() has had it. */
void statements_heard(struct statements *c);
/* The server has reported an error with this SQLSTATE (any error of a pooled session): a plan that
 * is out of date, or a statement that is not there, is not offered to anybody again. */
void statements_error(struct statements *c, const char sqlstate[5]);

/* What the texts that ran since the last call may have changed: enum sqleffect; the names of
 * settings are appended as sqleffects_names() does. */
unsigned statements_effects(struct statements *c, struct buf *names);
/* The session has a statement that only its server connection has: it must keep that. */
bool statements_pins(const struct statements *c);

/* The text of what the client has prepared under that name; false: not known. */
bool statements_text(const struct statements *c, struct slice name, struct slice *sql);
size_t statements_count(const struct statements *c);
/* Memory of this session's own; shared texts are not in it. */
size_t statements_bytes(const struct statements *c);

#endif
