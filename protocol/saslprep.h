/* SPDX-License-Identifier: PostgreSQL
 *
 * SASLprep (RFC 4013, a profile of RFC 3454): what is done to a password before SCRAM hashes it, so
 * that two ways to type the same text are the same password. As PostgreSQL does it: ASCII passes as
 * it is, control characters too; what is no UTF-8, or holds what the profile prohibits, or code
 * points that Unicode 3.2 does not know, passes as raw bytes. That is looked at in front of the
 * normalization, not behind it.
 */
#ifndef PROTOCOL_SASLPREP_H
#define PROTOCOL_SASLPREP_H

#include "base/buf.h"
#include "base/slice.h"

/* What a password of n bytes can become: compatibility decomposition makes 33 bytes of three. */
#define SASLPREP_ROOM(n) ((n)*11 + 1)

/* Append the prepared password. Where `b` has room for SASLPREP_ROOM(), no copy is left elsewhere.
 */
void saslprep_put(struct buf *b, struct slice password);

#endif
