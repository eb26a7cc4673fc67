/* SPDX-License-Identifier: PostgreSQL
 *
 * Whether the sessions of a database can log in at the other side with what Meridian has of them:
 * the check role_verifiers, and what PLAN says of the sessions.
 */
#ifndef MIGRATION_MOVE_VERIFIERS_H
#define MIGRATION_MOVE_VERIFIERS_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/gate.h"
#include "migration/kind.h"
#include "migration/plan.h"

/* pg_authid.rolpassword of a login role that both sides have; "": none. Borrowed. */
struct role_secrets {
	const char *role, *source, *target;
	const char *statement; /* gives the target the source's */
	bool is_super;         /* on either side: its password is never changed here */
};

enum role_verdict { ROLE_SAME, ROLE_DIFFERS, ROLE_WILL_BE_COPIED, ROLE_CLOSES_SESSIONS };

/* Pure. How its sessions' logins fit either secret; copies: roles = copy. */
enum role_verdict verifiers_verdict(const struct role_secrets *r,
				    const struct gate_fit *with_target,
				    const struct gate_fit *with_source, bool copies);

/* A check for each role that is not the same; *closed: sessions that ROLE_CLOSES_SESSIONS is about.
 * logins NULL: there are no sessions. */
int move_check_verifiers(struct job *j, PGconn *source, PGconn *target,
			 const struct gate_logins *logins, struct checks *out, unsigned *closed,
			 struct err *e);
/* The statement for `target` that gives the role there what it has on `source`; the caller frees.
 * NULL: it has that, or neither can be read. */
char *move_mend_role(PGconn *source, PGconn *target, const char *role);

/* What sessions of the database here log in with, those of the side that FINALIZE leaves; the
 * caller's, with gate->logins_free(). NULL: this site has no sessions. */
struct gate_logins *move_logins(struct job *j);
/* How many sessions FINALIZE will keep, and why not the others, as far as catalogs tell: nothing is
 * tried. */
int move_put_forecast(struct job *j, struct buf *out, struct err *e);

#endif
