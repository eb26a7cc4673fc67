/* SPDX-License-Identifier: PostgreSQL
 *
 * Finds the session that a cancel key belongs to: an index from the first four bytes of the secret
 * to the session's slot, with open addressing and eight bytes an entry. Each worker has one. It
 * only narrows the search: the caller compares process id and the whole secret, in constant time.
 */
#ifndef PROXY_CANCEL_CANCELKEYS_H
#define PROXY_CANCEL_CANCELKEYS_H

#include <stdint.h>

struct cancel_keys;

struct cancel_keys *cancelkeys_new(void);
void cancelkeys_free(struct cancel_keys *k);
/* `secret`: at least four random bytes. */
void cancelkeys_add(struct cancel_keys *k, const uint8_t *secret, uint32_t slot);
void cancelkeys_remove(struct cancel_keys *k, const uint8_t *secret, uint32_t slot);
/* The n-th slot (0, 1, …) whose secret begins with the same four bytes; UINT32_MAX when there are
 * no more. */
uint32_t cancelkeys_find(const struct cancel_keys *k, const uint8_t *secret, unsigned n);

#endif
