/* SPDX-License-Identifier: PostgreSQL
 *
 * What Meridian can log in to a node with, for one user, as authentication of the client has left
 * it. A password in clear answers whatever a node asks for. An md5 hash (of pg_authid.rolpassword)
 * answers requests for MD5. SCRAM keys, recovered from the client's own exchange, answer requests
 * for SCRAM of a node that has the same verifier. NONE answers nothing: it serves at a node that
 * trusts us, or takes our certificate.
 *
 * Refcounted and immutable: sessions, pools and auth_file share one. Any thread may take and give
 * back references; the last one wipes the memory. There is no function that prints one (INV-20).
 *
 * The keys made from a password take a millisecond or more, and depend only on the salt and the
 * iterations that a node asks for: a credential keeps the last few, for all that share it. This is
 * the only part with a lock, which is held while some hundred bytes are copied.
 */
#ifndef PROXY_AUTH_CREDENTIAL_H
#define PROXY_AUTH_CREDENTIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
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

struct credential_made; /* keys made from a password */

struct credential {
	struct refcount refs;
	pthread_mutex_t lock;         /* guards `made` */
	struct credential_made *made; /* CREDENTIAL_PASSWORD; NULL: none yet */
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

/* The answer to a node's challenge, for CREDENTIAL_PASSWORD, on any thread.
 * credential_known_keys(): true where the keys were made before. credential_make_keys(): runs
 * PBKDF2 and keeps the keys. */
bool credential_known_keys(struct credential *c, const struct scram_challenge *ask,
			   struct scram_keys *out);
int credential_make_keys(struct credential *c, const struct scram_challenge *ask,
			 struct scram_keys *out, struct err *e) MUST_CHECK;

/* Whether both log in alike: the same kind, the same secret. In constant time for secrets of one
 * length. NULL equals only NULL. */
bool credential_equal(const struct credential *a, const struct credential *b);

/* Whether a node that has this secret of the user (pg_authid.rolpassword) would accept the
 * credential. True for NONE, which such a node accepts by other means. Runs PBKDF2 for a password
 * in clear: not for an event loop. */
bool credential_fits(const struct credential *c, struct slice user, struct slice secret);

#endif
