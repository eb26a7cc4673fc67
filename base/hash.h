/* SPDX-License-Identifier: PostgreSQL
 *
 * Hashes for tables whose keys clients choose. Each table has a random seed of its own, which no
 * client learns: so none can choose keys that fall into one bucket, which would make every look-up
 * walk through all of them. Not for secrets, nor for what is kept or sent: another process has
 * another seed.
 *
 * With uthash: HASH_FIND_BYHASHVALUE() and its like. Its own functions have no seed, and keys that
 * collide in them are made at a desk.
 *
 * Source: the multiplication folded in two is wyhash's and its kin's (Wang Yi; "mum"), with eight
 * bytes a step. What it is for: J. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF".
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

/* Of the kernel's random bytes. */
uint64_t hash_new_seed(void);
uint32_t hash_slice(uint64_t seed, struct slice s);

#endif
