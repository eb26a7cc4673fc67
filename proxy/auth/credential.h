/* SPDX-License-Identifier: PostgreSQL
 *
 * What Meridian can log in to a node with, for one user: what authentication of the client has left
 * in its hands. A password in clear answers whatever a node asks for; an md5 hash (of
 * pg_authid.rolpassword) answers requests for MD5; SCRAM keys, recovered from the client's own
 * exchange, answer requests for SCRAM of a node that has the same verifier; NONE answers nothing: a
 * node that trusts us, or takes our certificate, lets such a user in.
 *
 * Refcounted and immutable: sessions, pools and auth_file share one. References may be taken and
 * given back by any thread; the last one wipes the memory. Never printed: there is nothing here
 * that makes text of one.
 */
#ifndef PROXY_AUTH_CREDENTIAL_H
#define PROXY_AUTH_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "base/snapshot.h"
#include "protocol/scram.h"
#include "proxy/auth/md5.h"

enum credential_kind {
	CREDENTIAL_NONE,
	CREDENTIAL_PASSWORD,
	CREDENTIAL_MD5,
	CREDENTIAL_SCRAM_KEYS,
};

struct credential {
	struct refcount refs;
	enum credential_kind kind;
	struct scram_keys keys;      /* CREDENTIAL_SCRAM_KEYS */
	char md5[MD5_PASSWORD_TEXT]; /* CREDENTIAL_MD5: "md5" and 32 digits, without a salt */
	size_t length;               /* CREDENTIAL_PASSWORD */
	char password[];             /* … and a NUL behind it */
};

/* Each returns the first reference, and copies what it is given. */
struct credential *credential_new_none(void);
struct credential *credential_new_password(struct slice password);
/* md5: "md5" and 32 hex digits. */
struct credential *credential_new_md5(const char *md5);
struct credential *credential_new_keys(const struct scram_keys *keys);

struct credential *credential_ref(struct credential *c); /* accepts NULL */
void credential_unref(struct credential *c);             /* accepts NULL */

/* Whether both log in alike: the same kind, the same secret. In constant time for secrets of one
 * length. NULL is equal to NULL alone. */
bool credential_equal(const struct credential *a, const struct credential *b);

#endif
