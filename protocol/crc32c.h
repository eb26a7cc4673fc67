/* SPDX-License-Identifier: PostgreSQL
 *
 * CRC-32C (Castagnoli; RFC 4960 appendix B), which guards PROXY protocol v2 headers. It finds
 * accidents, not attackers.
 */
#ifndef PROTOCOL_CRC32C_H
#define PROTOCOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Go on from `crc` (0 to begin with) over n more bytes: crc32c(crc32c(0, a, n), b, m) is the sum of
 * a followed by b. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
