/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/hash.h"

#include <sys/random.h>

#include "base/bug.h"

uint64_t
hash_new_seed(void)
{
	uint64_t seed;

	BUG_ON(getrandom(&seed, sizeof(seed), 0) != sizeof(seed));
	return seed;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t
hash_slice(uint64_t seed, struct slice s)
{
	uint64_t h = seed ^ s.n, part = 0;

	for (; s.n > sizeof(part); s = slice_skip(s, sizeof(part))) {
		memcpy(&part, s.p, sizeof(part));
		h = mix(h ^ part, 0x9fb21c651e98df25u) ^ seed;
	}
	part = 0;
	if (s.n > 0)
		memcpy(&part, s.p, s.n);
	h = mix(h ^ part, 0xd6e8feb86659fd93u);
	return (uint32_t)(h ^ h >> 32);
}
