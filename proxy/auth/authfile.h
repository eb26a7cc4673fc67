/* SPDX-License-Identifier: PostgreSQL
 *
 * The option auth_file: users and their secrets in the format of PgBouncer's userlist.txt:
 *
 *     ; comment
 *     "user" "secret" anything after that is ignored
 *
 * A quote inside quotes is doubled. The secret is a SCRAM verifier as in pg_authid.rolpassword, md5
 * followed by 32 hex digits, plain text, or empty (no password).
 *
 * The table is immutable once loaded and may be read by any thread. Plain text becomes a SCRAM
 * verifier (fresh salt, 4096 iterations) while loading, so that nothing expensive is left for the
 * event loop: loading costs about a millisecond per plain-text user, none for verifiers. The text
 * itself stays in the user's credential, for logins to nodes. md5 entries cannot serve SCRAM
 * (authfile_why_not() says so).
 *
 * Errors name file and line, what was found and what was expected, and never show a secret.
 */
#ifndef PROXY_AUTH_AUTHFILE_H
#define PROXY_AUTH_AUTHFILE_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "protocol/scram.h"

#define AUTHFILE_MAX_BYTES  ((size_t)16 << 20)
#define AUTHFILE_NAME_MAX   128
#define AUTHFILE_SECRET_MAX 2048

struct authfile;
struct credential;

enum authfile_kind { AUTHFILE_SCRAM, AUTHFILE_MD5, AUTHFILE_NONE };

struct authfile_user {
	const char *name;
	size_t name_len;
	enum authfile_kind kind;
	bool was_plain; /* AUTHFILE_SCRAM made from plain text */
	unsigned line;
	struct scram_verifier scram; /* AUTHFILE_SCRAM only */
	char md5[36];                /* AUTHFILE_MD5, and where it was plain: "md5…" */
	/* What of the secret serves at a node: plain text, an md5 hash; nothing of a verifier. */
	struct credential *credential;
};

/* NULL and *e on failure. Warns in the log where others may read the file. Passwords in clear have
 * the salt that scram_verifier_mock() makes with this secret: who watches salts does not see that
 * they were read anew, or come and go. */
struct authfile *authfile_load(const char *path, const uint8_t secret[SCRAM_KEY_BYTES],
			       struct err *e) MUST_CHECK;
/* The same out of memory; `name` stands for the file in messages. */
struct authfile *authfile_parse(struct slice text, const char *name,
				const uint8_t secret[SCRAM_KEY_BYTES], struct err *e) MUST_CHECK;
/* NULL where there is no such user. Valid as long as the table. */
const struct authfile_user *authfile_find(const struct authfile *f, struct slice user);
/* NULL where this user can log in with SCRAM, else why not, for the log. */
const char *authfile_why_not(const struct authfile_user *u);
/* A user whose secret comes from elsewhere: fills all but name, name_len and line, which are there
 * already. 1 ms for plain text. _fini also follows a failure. */
int authfile_user_init(struct authfile_user *u, struct slice text,
		       const uint8_t secret[SCRAM_KEY_BYTES], struct err *e) MUST_CHECK;
void authfile_user_fini(struct authfile_user *u);
/* Whether most who can prove a password here have given no more than its md5 hash. */
bool authfile_is_mostly_md5(const struct authfile *f);
/* Every user, in no order that means anything. */
void authfile_walk(const struct authfile *f,
		   void (*visit)(const struct authfile_user *u, void *arg), void *arg);
size_t authfile_count(const struct authfile *f);
void authfile_free(struct authfile *f);

#endif
