/* SPDX-License-Identifier: PostgreSQL
 *
 * A question of Meridian's own on a server connection: one simple Query, or statements of the
 * extended protocol, whose answer no client sees. While it is under way the connection's events
 * come here; what is sent behind it is answered behind it. The answer is kept whole, bounded by
 * ASK_ANSWER_MAX. Notifications that come meanwhile go to the session that has the connection, and
 * are no part of it.
 */
#ifndef PROXY_SESSION_ASK_H
#define PROXY_SESSION_ASK_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct ask;
struct buf;
struct server;

#define ASK_ANSWER_MAX ((size_t)1 << 20)

struct ask_answer {
	bool lost;             /* the connection failed: it can only be closed */
	bool failed;           /* the server answered with an error: see `error` … */
	bool failed_behind;    /* … and so it did behind the first ReadyForQuery */
	char status;           /* of ReadyForQuery: I, T or E */
	struct slice messages; /* all of the answer, raw, up to and with ReadyForQuery */
	char *rest;            /* what has come behind it, to be changed at will … */
	size_t rest_n;         /* … of so many bytes */
	struct err error;
};

/* Called once; the question is over before it is, so that another may be asked. */
typedef void ask_done_fn(struct server *sv, const struct ask_answer *a);

void ask_begin(struct server *sv, struct slice sql, ask_done_fn *done);
/* The same for a connection whose client goes on to use its statement without a name, which a
 * simple Query would drop (PostgreSQL 55.2.3). Statements are told apart by NUL; they run in one
 * transaction. The name that they are prepared under is Meridian's. */
void ask_begin_apart(struct server *sv, struct slice statements, ask_done_fn *done);
/* Messages of the caller's, with so many Sync in them. What fails behind the first is
 * `failed_behind`. */
void ask_begin_messages(struct server *sv, const struct buf *messages, unsigned syncs,
			ask_done_fn *done);
/* Sent behind what the server has still to answer to its session: it is under way from
 * ask_take_over() on, and the beginning of its answer, where that has come with what stood in front
 * of it, is told by ask_put(). One for a server. */
void ask_send_behind(struct server *sv, struct slice sql, ask_done_fn *done);
void ask_put(struct ask *a, const char *p, size_t n);
void ask_take_over(struct server *sv);
/* `done` is called in place of what was to be. */
void ask_hand_over(struct ask *a, ask_done_fn *done);
/* Append what ask_begin_apart() sends, but for Sync. */
void ask_put_apart(struct buf *b, struct slice statements);
#define ASK_STATEMENT_NAME "_meridian_question_"
void ask_on_event(struct ask *a, short what);
void ask_free(struct ask *a); /* accepts NULL; `done` is not called */

#endif
