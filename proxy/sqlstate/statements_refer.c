/* SPDX-License-Identifier: PostgreSQL
 *
 * Bind, Describe and Close: which statement a client's name stands for, and what the server calls
 * it.
 */
#include "config.h"

#include "proxy/sqlstate/statements_walk.h"

#include <stdlib.h>

#include "protocol/message.h"
#include "protocol/sqleffects.h"

/* ---- references: Bind, Describe ---- */

/* The statement without a name: the server's is the client's from here on. */
static enum step
refer_unnamed(struct walk *w)
{
	struct act act = { .what = ACT_OURS_UNNAMED };
	struct statements *c = w->c;

	if (walk_is_open_before(c, c->unnamed_pending, c->unnamed_seq))
		return STEP_WAIT;
	if (c->unnamed_pending == 0)
		c->unnamed_drops = c->unnamed != NULL && c->unnamed->drops_all;
	if (c->unnamed_there)
		return STEP_ON;
	walk_flush(w);
	unnamed_expect(c);
	c->unnamed_there = c->unnamed_again = 1;
	if (c->unnamed != NULL && c->unnamed->repeatable) {
		walk_put_parse(w->out, slice_of("", 0), statement_tail(c->unnamed), c->unnamed->n);
		walk_await(w, MSG_PARSE, &act);
	} else {
		walk_put_target(w->out, MSG_CLOSE, slice_of("", 0));
		walk_await(w, MSG_CLOSE, &act);
	}
	return STEP_ON;
}

/* A name that we do not know: made in SQL, or wrong. Ours are not for clients. */
static struct slice
stray(struct walk *w, struct slice text)
{
	w->c->strayed = 1;
	if (!w->c->own && slice_starts(text, STATEMENTS_PREFIX))
		return SLICE_LITERAL(STATEMENTS_NOWHERE);
	return text;
}

/* A statement is to be prepared anew: by what its text means today. */
static struct statement *
renew(struct walk *w, struct name *name)
{
	struct statement *st = name->st, *now;

	if (name->pending > 0 || (st->meaning == w->meaning && !w->c->shadowed))
		return name->view;
	now = walk_statement(w, statement_tail(st), st->sql);
	name_renew(w->c, name, now);
	return now;
}

/* It was prepared before the temporary tables that there are now: PostgreSQL looks anew where they
 * are the first of a connection, and this one may have had others'. */
static bool
is_shadowed(const struct walk *w, const struct name *name)
{
	return w->c->shadowed && name->view->era != w->c->era && name->view->repeatable;
}

/* The client relies on what Describe has said of the statement, perhaps elsewhere, and long ago.
 * What this server has must be the same: it is asked, once, and refuses what has changed since. */
static enum step
verify(struct walk *w, const struct name *name, struct slot *slot)
{
	struct act act = { .what = ACT_OUR_SHAPE };

	/* of what this sequence has put in its place the client has not been told */
	if (slot->shape == name->shape || name->view != name->st)
		return STEP_ON;
	if (slot->asked)
		return STEP_WAIT;
	walk_flush(w);
	if (slot->shape != 0) {
		walk_put_refused(w);
		return STEP_ON;
	}
	slot->asked = true;
	act.st = statement_ref(slot->st);
	walk_put_target(w->out, MSG_DESCRIBE, slot_name(slot));
	message_put_bare(w->out, MSG_FLUSH);
	walk_await(w, MSG_DESCRIBE, &act);
	return STEP_WAIT;
}

enum use { DESCRIBES, RUNS, RUNS_DESCRIBED };

/* A statement as the client's message names it. */
struct reference {
	/* what the server calls it, which has it; or the client's own word, where we do not know it
	 */
	struct slice server;
	struct name *name; /* NULL: not known, or without one */
};

static enum step
refer(struct walk *w, struct slice text, enum use how, struct reference *out)
{
	struct statements *c = w->c;
	struct name *name = text.n > 0 ? name_find(c, text) : NULL;
	struct slot *slot;

	*out = (struct reference){ .server = text };
	if (text.n == 0)
		return refer_unnamed(w);
	if (walk_must_wait(c, name))
		return STEP_WAIT;
	if (name == NULL || name->view == NULL) {
		/* one that has passed by its own name keeps the session where it is anyway */
		if (how != DESCRIBES && !c->own)
			walk_note_effects(w, EFFECT_UNKNOWN, slice_of("", 0));
		out->server = stray(w, text);
		return STEP_ON;
	}
	if (is_shadowed(w, name))
		(void)renew(w, name);
	slot = slot_find(c->ss, name->view);
	if (slot == NULL && name->view->repeatable)
		slot = slot_find(c->ss, renew(w, name));
	if (walk_slot_must_wait(c, slot))
		return STEP_WAIT;
	if (slot != NULL)
		slot_touch(c->ss, slot);
	else if (name->view->repeatable)
		slot = walk_parse_in_front(w, name->view);
	if (how != DESCRIBES)
		walk_note_statement(w, name->view);
	if (how == RUNS && name->shape != 0 && slot != NULL && verify(w, name, slot) == STEP_WAIT)
		return STEP_WAIT;
	out->name = name;
	out->server = slot != NULL ? slot_name(slot) : SLICE_LITERAL(STATEMENTS_NOWHERE);
	return STEP_ON;
}

/* A DEALLOCATE ALL is bound to a portal, or something else is. */
static void
bound(struct walk *w, struct slice portal, struct slice text, const struct name *name)
{
	struct statements *c = w->c;
	bool drops = name != NULL && name->view->drops_all;
	uint32_t hash;

	if (text.n == 0) {
		drops = c->unnamed_drops;
		c->unnamed_bound = 1;
		if ((c->unnamed_pending == 0 || c->unnamed_again) && c->unnamed != NULL)
			walk_note_statement(w, c->unnamed);
	}
	if (!drops && !c->portal_drops)
		return;
	hash = statement_hash(c->table, portal);
	if (drops || c->portal_hash == hash)
		c->portal_drops = drops;
	if (drops)
		c->portal_hash = hash;
}

/* The message behind this one is a Describe of what has been bound. */
static bool
is_described(const struct walk *w, size_t total)
{
	const char *next = w->at + total;

	return walk_left(w) > total + FRAME_HEAD_BYTES && next[0] == MSG_DESCRIBE &&
	       next[FRAME_HEAD_BYTES] == 'P';
}

enum step
walk_on_bind(struct walk *w, size_t total)
{
	const char *end = walk_head_end(w, total);
	struct slice portal, name;
	struct reference r;
	size_t head;

	if (!walk_read_name(w->at + FRAME_HEAD_BYTES, end, &portal) ||
	    !walk_read_name(portal.p + portal.n + 1, end, &name))
		return walk_no_head(w, total, MSG_BIND);
	if (refer(w, name, is_described(w, total) ? RUNS_DESCRIBED : RUNS, &r) == STEP_WAIT)
		return STEP_WAIT;
	bound(w, portal, name, r.name);
	walk_await(w, MSG_BIND, NULL);
	head = (size_t)(name.p + name.n + 1 - w->at);
	if (r.server.p != name.p) {
		walk_drop(w, head);
		buf_u8(w->out, MSG_BIND);
		buf_u32(w->out, (uint32_t)(total - 1 - name.n + r.server.n));
		buf_put(w->out, portal.p, portal.n + 1);
		buf_slice(w->out, r.server);
		buf_u8(w->out, 0);
		total -= head;
	}
	walk_pass(w, total);
	w->bound = r.name;
	w->portal = portal;
	return STEP_ON;
}

/* Describe and Close: kind and name. */
static bool
read_target(const struct walk *w, size_t total, char *kind, struct slice *name)
{
	const char *end = w->at + total;

	if (total > STATEMENTS_HEAD_MAX || walk_left(w) < total || total < FRAME_HEAD_BYTES + 2)
		return false;
	*kind = w->at[FRAME_HEAD_BYTES];
	return walk_read_name(w->at + FRAME_HEAD_BYTES + 1, end, name) &&
	       name->p + name->n + 1 == end;
}

/* What the answer says is kept, where there is a name to keep it for. */
static void
described(struct walk *w, struct name *name)
{
	struct act act = { .what = ACT_SHAPE, .name = name };

	if (name == NULL) {
		walk_await(w, MSG_DESCRIBE, NULL);
		return;
	}
	act.st = statement_ref(name->view);
	name_expect(w->c, name, name->view);
	walk_await(w, MSG_DESCRIBE, &act);
}

enum step
walk_on_describe(struct walk *w, size_t total)
{
	struct reference r;
	struct slice name;
	char kind;

	if (!read_target(w, total, &kind, &name))
		return walk_no_head(w, total, MSG_DESCRIBE);
	if (kind != 'S') {
		/* what was bound just now; once is enough */
		if (w->bound == NULL || w->bound->shape != 0 || name.n != w->portal.n ||
		    memcmp(name.p, w->portal.p, name.n) != 0)
			w->bound = NULL;
		described(w, w->bound);
		walk_pass(w, total);
		return STEP_ON;
	}
	if (refer(w, name, DESCRIBES, &r) == STEP_WAIT)
		return STEP_WAIT;
	described(w, r.name);
	if (r.server.p == name.p) {
		walk_pass(w, total);
		return STEP_ON;
	}
	walk_drop(w, total);
	walk_put_target(w->out, MSG_DESCRIBE, r.server);
	return STEP_ON;
}

/* ---- Close ---- */

static enum step
on_close_name(struct walk *w, size_t total, struct slice text)
{
	struct act act = { .what = ACT_PASS, .name = name_find(w->c, text) };
	struct slice server = SLICE_LITERAL(STATEMENTS_NOWHERE);

	if (walk_must_wait(w->c, act.name))
		return STEP_WAIT;
	if (act.name == NULL || act.name->view == NULL) {
		act.name = NULL;
		server = stray(w, text);
	} else {
		act.what = ACT_CLOSE;
		name_expect(w->c, act.name, NULL);
	}
	walk_await(w, MSG_CLOSE, &act);
	if (server.p == text.p) {
		walk_pass(w, total);
		return STEP_ON;
	}
	walk_drop(w, total);
	walk_put_target(w->out, MSG_CLOSE, server);
	return STEP_ON;
}

enum step
walk_on_close(struct walk *w, size_t total)
{
	struct act act = { .what = ACT_PASS };
	struct slice name;
	char kind;

	if (!read_target(w, total, &kind, &name))
		return walk_no_head(w, total, MSG_CLOSE);
	if (kind == 'S' && name.n > 0)
		return on_close_name(w, total, name);
	if (kind == 'S') {
		act.what = ACT_CLOSE_UNNAMED;
		unnamed_expect(w->c);
		w->c->unnamed_there = 1;
		w->c->unnamed_again = 0;
	}
	walk_await(w, MSG_CLOSE, &act);
	walk_pass(w, total);
	return STEP_ON;
}
