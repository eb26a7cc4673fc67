/* SPDX-License-Identifier: PostgreSQL
 *
 * Before a migration freezes the sessions of a database: what they will log in with at the node
 * that they go to, one entry for each user and secret, and whether that node lets it in. Nothing is
 * done there but the login; the sessions notice nothing.
 *
 * The list is of the thread that has it; rehearsals under way are of their worker.
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
	char *user, *database;         /* its name there */
	char *options;                 /* of the pool; "": none */
	struct credential *credential; /* one reference */
	struct node_live *live;        /* where they will go; one reference; NULL: nowhere */
	enum access access;
	unsigned sessions;
	bool is_tried;
	struct err refused; /* "": it was let in */
};

struct logins_tried {
	struct login_tried *v;
	size_t n;
};

/* What the sessions of this worker have that could be moved. */
void rehearsal_list(struct worker *w, const struct cutover *c, struct logins_tried *out);
/* All of `from` go to `to`, the same ones once; `from` is empty then. */
void rehearsal_merge(struct logins_tried *to, struct logins_tried *from);
/* Not tried yet. */
void rehearsal_copy(struct logins_tried *to, const struct logins_tried *from);
void rehearsal_fini(struct logins_tried *l);

/* Try it, until then (monotonic) at most: `over` is called once, on the worker, after this has
 * returned. `*l` stays until then. */
void rehearsal_begin(struct worker *w, struct login_tried *l, int64_t deadline_us,
		     void (*over)(void *arg), void *arg);
/* The worker is at its end: those under way are over. */
void rehearsal_end_all(struct worker *w);

#endif
