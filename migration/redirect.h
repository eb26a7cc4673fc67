/* SPDX-License-Identifier: PostgreSQL
 *
 * Redirection: a database has moved, and clients still enter by proxies of the region that it left.
 * They are forwarded until the option redirect_until says, or COMPLETE; what a proxy does with them
 * is its own (struct redirect_ops); the clients are in meridian.redirect where the migration's home
 * is: each proxy has its part there, and adds to it while the others add to theirs. Bounded: a
 * thousand callers in a proxy's memory, ten thousand rows of a migration.
 *
 *	meridian.redirect (uuid, proxy, addr, usr, application, sessions, logins, refused,
 *			   last_seen)
 *	meridian.proxy	  (…, callers_at: when its part was written last)
 */
#ifndef MIGRATION_REDIRECT_H
#define MIGRATION_REDIRECT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/migrations_int.h"
#include "migration/store.h"

struct watched;

#define REDIRECT_CALLERS_MAX ((size_t)1000)

/* One that has been decided. Strings are its own. */
struct redirect {
	char uuid[UUID_SIZE];
	int migration;
	char *database, *from, *to, *newdb; /* as struct migration has them */
	bool ends;                          /* it is known when, or it is over */
	char until[40];                     /* "2026-12-21 22:02:08+00"; "": not known */
	int64_t left_us;                    /* where it ends: from now; 0 or less: it is over */
};

struct redirects {
	struct redirect *v;
	size_t n;
};

/* Clients with the same address, role and application name; those beyond REDIRECT_CALLERS_MAX have
 * no address and no name. */
struct redirect_caller {
	const char *addr, *user, *application;
	int64_t logins, refused;
	int64_t age_us; /* since the last of them */
};

struct redirect_ops {
	/* All that the databases known by that name say now; what they said before is forgotten. */
	void (*set)(void *arg, const char *told_by, const struct redirect *v, size_t n);
	/* Whether clients of this proxy enter by the region that was left. */
	bool (*is_entrance)(void *arg, const char *from, const char *to);
	/* The address that clients of that place are to connect to, the caller's; NULL: none is
	 * configured. */
	char *(*entry)(void *arg, const char *place);
	/* The clients that came since the last call: they are taken out. */
	void (*take)(void *arg, const char *uuid,
		     void (*each)(void *to, const struct redirect_caller *c), void *to);
	/* … and back. */
	void (*put)(void *arg, const char *uuid, const struct redirect_caller *c);
};

/* The redirections of that database's migrations; of two by the same way the newer one. -1, *e. */
int redirects_read(PGconn *c, struct redirects *out, struct err *e);
void redirects_fini(struct redirects *r);
/* Write this proxy's part, as it is now; `look`: also which clients have a session. Nothing where
 * clients do not enter here. -1 and *e. */
int redirect_flush(struct migrations *ms, PGconn *c, const struct redirect *r, bool look,
		   struct err *e);
/* Have the other proxies, that watch the database `square`, write theirs into `home` (it may be the
 * same), and wait for it, two seconds at the most. */
void redirects_collect(struct migrations *ms, PGconn *home, PGconn *square);
/* Hosts that were seen in the last day. */
int redirect_hosts(PGconn *c, const struct redirect *r, int64_t *out, struct err *e);

/* ---- the watcher's ---- */

/* Behind each look at a database: what it says is in force, and every ten seconds our part of the
 * callers goes there. */
void redirects_look(struct migrations *ms, struct watched *d);
/* The payload on channel meridian that asks every proxy for its part: watch.c looks at once then.
 */
#define REDIRECTS_COLLECT "callers"
/* This proxy stops. */
void redirects_forget_proxy(struct migrations *ms, struct watched *d);

#endif
