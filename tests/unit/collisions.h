/* SPDX-License-Identifier: PostgreSQL
 *
 * What somebody makes at a desk who wants a hash table to be slow: keys of one hash by uthash's
 * HASH_FNV(), as many as there may be. Of each of a dozen pieces there are two that come to the
 * same: A. Joux, "Multicollisions in Iterated Hash Functions", CRYPTO 2004.
 */
#ifndef TESTS_UNIT_COLLISIONS_H
#define TESTS_UNIT_COLLISIONS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define COLLISION_PIECES 12
#define COLLISION_PIECE  5
#define COLLISION_BYTES  (COLLISION_PIECES * COLLISION_PIECE + 1)
#define COLLISIONS       ((size_t)1 << COLLISION_PIECES)

/* FNV-1a of 32 bits, from a state on. */
static inline uint32_t
collision_fnv(uint32_t h, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619U;
	return h;
}

/* Far from one to the next: those that are alike do not collide. */
static inline void
collision_piece(uint32_t number, char to[COLLISION_PIECE])
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	number *= 2654435761U;
	for (int i = 0; i < COLLISION_PIECE; i++, number >>= 6)
		to[i] = letters[number & 63];
}

/* Two pieces that lead from *h to one state, which *h becomes. */
static inline void
collision_pair(uint32_t *h, char pair[2][COLLISION_PIECE])
{
	enum { SIZE = 1 << 20 };
	uint32_t *seen = calloc(SIZE, sizeof(*seen)); /* numbers of pieces, from 1, by state */
	uint32_t state, number;

	for (number = 1;; number++) {
		uint32_t at;

		collision_piece(number, pair[0]);
		state = collision_fnv(*h, slice_of(pair[0], COLLISION_PIECE));
		at = state % SIZE;
		collision_piece(seen[at], pair[1]);
		if (seen[at] != 0 && collision_fnv(*h, slice_of(pair[1], COLLISION_PIECE)) == state)
			break;
		seen[at] = number;
	}
	*h = state;
	free(seen);
}

/* The i-th of COLLISIONS texts that come to the same hash behind this; with its NUL. */
static inline size_t
collision_make(struct slice behind, size_t i, char to[COLLISION_BYTES])
{
	static char pairs[COLLISION_PIECES][2][COLLISION_PIECE];
	static uint32_t made_for;
	uint32_t from = collision_fnv(2166136261U, behind), h = from;

	for (size_t k = 0; made_for != from && k < COLLISION_PIECES; k++)
		collision_pair(&h, pairs[k]);
	made_for = from;
	for (size_t k = 0; k < COLLISION_PIECES; k++)
		memcpy(to + k * COLLISION_PIECE, pairs[k][i >> k & 1], COLLISION_PIECE);
	to[COLLISION_BYTES - 1] = '\0';
	return COLLISION_BYTES - 1;
}

/* n keys that were chosen cost no more than others: `cost_of` has a bool, whether they are. */
static inline void
collisions_cost_nothing(const char *what, double (*cost_of)(const void *collide, size_t n),
			size_t n)
{
	const bool no = false, yes = true;

	print_message("# %zu %s\n", n, what);
	assert_cost(cost_least(cost_of, &yes, n), 1, cost_least(cost_of, &no, n));
}

#endif
