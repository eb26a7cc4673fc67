/* SPDX-License-Identifier: PostgreSQL
 *
 * What tests write and count of verifiers and keys, and Meridian does not. Include it before
 * unit.h.
 */
#ifndef TESTS_UNIT_SECRETS_H
#define TESTS_UNIT_SECRETS_H

#include "protocol/b64.h"
#include "protocol/fleetkey.h"
#include "protocol/scram.h"

/* Append what scram_verifier_parse() reads. */
static inline void
put_verifier(struct buf *b, const struct scram_verifier *v)
{
	buf_printf(b, SCRAM_MECHANISM "$%d:", v->iterations);
	b64_put(b, v->salt, v->salt_len);
	buf_str(b, "$");
	b64_put(b, v->stored_key, SCRAM_KEY_BYTES);
	buf_str(b, ":");
	b64_put(b, v->server_key, SCRAM_KEY_BYTES);
}

/* How many keys there are: each reads a short secret in its own way. */
static inline size_t
count_keys(const struct fleet_keys *k)
{
	struct fleet_short read[FLEET_KEYS_MAX];

	return fleetkey_unmask(k, 1, (const uint8_t[4]){ 0 }, read);
}

#endif
