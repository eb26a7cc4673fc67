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
 * verifier of 4096 iterations while loading, so that nothing expensive is left for the
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
	char md5[36]; /* AUTHFILE_MD5, and where the entry was plain text: "md5…" */
	/* What serves for a login at a node: plain text, or an md5 hash; a verifier alone does
	 * not. */
	struct credential *credential;
};

/* NULL and *e on failure. Warns in the log where other users of the system may read the file.
 * Passwords in clear get the salt that scram_verifier_mock() makes with this secret: a client that
 * watches salts cannot tell that the file was read again, or that a user was added or removed. */
struct authfile *authfile_load(const char *path, const uint8_t secret[SCRAM_KEY_BYTES],
			       struct err *e) MUST_CHECK;
/* The same from memory; `name` stands for the file in messages. */
struct authfile *authfile_parse(struct slice text, const char *name,
				const uint8_t secret[SCRAM_KEY_BYTES], struct err *e) MUST_CHECK;
/* NULL: there is no such user. Valid as long as the table. */
const struct authfile_user *authfile_find(const struct authfile *f, struct slice user);
/* NULL: the user can log in with SCRAM; else why not, for the log. */
const char *authfile_why_not(const struct authfile_user *u);
/* Fill in a user whose secret does not come from a file: all but name, name_len and line, which are
 * set already. Takes 1 ms for plain text. _fini must be called after a failure too. */
int authfile_user_init(struct authfile_user *u, struct slice text,
		       const uint8_t secret[SCRAM_KEY_BYTES], struct err *e) MUST_CHECK;
void authfile_user_fini(struct authfile_user *u);
/* Whether most users with a secret have only an md5 hash. */
bool authfile_is_mostly_md5(const struct authfile *f);
/* Calls `visit` for every user, in any order. */
void authfile_walk(const struct authfile *f,
		   void (*visit)(const struct authfile_user *u, void *arg), void *arg);
size_t authfile_count(const struct authfile *f);
void authfile_free(struct authfile *f);

#endif
