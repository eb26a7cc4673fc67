/* SPDX-License-Identifier: PostgreSQL
 *
 * The regular expressions of hba_file and auth_ident_file: what PostgreSQL's own and POSIX's
 * extended ones have in common. What means different things in the two (\d, a backslash inside
 * brackets, .*?) is refused: a file that was taken over from a server must not admit other clients
 * here.
 */
#ifndef PROXY_AUTH_HBAREGEX_H
#define PROXY_AUTH_HBAREGEX_H

#include <regex.h>

#include "base/err.h"
#include "base/slice.h"

/* Compile what follows the / of a token. -1 and *e; otherwise the caller owns *to (regfree). */
int hbaregex_compile(const char *text, regex_t *to, struct err *e) MUST_CHECK;

#endif
