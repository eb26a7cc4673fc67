/* SPDX-License-Identifier: PostgreSQL
 *
 * UTF-8 as the console needs it: what it takes must be valid, what it shows is made so. Source: RFC
 * 3629 (no overlong forms, no surrogates, nothing above U+10FFFF).
 */
#ifndef PROXY_ADMIN_UTF8_H
#define PROXY_ADMIN_UTF8_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* Length of the valid sequence at the front, 0 where there is none. */
size_t utf8_sequence(struct slice s);
bool utf8_valid(struct slice s);
/* Append; each byte that belongs to no valid sequence, and each NUL, becomes U+FFFD. */
void utf8_put(struct buf *b, struct slice s);

#endif
