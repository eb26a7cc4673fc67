/* SPDX-License-Identifier: PostgreSQL
 *
 * What the walk through a client's messages is made of: what goes out, what is awaited, when to
 * wait, and the Parses and Closes of our own.
 */
#include "config.h"

#include "proxy/sqlstate/statements_walk.h"

#include "base/hot.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"

/* ---- what goes out ---- */

/* What stands before `at` goes out as it is. */
void
walk_flush(struct walk *w)
{
	if (w->at > w->from)
		buf_put(w->out, w->from, (size_t)(w->at - w->from));
	w->from = w->at;
}

/* The next n bytes, of which not all need be here yet, pass. */
void
walk_pass(struct walk *w, size_t n)
{
	size_t here = walk_left(w) < n ? walk_left(w) : n;

	w->at += here;
	w->c->left = (uint32_t)(n - here);
}

/* The next n bytes do not go out. */
void
walk_drop(struct walk *w, size_t n)
{
	walk_flush(w);
	w->at += n;
	w->from = w->at;
}

void
walk_put_parse(struct buf *b, struct slice name, struct slice tail, size_t tail_n)
{
	buf_u8(b, MSG_PARSE);
	buf_u32(b, (uint32_t)(4 + name.n + 1 + tail_n));
	buf_slice(b, name);
	buf_u8(b, 0);
	buf_slice(b, tail);
}

void
walk_put_target(struct buf *b, enum message_type type, struct slice name)
{
	buf_u8(b, (uint8_t)type);
	buf_u32(b, (uint32_t)(4 + 1 + name.n + 1));
	buf_u8(b, 'S');
	buf_slice(b, name);
	buf_u8(b, 0);
}

/* ---- what is awaited ---- */

void
walk_list(struct walk *w)
{
	w->c->lists = 1;
}

HOT void
walk_await(struct walk *w, char type, const struct act *take_act)
{
	w->open = true;
	w->c->said += type != MSG_FLUSH;
	if (take_act != NULL) {
		walk_list(w);
		acts_add(w->c, take_act);
	}
}

bool
walk_must_doubt(struct statements *c)
{
	if (c->doubt && is_settled(c, c->doubt_from))
		c->doubt_from = c->doubt_seq;
	if (c->doubt && is_settled(c, c->doubt_seq))
		c->doubt = 0;
	return c->doubt;
}

/* Whether names can be relied on. */
bool
walk_must_wait(struct statements *c, const struct name *name)
{
	if (walk_must_doubt(c) && c->doubt_from != c->seq)
		return true;
	return name != NULL && walk_is_open_before(c, name->pending, name->seq);
}

bool
walk_slot_must_wait(const struct statements *c, const struct slot *slot)
{
	return slot != NULL && walk_is_open_before(c, !slot->confirmed, slot->seq);
}

/* ---- what texts may do ---- */

/* Whether all statements are gone behind this. */
HOT void
walk_note(struct walk *w, unsigned effects)
{
	struct statements *c = w->c;

	c->effects |= effects;
	if (statements_change_meaning(effects))
		w->meaning = 0;
	if (effects & EFFECTS_ON_MEANING)
		w->meaning = 0;
	if (effects & EFFECTS_THAT_SHADOW)
		statements_shadow(c, true);
	if (effects & (EFFECT_RESET_ALL | EFFECT_UNKNOWN)) {
		if (!walk_must_doubt(c))
			c->doubt_from = c->seq;
		c->doubt = 1;
		c->doubt_seq = c->seq;
		walk_list(w);
	}
}

HOT void
walk_note_effects(struct walk *w, unsigned effects, struct slice sql)
{
	walk_note(w, effects);
	if (effects & EFFECT_SETTINGS)
		sqleffects_names(sql, &w->c->settings);
}

void
walk_note_statement(struct walk *w, struct statement *st)
{
	if (st->effects == 0)
		return;
	walk_note(w, st->effects);
	/* one read may run it thousands of times */
	if (st->noted != w->number)
		sqleffects_put_names(&w->c->settings, slice_of(st->names, st->names_n));
	st->noted = w->number;
}

/* ---- what texts mean ---- */

struct statement *
walk_statement(struct walk *w, struct slice tail, struct slice sql)
{
	struct statements *c = w->c;
	struct statement *st;

	st = statement_get(c->table, c->shadowed ? 0 : w->meaning, tail, sql);
	if (c->shadowed)
		st->era = c->era;
	return st;
}

/* ---- heads of messages ---- */

/* The string at p, which must end before `end`. */
HOT bool
walk_read_name(const char *p, const char *end, struct slice *out)
{
	const char *nul = end > p ? memchr(p, '\0', (size_t)(end - p)) : NULL;

	if (nul == NULL)
		return false;
	*out = slice_of(p, (size_t)(nul - p));
	return true;
}

/* The end of what there is of a message, or of what its names may reach to. */
const char *
walk_head_end(const struct walk *w, size_t total)
{
	size_t n = walk_left(w) < total ? walk_left(w) : total;

	return w->at + (n < STATEMENTS_HEAD_MAX ? n : STATEMENTS_HEAD_MAX);
}

/* No name where one should be: wait for it, or let the server judge. */
enum step
walk_no_head(struct walk *w, size_t total, char type)
{
	struct act act = { .what = ACT_PASS };

	if (walk_left(w) < total && walk_left(w) < STATEMENTS_HEAD_MAX)
		return STEP_MORE;
	walk_await(w, type, type == MSG_PARSE || type == MSG_CLOSE ? &act : NULL);
	walk_pass(w, total);
	return STEP_ON;
}

/* ---- Parses and Closes of ours ---- */

/* A slot whose Parse goes out now; `old` is what it takes the place of. */
struct slot *
walk_open_slot(struct walk *w, struct statement *st, struct slot **old)
{
	struct act evicts = { .what = ACT_EVICT };
	struct slot *slot;

	while ((evicts.slot = slot_take_victim(w->c->ss)) != NULL) {
		walk_put_target(w->out, MSG_CLOSE, slot_name(evicts.slot));
		walk_await(w, MSG_CLOSE, &evicts);
	}
	slot = slot_new(w->c->ss, st);
	slot->seq = w->c->seq;
	*old = slot_link(w->c->ss, slot);
	return slot;
}

struct slot *
walk_parse_in_front(struct walk *w, struct statement *st)
{
	struct act act = { .what = ACT_OURS };

	walk_flush(w);
	act.slot = walk_open_slot(w, st, &act.old);
	walk_put_parse(w->out, slot_name(act.slot), statement_tail(st), st->n);
	walk_await(w, MSG_PARSE, &act);
	return act.slot;
}

/* An empty text can be parsed in a failed transaction, too. */
struct slot *
walk_dummy_in_front(struct walk *w)
{
	static const char empty[] = { '\0', '\0', '\0' };
	struct act act = { .what = ACT_DUMMY };
	struct slot *dummy = slot_new(w->c->ss, NULL);

	walk_put_parse(w->out, slot_name(dummy), slice_of(empty, sizeof(empty)), sizeof(empty));
	walk_await(w, MSG_PARSE, &act);
	return dummy;
}

void
walk_put_refused(struct walk *w)
{
	struct act act = { .what = ACT_REFUSE };
	char text[300 + 3];

	/* one long word: the syntax error repeats it, and leaves room for another error */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 3] = text[sizeof(text) - 2] = text[sizeof(text) - 1] = '\0';
	walk_put_parse(w->out, SLICE_LITERAL(STATEMENTS_NOWHERE), slice_of(text, sizeof(text)),
		       sizeof(text));
	walk_await(w, MSG_PARSE, &act);
}

/* ---- the ends of sequences ---- */

HOT void
walk_forget_drop(struct statements *c)
{
	if (c->drop_slot != NULL)
		slot_discard(c->ss, c->drop_slot);
	c->drop = NULL;
	c->drop_slot = NULL;
}

HOT void
walk_end_sequence(struct walk *w, size_t total)
{
	walk_forget_drop(w->c);
	w->c->portal_drops = 0;
	w->c->seq++;
	w->c->ended_here++;
	w->open = false;
	walk_pass(w, total);
}
