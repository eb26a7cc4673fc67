/* SPDX-License-Identifier: PostgreSQL
 *
 * Where a session belongs: the locality that its claims make, and the route that follows from it by
 * the world of now. At the login (proxy/login/locate.c), for each transaction of a pool, and when a
 * live session's claims change (settings.c).
 */
#ifndef PROXY_SESSION_ROUTE_H
#define PROXY_SESSION_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "routing/locality.h"
#include "routing/route.h"

struct authority;
struct session;
struct world;

/* Who wants a route. */
struct route_wish {
	struct slice database; /* as clients say it */
	enum access access;
	const struct locality *locality;
	int sticky_region; /* where callers of that place were last, or -1 */
	uint64_t seed;
	const struct authority *as_if; /* as if that were decided; NULL: what is */
};

/* Served regions from the database's section or from what a migration has decided, policy from
 * [meridian]. */
void locate_route(const struct world *w, const struct route_wish *wish, struct route *out);
/* What a migration has decided of this database; NULL: nothing. */
const struct authority *locate_authority(const struct world *w, struct slice database);
/* The name of this database on nodes, as the configuration has it: what migrations call it. */
struct slice locate_configured_dbname(const struct world *w, struct slice database);
/* … and where it is served now. */
struct slice locate_dbname(const struct world *w, struct slice database);

/* A login has waited: the worker may have got another world since. Take it, and decide the locality
 * and what follows from it anew; no attempt of it is under way. */
void locate_login_again(struct session *s);
/* The claims of a live session have changed: who it is, and where its next attachment goes, is
 * decided anew. This is where a session that may move begins to. */
void session_locality_changed(struct session *s);
/* The client has SET a place. */
void locate_set(struct session *s, enum claim_kind kind, struct slice value);
/* The claim that a setting makes, by its name without "meridian."; -1: none of ours. */
int locate_setting(struct slice name);
/* The route of a live session as it is now, by the world of now (and as if `as_if` were decided,
 * unless it is NULL). */
void locate_route_again(struct session *s, int sticky_region, const struct authority *as_if,
			struct route *out);
/* The same with another wish than the session's own. */
void locate_route_for(struct session *s, enum access access, int sticky_region,
		      const struct authority *as_if, struct route *out);
/* Append the route of a live session as it is now: "us-east1, us-west1". */
void locate_put_route(struct session *s, struct buf *b);
/* Append why each region is not on a route, for the DETAIL of an error. */
void locate_put_rejected(struct buf *b, const struct topology *t, const struct route *route);
void locate_input(const struct session *s, const struct world *w, bool strict,
		  struct locality_input *in);

/* A claim is counted as made, and as ignored where it is. */
void locate_count_claim(const struct session *s, const struct claim *c, bool strict);
/* The locality that was decided is the session's. */
void locate_note(struct session *s, const struct locality *loc);
/* The i-th setting that is a claim; NULL: there are no more. */
const char *locate_setting_name(size_t i);

#endif
