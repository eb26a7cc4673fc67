/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/strikes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SETS 128
#define WAYS 4

/* until_us lies STRIKES_FORGET ahead for each strike, STRIKES_MAX of them at the most: one time
 * says how many there are and since when. */
struct strike {
	uint64_t prefix; /* its hash; 0: free */
	int64_t until_us;
};

struct strikes {
	uint64_t seed;
	struct strike v[SETS][WAYS];
};

struct strikes *
strikes_new(uint64_t seed)
{
	struct strikes *st = xcalloc(1, sizeof(*st));

	st->seed = seed;
	return st;
}

void
strikes_free(struct strikes *st)
{
	free(st);
}

/* A hash of the address's /24 or /64, never 0: splitmix64's mixing over the seed and each half. */
static uint64_t
hash_prefix(const struct strikes *st, const struct addr *who)
{
	size_t n = who->family == ADDR_IPV4 ? 3 : who->family == ADDR_IPV6 ? 8 : 0;
	uint64_t x = 0;

	memcpy(&x, who->ip, n);
	x ^= st->seed;
	x += UINT64_C(0x9e3779b97f4a7c15) * (who->family + 1U);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) | 1;
}

bool
strikes_out(const struct strikes *st, const struct addr *who, int64_t now_us)
{
	uint64_t prefix = hash_prefix(st, who);
	const struct strike *set = st->v[prefix >> 8 & (SETS - 1)];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].prefix == prefix)
			return set[i].until_us - now_us > (STRIKES_MAX - 1) * STRIKES_FORGET;
	}
	return false;
}

void
strikes_add(struct strikes *st, const struct addr *who, int64_t now_us)
{
	uint64_t prefix = hash_prefix(st, who);
	struct strike *set = st->v[prefix >> 8 & (SETS - 1)], *mine = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].prefix == prefix) {
			mine = &set[i];
			break;
		}
		if (set[i].until_us < mine->until_us)
			mine = &set[i];
	}
	if (mine->prefix != prefix || mine->until_us < now_us)
		mine->until_us = now_us;
	mine->prefix = prefix;
	mine->until_us += STRIKES_FORGET;
	if (mine->until_us > now_us + STRIKES_MAX * STRIKES_FORGET)
		mine->until_us = now_us + STRIKES_MAX * STRIKES_FORGET;
}
