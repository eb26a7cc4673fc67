/* SPDX-License-Identifier: PostgreSQL
 *
 * Between the files of the session's side of a pool: pooled.c (who has which server when),
 * pooled_where.c (of which pool), pooled_ask.c (our own questions on it: settings replayed, what is
 * left looked at) and pooled_state.c (what a session leaves on it).
 */
#ifndef PROXY_POOL_POOLED_INT_H
#define PROXY_POOL_POOLED_INT_H

#include "proxy/pool/pooled.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/session_probe.h"
#include "proxy/sqlstate/vars.h"

struct ask_answer;
struct node_live;
struct pool;

/* The login is over: its client has got a ReadyForQuery. */
static inline bool
pooled_is_greeted(const struct pooled *pd)
{
	return pd->session->login == NULL;
}

/* ---- for the observers (pooled_relay.c) ---- */

/* Bytes for the server have come. True: it is there. False: they were kept until it is, or the
 * session is over. */
bool pooled_take(struct session *s, const char *p, size_t n);
/* What the server is to read in place of *p, *n. False: nothing now, or the session is over. */
bool pooled_rewrite(struct session *s, const char **p, size_t *n);
/* The client has said Terminate with the last of n bytes. True: the server is to read it. */
bool pooled_terminate(struct session *s, size_t n);
/* Bytes of the server with ParameterStatus messages go to the client: see reports_read(). */
void pooled_on_reports(struct session *s, struct framer before, struct slice bytes);
/* The server takes more again. Always true: the client is seen to. */
bool pooled_on_server_drained(struct session *s);
/* SKIPPING: what is to be skipped of *p, *n is. True: something is left behind that. */
bool pooled_skip(struct session *s, const char **p, size_t *n);
/* The end of the session: its pool is left, and everything is given back. */
void pooled_release(struct session *s);

/* ---- pooled.c ---- */

/* What the node would have said at the end of a login. */
void pooled_greet(struct pooled *pd);
/* It has no server, and waits for none: with reads nearby, the unit that was under way is over. */
void pooled_tell_parked(struct pooled *pd);
/* It has a server, or the exchange begins anew: what a Query ends there. */
void pooled_follow(struct pooled *pd);
/* What was kept of the client goes on its way. */
void pooled_go_on(struct pooled *pd);

/* ---- pooled_where.c ---- */

/* The session belongs to `p` from now on, whichever server it has. */
void pooled_move_to(struct pooled *pd, struct pool *p);
/* To the pool of that node, whatever the route says as long as it can be had. */
void pooled_send_to(struct pooled *pd, struct node_live *live);
/* Its pool has nothing for it. A login is not sent there again: a node that is silent fails anew
 * only when it may be tried again since long. */
void pooled_note_refusal(struct pooled *pd);
/* Nothing there, and nothing is coming soon. */
bool pooled_is_hopeless(const struct pool *p);
/* Decide the route anew, and take the first node on it that has not just failed. False: there is
 * none; pd->pool is the first of those that have failed then, if there is any. */
bool pooled_decide(struct pooled *pd);
/* The DETAIL of an error: each node that was tried, and each region that is not on the route. To be
 * called when pooled_decide() has found nothing. */
void pooled_explain(struct pooled *pd, struct err *e);
/* Its pool is in trouble, or the world has changed so that the route is to be decided anew. */
bool pooled_is_due(struct pooled *pd);

/* ---- pooled_ask.c ---- */

/* Its session is at an end, and a question is under way: the server needs no reset behind one for
 * its position alone. */
void pooled_leave_question(struct pooled *pd);
/* The server is this session's now; its settings may have to be replayed first (POOLED_REPLAYING).
 */
void pooled_attach(struct pooled *pd, struct server *sv);
/* The server is asked whether it has replayed what this session must see (POOLED_CHECKING), again
 * and again for as long as that is waited for. */
void pooled_check(struct pooled *pd);
/* A server nearby needs not be asked that: it is known by what others of its pool have seen. The
 * floor is behind the session then. */
bool pooled_is_shown(struct pooled *pd);
/* The connection is lent to no session any more, and goes back to its pool once the reset has
 * removed what its last session left on it. `next`: settings that it is given then, for the next
 * session. */
void pooled_reset(struct server *sv, struct vars *next);

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
/* Append the question for the position in the WAL, and nothing else. */
void pooled_put_position_question(struct pooled *pd, struct buf *sql);
/* The answer to that. */
void pooled_learn(struct pooled *pd, const struct ask_answer *a);

#endif
