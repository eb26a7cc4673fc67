/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/cancelkeys.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/hot.h"
#include "base/mem.h"

#define FREE UINT32_MAX
#define GONE (UINT32_MAX - 1) /* was used: a search goes on behind it */

struct entry {
	uint32_t head; /* first four bytes of the secret */
	uint32_t slot;
};

struct cancel_keys {
	struct entry *v;
	uint32_t size; /* a power of two */
	uint32_t used; /* entries that are not FREE */
	uint32_t live;
};

static void
set_size(struct cancel_keys *k, uint32_t size)
{
	k->v = xreallocarray(NULL, size, sizeof(*k->v));
	k->size = size;
	k->used = k->live = 0;
	for (uint32_t i = 0; i < size; i++)
		k->v[i] = (struct entry){ 0, FREE };
}

struct cancel_keys *
cancelkeys_new(void)
{
	struct cancel_keys *k = xcalloc(1, sizeof(*k));

	set_size(k, 64);
	return k;
}

void
cancelkeys_free(struct cancel_keys *k)
{
	if (k == NULL)
		return;
	free(k->v);
	free(k);
}

/* The secret is random, so its first bytes serve as the hash. */
static void
insert(struct cancel_keys *k, uint32_t head, uint32_t slot)
{
	uint32_t i = head & (k->size - 1);

	while (k->v[i].slot < GONE)
		i = (i + 1) & (k->size - 1);
	if (k->v[i].slot == FREE)
		k->used++;
	k->live++;
	k->v[i] = (struct entry){ head, slot };
}

HOT void
cancelkeys_add(struct cancel_keys *k, const uint8_t *secret, uint32_t slot)
{
	if (k->used >= k->size / 2) {
		struct cancel_keys old = *k;

		set_size(k, old.live >= old.size / 4 ? old.size * 2 : old.size);
		for (uint32_t i = 0; i < old.size; i++) {
			if (old.v[i].slot < GONE)
				insert(k, old.v[i].head, old.v[i].slot);
		}
		free(old.v);
	}
	insert(k, get_u32(secret), slot);
}

HOT void
cancelkeys_remove(struct cancel_keys *k, const uint8_t *secret, uint32_t slot)
{
	uint32_t head = get_u32(secret);

	for (uint32_t i = head & (k->size - 1); k->v[i].slot != FREE; i = (i + 1) & (k->size - 1)) {
		if (k->v[i].head == head && k->v[i].slot == slot) {
			k->v[i].slot = GONE;
			k->live--;
			return;
		}
	}
}

uint32_t
cancelkeys_find(const struct cancel_keys *k, const uint8_t *secret, unsigned n)
{
	uint32_t head = get_u32(secret);

	for (uint32_t i = head & (k->size - 1); k->v[i].slot != FREE; i = (i + 1) & (k->size - 1)) {
		if (k->v[i].head == head && k->v[i].slot < GONE && n-- == 0)
			return k->v[i].slot;
	}
	return UINT32_MAX;
}
