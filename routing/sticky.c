/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/sticky.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/mem.h"

/* How many neighbouring slots a key may stand in. */
#define STICKY_PROBES 8

struct sticky_slot {
	uint64_t key; /* 0: empty */
	int64_t put_us;
	uint16_t region;
};

struct sticky {
	unsigned mask;
	struct sticky_slot slots[];
};

struct sticky *
sticky_new(unsigned slots)
{
	struct sticky *s;

	BUG_ON(slots == 0 || (slots & (slots - 1)) != 0);
	s = xcalloc(1, sizeof(*s) + slots * sizeof(s->slots[0]));
	s->mask = slots - 1;
	return s;
}

void
sticky_free(struct sticky *s)
{
	free(s);
}

/* FNV-1a, 64 bits; keys never leave the process and are compared whole. */
static uint64_t
hash_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t
sticky_key(const struct locality *l, const struct addr *caller)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (l->city[0] != '\0') {
		h = hash_bytes(h, "city", 5);
		h = hash_bytes(h, l->city, strlen(l->city) + 1);
		h = hash_bytes(h, l->country, strlen(l->country) + 1);
	} else if (l->has_location) {
		int32_t cell[2] = { (int32_t)floor(l->lat * 2), (int32_t)floor(l->lon * 2) };

		h = hash_bytes(hash_bytes(h, "cell", 5), cell, sizeof(cell));
	} else if (caller != NULL) {
		size_t prefix = caller->family == ADDR_IPV4   ? 3
				: caller->family == ADDR_IPV6 ? 6
							      : 0;

		h = hash_bytes(hash_bytes(h, "net", 4), &caller->family, 1);
		h = hash_bytes(h, caller->ip, prefix);
	}
	return h != 0 ? h : 1;
}

static size_t
slot_at(const struct sticky *s, uint64_t key, unsigned probe)
{
	return (size_t)((key ^ key >> 32) + probe) & s->mask;
}

static bool
is_alive(const struct sticky_slot *slot, int64_t now_us)
{
	return slot->key != 0 && now_us - slot->put_us < STICKY_TTL_US;
}

int
sticky_get(const struct sticky *s, uint64_t key, int64_t now_us)
{
	for (unsigned i = 0; i < STICKY_PROBES; i++) {
		const struct sticky_slot *slot = &s->slots[slot_at(s, key, i)];

		if (slot->key == key)
			return is_alive(slot, now_us) ? slot->region : -1;
	}
	return -1;
}

void
sticky_put(struct sticky *s, uint64_t key, uint16_t region, int64_t now_us)
{
	struct sticky_slot *victim = &s->slots[slot_at(s, key, 0)];

	for (unsigned i = 0; i < STICKY_PROBES; i++) {
		struct sticky_slot *slot = &s->slots[slot_at(s, key, i)];

		if (slot->key == key) {
			victim = slot;
			break;
		}
		if (victim->key != 0 && (slot->key == 0 || slot->put_us < victim->put_us))
			victim = slot;
	}
	/* the same answer does not renew itself: within STICKY_TTL_US the decision is made afresh
	 */
	if (victim->key == key && victim->region == region && is_alive(victim, now_us))
		return;
	*victim = (struct sticky_slot){ .key = key, .put_us = now_us, .region = region };
}

void
sticky_clear(struct sticky *s)
{
	memset(s->slots, 0, (s->mask + 1U) * sizeof(s->slots[0]));
}
