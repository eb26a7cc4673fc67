/* SPDX-License-Identifier: PostgreSQL
 *
 * PostgreSQL's md5 authentication, both sides: what a server stores of a password
 * (pg_authid.rolpassword), and the answer to AuthenticationMD5Password (PostgreSQL documentation,
 * "Message Flow").
 */
#ifndef PROXY_AUTH_MD5_H
#define PROXY_AUTH_MD5_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define MD5_SALT_BYTES    4
#define MD5_PASSWORD_TEXT 36 /* "md5", 32 digits, NUL */

/* Each returns false where the library has no MD5. */

/* What is stored: "md5" + hex(md5(password + user)). */
bool md5_secret(struct slice user, struct slice password, char to[MD5_PASSWORD_TEXT]) MUST_CHECK;
/* The answer for a salt, from what is stored (36 bytes, as above). */
bool md5_answer(const char secret[MD5_PASSWORD_TEXT], const uint8_t salt[MD5_SALT_BYTES],
		char to[MD5_PASSWORD_TEXT]) MUST_CHECK;
/* Both at once: "md5" + hex(md5(hex(md5(password + user)) + salt)). */
bool md5_password(struct slice user, struct slice password, const uint8_t salt[MD5_SALT_BYTES],
		  char to[MD5_PASSWORD_TEXT]) MUST_CHECK;

#endif
