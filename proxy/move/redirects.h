/* SPDX-License-Identifier: PostgreSQL
 *
 * Databases that have left a region (migration/redirect.h), for the logins of clients that still
 * come to it: which are forwarded, which are refused, and who they were. The watcher of migrations
 * writes it, workers read it at each login. Where no database has moved that is one atomic load,
 * else a lock for as long as it takes to look up one client among a thousand.
 */
#ifndef PROXY_MOVE_REDIRECTS_H
#define PROXY_MOVE_REDIRECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "migration/redirect.h"

struct redirections;
struct topology;

struct redirections *redirections_new(void);
void redirections_free(struct redirections *r); /* accepts NULL */

/* Any thread. */
void redirections_set(struct redirections *r, const char *told_by, const struct redirect *v,
		      size_t n);
void redirections_take(struct redirections *r, const char *uuid,
		       void (*each)(void *to, const struct redirect_caller *c), void *to);
void redirections_put(struct redirections *r, const char *uuid, const struct redirect_caller *c);
/* Whether this topology's proxy is in the region of `from`, and not in that of `to`. */
bool redirections_is_entrance(const struct topology *t, const char *from, const char *to);

/* What a login needs to know of one. */
struct redirection {
	char uuid[UUID_SIZE];
	char from[128], to[128]; /* by the names that the migration uses */
	char until[40];          /* "": not known yet */
	bool is_over;
};

/* False: the database has not left this proxy's region. `database`: its name on the nodes, as the
 * configuration has it. */
bool redirections_find(struct redirections *r, const struct topology *t, struct slice database,
		       struct redirection *out);
/* A client has come, and was let in or refused: count it. */
void redirections_count(struct redirections *r, const char *uuid, const char *addr,
			struct slice user, struct slice application, bool refused);

#endif
