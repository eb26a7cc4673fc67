/* SPDX-License-Identifier: PostgreSQL
 *
 * Between the files of the session's side of a pool: pooled.c (who has which server when) and
 * pooled_state.c (what a session leaves on it).
 */
#ifndef PROXY_SESSION_POOLED_INT_H
#define PROXY_SESSION_POOLED_INT_H

#include "proxy/session/pooled.h"
#include "proxy/session/truth.h"
#include "proxy/session/vars.h"

struct ask_answer;

/* ---- pooled.c ---- */

/* The server is this session's now; its settings may have to be replayed first (pd->asking). */
void pooled_attach(struct pooled *pd, struct server *sv);

/* ---- pooled_state.c ---- */

/* What servers report to a session like this one is known without asking one. */
bool pooled_can_greet(const struct pooled *pd);
/* The ParameterStatus messages of a login, as this client is to hear them. */
void pooled_put_welcome(struct pooled *pd, struct buf *b);
/* What its server reports now, and the client has not heard: it is told. */
void pooled_tell(struct pooled *pd);
/* The server is PostgreSQL, which ends the connection on an error where it is told to. */
bool pooled_ends_on_error(const struct server *sv);
/* What the server has reported goes with the settings that we know it to have. */
void pooled_settled(struct server *sv);
/* Whether the session's queries may have left something behind on its server: then *sql is what to
 * ask. What needs no asking is taken as known. */
bool pooled_suspects(struct pooled *pd, struct buf *sql);
/* A setting may have gone back to its default: the server's, and not the one that the session began
 * with. What the client says next must not come before that is mended. */
bool pooled_was_reset(struct pooled *pd);
/* The answer to that. */
void pooled_learn(struct pooled *pd, const struct ask_answer *a);
/* Everything that was prepared on it is gone. */
void pooled_forget_statements(struct server *sv);

#endif
