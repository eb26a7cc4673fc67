/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/worker_int.h"

#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "proxy/process/control.h"
#include "proxy/process/descriptors.h"

struct meridian *
worker_process(struct worker *w)
{
	return w->process;
}

int
worker_id(const struct worker *w)
{
	return w->id;
}

const readtally_list *
worker_reads(const struct worker *w)
{
	return &w->reads;
}

const struct stats *
worker_stats(const struct worker *w)
{
	return &w->stats;
}

unsigned
worker_nsessions(const struct worker *w)
{
	return atomic_load_explicit(&w->nsessions, memory_order_relaxed);
}

const struct fingerprints *
worker_fingerprints(const struct worker *w)
{
	return w->fingerprints;
}

struct loop *
worker_loop(struct worker *w)
{
	return w->loop;
}

void
worker_post(struct worker *w, struct letter *take_letter, letter_fn deliver)
{
	mailbox_post(w->mail, take_letter, deliver);
}

HOT struct world *
worker_world(struct worker *w)
{
	struct world *fresh = snapshot_slot_take(&w->slot);

	if (fresh != NULL) {
		world_unref(w->world);
		w->world = fresh;
		worker_ops.on_world(w);
	}
	return w->world;
}

unsigned
worker_nslots(const struct worker *w)
{
	return w->nslots;
}

struct session *
worker_session_at(const struct worker *w, unsigned slot)
{
	return slot < w->nslots ? w->slots[slot] : NULL;
}

static void
add_slots(struct worker *w)
{
	uint32_t n = w->nslots == 0 ? 64 : w->nslots * 2;

	w->slots = xreallocarray(w->slots, n, sizeof(struct session *));
	memset(w->slots + w->nslots, 0, (n - w->nslots) * sizeof(struct session *));
	w->free_slots = xreallocarray(w->free_slots, n, sizeof(uint32_t));
	for (uint32_t i = n; i > w->nslots; i--)
		w->free_slots[w->nfree++] = i - 1;
	w->nslots = n;
}

HOT uint32_t
worker_take_slot(struct worker *w, struct session *s)
{
	uint32_t i;

	if (w->nfree == 0)
		add_slots(w);
	i = w->free_slots[--w->nfree];
	w->slots[i] = s;
	atomic_fetch_add(&w->nsessions, 1);
	return i;
}

/* The loop goes on: other workers may still ask this one for a session that they look for. */
HOT void
worker_check_done(struct worker *w)
{
	if (!w->draining || w->done || worker_nsessions(w) > 0 || w->ncancels > 0)
		return;
	w->done = true;
	control_worker_done(w->process->control);
}

HOT void
worker_give_slot(struct worker *w, uint32_t slot)
{
	w->slots[slot] = NULL;
	w->free_slots[w->nfree++] = slot;
	atomic_fetch_sub(&w->nsessions, 1);
	descriptors_refill(w->process->descriptors);
	worker_check_done(w);
}
