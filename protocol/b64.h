/* SPDX-License-Identifier: PostgreSQL
 *
 * Base64 (RFC 4648 section 4) in its one canonical form: padded, no white space, unused bits zero.
 * So two texts that decode to the same bytes are the same text.
 */
#ifndef PROTOCOL_B64_H
#define PROTOCOL_B64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define B64_LENGTH(n) (((n) + 2) / 3 * 4)

void b64_put(struct buf *b, const void *p, size_t n);
/* False where the text is not canonical or its bytes are more than `size`; *n is untouched then. */
bool b64_decode(struct slice text, uint8_t *to, size_t size, size_t *n);

#endif
