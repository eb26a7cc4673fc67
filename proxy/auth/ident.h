/* SPDX-License-Identifier: PostgreSQL
 *
 * The option auth_ident_file: which user of a certificate or of the operating system may log in as
 * which user of the database, in the grammar of pg_ident.conf (PostgreSQL documentation, "User Name
 * Maps"; the lines and fields are read by proxy/auth/hbafile.h):
 *
 *     MAP  SYSTEM-USER  DATABASE-USER
 *
 * A system user that begins with / is a regular expression (proxy/auth/hbaregex.h), whose first
 * bracketed part may be used as \1 in the database user. A database user is a name, all, or a
 * regular expression.
 *
 * The table is immutable once loaded, refcounted, and may be read by any thread. Errors name file
 * and line.
 */
#ifndef PROXY_AUTH_IDENT_H
#define PROXY_AUTH_IDENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct hbafile_source;
struct ident;

/* Longer names of certificates and the system match nothing. */
#define IDENT_NAME_MAX 1024

/* NULL and *e on failure. */
struct ident *ident_load(const char *path, struct err *e) MUST_CHECK;
/* The same with the caller's own files. */
struct ident *ident_read(const struct hbafile_source *source, const char *path,
			 struct err *e) MUST_CHECK;
struct ident *ident_ref(struct ident *t);
void ident_unref(struct ident *t); /* accepts NULL */

bool ident_has_map(const struct ident *t, const char *map); /* t may be NULL */
/* Whether `system` may log in as `user`. Without a map (NULL) the two must be the same name. */
bool ident_allows(const struct ident *t, const char *map, struct slice system, struct slice user);
size_t ident_count(const struct ident *t);

#endif
