/* SPDX-License-Identifier: PostgreSQL
 *
 * Before a migration freezes the sessions of a database: what they will log in with at the node
 * that they go to, one entry for each user and secret, and whether that node lets it in. It makes
 * only the login there; the sessions notice nothing.
 *
 * A list belongs to the thread that has it; rehearsals under way belong to their worker.
 */
#ifndef PROXY_MOVE_REHEARSAL_H
#define PROXY_MOVE_REHEARSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "routing/route.h"

struct credential;
struct cutover;
struct node_live;
struct worker;

struct login_tried {
	char *user, *database;         /* the database's name at that node */
	char *options;                 /* the pool's; "": none */
	struct credential *credential; /* one reference */
	/* where the sessions will go; one reference; NULL: no node */
	struct node_live *live;
	enum access access;
	unsigned sessions;
	bool is_tried;
	struct err refused; /* "": the node let it in */
};

struct logins_tried {
	struct login_tried *v;
	size_t n;
};

/* The logins of this worker's sessions that could be moved. */
void rehearsal_list(struct worker *w, const struct cutover *c, struct logins_tried *out);
/* Moves all of `from` to `to`, equal ones once; `from` is empty afterwards. */
void rehearsal_merge(struct logins_tried *to, struct logins_tried *from);
/* Copies the list, without the results. */
void rehearsal_copy(struct logins_tried *to, const struct logins_tried *from);
void rehearsal_fini(struct logins_tried *l);

/* Try the login, at the longest until the deadline (monotonic). `over` is called once, on the
 * worker, after this has returned. `*l` must stay until then. */
void rehearsal_begin(struct worker *w, struct login_tried *l, int64_t deadline_us,
		     void (*over)(void *arg), void *arg);
/* The worker ends: so do the rehearsals under way. */
void rehearsal_end_all(struct worker *w);

#endif
