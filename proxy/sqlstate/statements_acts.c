/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client has prepared, and how it changes when the server has answered: the names, the
 * statement without one, and the ends of acts.
 */
#include "config.h"

#include "proxy/sqlstate/statements_int.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"

/* What DEALLOCATE ALLs that are under way may have to end: the names of two sessions that have as
 * many as may be, or of a thousand that have none. */
#define ALL_MAX   65536
#define ALL_LEAST 64

/* ---- names ---- */

static size_t
weight(const struct statement *st)
{
	return st != NULL ? sizeof(*st) + st->n + st->names_n : 0;
}

/* All entries of a session's table are that large: statements_new(). NULL: it is none of ours. */
static struct name *
name_of(struct prepared *p)
{
	return p != NULL && p->is_taken ? (struct name *)p : NULL;
}

struct name *
name_find(const struct statements *c, struct slice text)
{
	return name_of(prepared_find(c->names, text));
}

struct name *
name_need(struct statements *c, struct slice text)
{
	struct prepared *p = prepared_need(c->names, text);

	if (p->is_taken)
		return name_of(p);
	p->is_taken = true;
	c->nnames++;
	c->bytes += prepared_bytes(c->names, p);
	return name_of(p);
}

void
name_expect(struct statements *c, struct name *name, struct statement *view)
{
	name->pending++;
	name->seq = c->seq;
	name->view = view;
	if (view != NULL)
		c->none = 0;
}

/* What its name stood for and cannot be repeated is of no use on the server any more. */
static void
forget_long(struct statements *c, struct statement *st)
{
	struct slot *slot;

	if (st == NULL || st->repeatable)
		return;
	c->longs--;
	slot = c->ss != NULL ? slot_find(c->ss, st) : NULL;
	if (slot == NULL)
		return;
	slot_unlink(c->ss, slot);
	slot_discard(c->ss, slot);
}

static void
stand_for(struct statements *c, struct name *name, struct statement *take_st)
{
	if (name->st != NULL)
		LIST_REMOVE(name, standing);
	name->st = take_st;
	name->withdrawn = false;
	if (take_st != NULL)
		LIST_INSERT_HEAD(&c->standing, name, standing);
}

static void
put_statement(struct statements *c, struct name *name, struct statement *st)
{
	struct statement *old = name->st;

	c->bytes += weight(st) - weight(old);
	c->longs += st != NULL && !st->repeatable;
	if (st != old)
		name->shape = 0;
	stand_for(c, name, st != NULL ? statement_ref(st) : NULL);
	forget_long(c, old);
	statement_unref(old);
}

void
name_renew(struct statements *c, struct name *name, struct statement *take_st)
{
	struct statement *old = name->st;

	stand_for(c, name, take_st);
	name->view = take_st;
	statement_unref(old);
}

/* Each is looked at once: who makes errors makes no work. */
void
names_withdraw(struct statements *c)
{
	struct name *name;

	LIST_FOREACH (name, &c->standing, standing) {
		if (name->withdrawn)
			return;
		statement_withdraw(name->st);
		name->withdrawn = true;
	}
}

/* Nothing is pending: it is what it is, or not at all. */
static void
settle(struct statements *c, struct name *name)
{
	if (name->pending > 0)
		return;
	name->view = name->st;
	if (name->st != NULL) {
		c->none = c->ended = 0;
		return;
	}
	c->nnames--;
	c->bytes -= prepared_bytes(c->names, &name->prepared);
	if (c->drop == name)
		c->drop = NULL;
	name->shape = 0;
	name->prepared.is_taken = false;
	prepared_release(c->names, &name->prepared);
}

static void
end_name(struct statements *c, const struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE)
		put_statement(c, a->name, a->st);
	a->name->pending--;
	settle(c, a->name);
}

/* DEALLOCATE ALL or DISCARD ALL has run. What is pending comes behind it. */
void
names_forget_all(struct statements *c)
{
	struct name *name;
	struct slot *slot;

	while ((name = LIST_FIRST(&c->standing)) != NULL) {
		put_statement(c, name, NULL);
		settle(c, name);
	}
	while ((slot = TAILQ_FIRST(&c->ss->used)) != NULL) {
		slot_unlink(c->ss, slot);
		slot_free(slot);
	}
	while ((slot = TAILQ_FIRST(&c->ss->surplus)) != NULL) {
		TAILQ_REMOVE(&c->ss->surplus, slot, all);
		slot_free(slot);
	}
	for (uint32_t i = c->acts.head; c->stale && i < c->acts.n; i++) {
		slot_free(c->acts.v[i].old);
		c->acts.v[i].old = NULL;
		c->acts.v[i].done |= c->acts.v[i].what == ACT_EVICT;
	}
	c->stale = 0;
	if (c->own)
		c->effects |=
		    EFFECT_UNKNOWN; /* the texts that were not read may have done anything */
	c->own = 0;
}

/* What is there already in this sequence: where it fails, what comes behind it is not done. */
static uint32_t
expected_here(const struct statements *c)
{
	return c->all_seq == c->seq ? c->all_here : 0;
}

/* For answers to sequences that are whole: others may come when the rest of theirs has been sent.
 */
bool
names_must_wait(const struct statements *c)
{
	return c->all > expected_here(c) && c->all + c->nnames > ALL_MAX;
}

static void
expect_gone(struct statements *c, struct act *act, struct name *name)
{
	if (name->pending > 0 && name->view == NULL && name->seq == c->seq)
		return;
	act->all[act->nall++] = name;
	name_expect(c, name, NULL);
}

/* Those that have come behind the last one of this sequence; SIZE_MAX: it is not there any more. */
static size_t
acts_since(const struct statements *c)
{
	for (uint32_t i = c->acts.n; i > c->acts.head; i--) {
		if (c->acts.v[i - 1].what == ACT_RESET)
			return c->acts.n - i;
	}
	return SIZE_MAX;
}

void
names_expect_none(struct statements *c, struct act *act)
{
	uint32_t here = expected_here(c);
	size_t since = here > 0 && !c->none && c->ended ? acts_since(c) : SIZE_MAX;

	if (since != SIZE_MAX) {
		const struct act *from = c->acts.v + (c->acts.n - since);

		act->all = xreallocarray(NULL, since + 1, sizeof(struct name *));
		for (size_t i = 0; i < since; i++) {
			if (from[i].name != NULL)
				expect_gone(c, act, from[i].name);
		}
	} else if (here == 0 || !c->none) {
		struct prepared *p, *next;

		act->all = xreallocarray(NULL, c->nnames + 1, sizeof(struct name *));
		HASH_ITER(hh, c->names->by_name, p, next)
		{
			if (p->is_taken)
				expect_gone(c, act, name_of(p));
		}
	}
	if (act->all != NULL)
		act->all = xreallocarray(act->all, act->nall + 1, sizeof(struct name *));
	c->none = c->ended = 1;
	c->all += (uint32_t)act->nall + ALL_LEAST;
	c->all_here = here + (uint32_t)act->nall + ALL_LEAST;
	c->all_seq = c->seq;
}

HOT void
names_fini(struct statements *c)
{
	struct prepared *p, *next;

	HASH_ITER(hh, c->names->by_name, p, next)
	{
		struct name *name = name_of(p);

		if (name == NULL)
			continue;
		BUG_ON(name->pending > 0);
		put_statement(c, name, NULL);
		settle(c, name);
	}
}

/* ---- the statement without a name ---- */

void
unnamed_expect(struct statements *c)
{
	c->unnamed_pending++;
	c->unnamed_seq = c->seq;
}

HOT void
unnamed_set(struct statements *c, struct statement *st)
{
	struct statement *old = c->unnamed;

	c->unnamed = st != NULL ? statement_ref(st) : NULL;
	statement_unref(old);
}

/* What should have made it the server's has not been; what follows may have. */
static void
unnamed_unsettle(struct statements *c)
{
	if (c->unnamed_pending == 0)
		c->unnamed_there = 0;
}

/* ---- acts ---- */

static void
end_parse_slot(struct statements *c, struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE) {
		slot_confirm(c->ss, a->slot);
		if (a->slot->displaced)
			slot_discard(c->ss, a->slot);
		slot_discard(c->ss, a->old);
		return;
	}
	if (!a->slot->displaced)
		slot_unlink(c->ss, a->slot);
	slot_free(a->slot);
	slot_restore(c->ss, a->old);
}

static void
end_own_name(struct statements *c, struct act *a, enum request_outcome e)
{
	end_parse_slot(c, a, e);
	end_name(c, a, e);
}

/* Its slot is not linked: the server is expected to refuse. */
static void
end_again(struct statements *c, struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE) {
		a->slot->confirmed = true;
		slot_restore(c->ss, a->slot);
	} else if (a->dummy) {
		slot_stands_for(a->slot, NULL);
		slot_discard(c->ss, a->slot);
	} else {
		slot_free(a->slot);
	}
	end_name(c, a, e);
}

static void
end_plain_name(struct statements *c, struct act *a, enum request_outcome e)
{
	end_name(c, a, e);
}

/* A Parse that fails has dropped the one before ("exec_parse_message"); one that was skipped has
 * not. */
static void
end_unnamed(struct statements *c, struct act *a, enum request_outcome e)
{
	c->unnamed_pending--;
	if (e == REQUEST_SKIPPED)
		unnamed_unsettle(c);
	else
		unnamed_set(c, e == REQUEST_DONE ? a->st : NULL);
}

static void
end_our_unnamed(struct statements *c, struct act *a, enum request_outcome e)
{
	(void)a;
	c->unnamed_pending--;
	if (e != REQUEST_DONE)
		unnamed_unsettle(c);
}

static void
end_evict(struct statements *c, struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE || a->done)
		slot_free(a->slot);
	else
		slot_restore(c->ss, a->slot);
}

static void
end_drop(struct statements *c, struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE)
		slot_free(a->slot);
	else
		slot_discard(c->ss, a->slot);
	end_name(c, a, e);
}

/* If it has run, its tag has had its effect already. */
static void
end_reset(struct statements *c, struct act *a, enum request_outcome e)
{
	(void)e;
	for (size_t i = 0; i < a->nall; i++) {
		a->all[i]->pending--;
		settle(c, a->all[i]);
	}
	c->all -= (uint32_t)a->nall + ALL_LEAST;
	free(a->all);
}

static void
learn_shape(struct statements *c, const struct statement *st, bool known)
{
	struct slot *slot = slot_find(c->ss, st);

	if (slot == NULL)
		return;
	slot->asked = false;
	if (known)
		slot->shape = c->shape;
}

static void
end_shape(struct statements *c, struct act *a, enum request_outcome e)
{
	if (e == REQUEST_DONE) {
		learn_shape(c, a->st, true);
		if (a->name->st == a->st)
			a->name->shape = c->shape;
	}
	a->name->pending--;
	settle(c, a->name);
}

static void
end_our_shape(struct statements *c, struct act *a, enum request_outcome e)
{
	learn_shape(c, a->st, e == REQUEST_DONE);
}

/* `instead` is what the client reads in place of the reply: the reply, nothing (0), another. */
static const struct {
	void (*end)(struct statements *c, struct act *a, enum request_outcome e);
	char instead;
} acts[] = {
	[ACT_PASS] = { NULL, REPLY_PASSES },
	[ACT_NAME] = { end_own_name, REPLY_PASSES },
	[ACT_AGAIN] = { end_again, REPLY_PASSES },
	[ACT_KNOWN] = { end_plain_name, MSG_PARSE_COMPLETE },
	[ACT_UNNAMED] = { end_unnamed, REPLY_PASSES },
	[ACT_CLOSE] = { end_plain_name, REPLY_PASSES },
	[ACT_CLOSE_UNNAMED] = { end_unnamed, REPLY_PASSES },
	[ACT_DROP] = { end_drop, REPLY_PASSES },
	[ACT_RESET] = { end_reset, REPLY_PASSES },
	[ACT_OURS] = { end_parse_slot, REPLY_GOES },
	[ACT_OURS_UNNAMED] = { end_our_unnamed, REPLY_GOES },
	[ACT_EVICT] = { end_evict, REPLY_GOES },
	[ACT_DUMMY] = { NULL, REPLY_GOES },
	[ACT_SHAPE] = { end_shape, REPLY_PASSES },
	[ACT_OUR_SHAPE] = { end_our_shape, REPLY_GOES },
	[ACT_REFUSE] = { NULL, REPLY_PASSES },
	[ACT_QUERY] = { NULL, REPLY_PASSES },
};

void
act_end(struct statements *c, struct act *a, enum request_outcome e)
{
	if (acts[a->what].end != NULL)
		acts[a->what].end(c, a, e);
	statement_unref(a->st);
}

char
act_instead(enum act_what what)
{
	return acts[what].instead;
}
