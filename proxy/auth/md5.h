/* SPDX-License-Identifier: PostgreSQL
 *
 * PostgreSQL's md5 authentication, the client's side: what answers AuthenticationMD5Password
 * (PostgreSQL documentation, "Message Flow").
 */
#ifndef PROXY_AUTH_MD5_H
#define PROXY_AUTH_MD5_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define MD5_SALT_BYTES    4
#define MD5_PASSWORD_TEXT 36 /* "md5", 32 digits, NUL */

/* "md5" + hex(md5(hex(md5(password + user)) + salt)). False where the library has no MD5. */
bool md5_password(struct slice user, struct slice password, const uint8_t salt[MD5_SALT_BYTES],
		  char to[MD5_PASSWORD_TEXT]) MUST_CHECK;

#endif
