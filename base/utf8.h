/* SPDX-License-Identifier: PostgreSQL
 *
 * UTF-8: what is told from what is not, and text made valid that shall be shown. Source: RFC 3629
 * (no overlong forms, no surrogates, nothing above U+10FFFF).
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Length of the valid sequence at the front, 0 where there is none. */
size_t utf8_sequence(struct slice s);
bool utf8_valid(struct slice s);
/* Of one sequence of n bytes: C0, DEL, and C1 (U+0080 to U+009F), of which terminals make commands,
 * too. */
bool utf8_is_control(const char *p, size_t n);
/* Append; each byte that belongs to no valid sequence, and each NUL, becomes U+FFFD. */
void utf8_put(struct buf *b, struct slice s);

/* What one valid sequence stands for. */
static inline uint32_t
utf8_code_point(struct slice s)
{
	uint32_t c = (uint32_t)(uint8_t)s.p[0] & (0x7fU >> s.n);

	for (size_t i = 1; i < s.n; i++)
		c = c << 6 | ((uint8_t)s.p[i] & 0x3f);
	return c;
}

#endif
