/* SPDX-License-Identifier: PostgreSQL
 *
 * Parse, and what drops statements by SQL: DEALLOCATE and DISCARD, by Query or by Execute.
 */
#include "config.h"

#include "proxy/sqlstate/statements_walk.h"

#include "base/hot.h"
#include "protocol/deallocate.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"

#define NAMES_MAX 32768                      /* of one session … */
#define BYTES_MAX ((size_t)16 * 1024 * 1024) /* … and with their texts */

/* ---- DEALLOCATE ---- */

/* The name that a text DEALLOCATEs, if it is one of ours; *step says whether to go on. */
static HOT struct name *
deallocated(struct walk *w, struct slice sql, enum step *step)
{
	struct deallocate d;
	enum deallocate_what kind = deallocate_read(sql, &d);
	struct name *name;

	if (kind == DEALLOCATE_ALL && names_must_wait(w->c))
		*step = STEP_WAIT;
	if (kind != DEALLOCATE_ONE)
		return NULL;
	name = name_find(w->c, slice_of(d.name, d.n));
	if (walk_must_wait(w->c, name))
		*step = STEP_WAIT;
	return name != NULL && name->view != NULL ? name : NULL;
}

static void
put_deallocate(struct buf *b, const struct slot *dummy)
{
	buf_str(b, "DEALLOCATE ");
	buf_slice(b, slot_name(dummy));
	buf_u8(b, 0);
}

static void
query_deallocates(struct walk *w, size_t total, struct name *name)
{
	struct act act = { .what = ACT_DROP, .is_query = true, .name = name };
	size_t at;

	walk_drop(w, total);
	act.slot = walk_dummy_in_front(w);
	at = buf_message(w->out, MSG_QUERY);
	put_deallocate(w->out, act.slot);
	buf_message_end(w->out, at);
	name_expect(w->c, name, NULL);
	walk_await(w, MSG_QUERY, &act);
}

/* A Parse without a name; the Execute is to come. */
static void
parse_deallocates(struct walk *w, size_t total, const struct message_parse *m, struct name *name)
{
	struct statements *c = w->c;
	size_t at;

	walk_drop(w, total);
	slot_discard(c->ss, c->drop_slot);
	c->drop = name;
	c->drop_slot = walk_dummy_in_front(w);
	at = buf_message(w->out, MSG_PARSE);
	buf_u8(w->out, 0);
	put_deallocate(w->out, c->drop_slot);
	buf_u16(w->out, m->types_n);
	buf_slice(w->out, m->types);
	buf_message_end(w->out, at);
}

enum step
walk_on_execute(struct walk *w, size_t total)
{
	struct statements *c = w->c;
	struct act act = { .what = ACT_DROP, .name = c->drop, .slot = c->drop_slot };
	struct slice portal;

	if (!walk_read_name(w->at + FRAME_HEAD_BYTES, walk_head_end(w, total), &portal))
		return walk_no_head(w, total, MSG_EXECUTE);
	if (c->drop != NULL) {
		c->drop = NULL;
		c->drop_slot = NULL;
		name_expect(c, act.name, NULL);
		walk_await(w, MSG_EXECUTE, &act);
	} else if (c->portal_drops && statement_hash(c->table, portal) == c->portal_hash) {
		if (names_must_wait(c))
			return STEP_WAIT;
		act.what = ACT_RESET;
		names_expect_none(c, &act);
		walk_await(w, MSG_EXECUTE, &act);
	} else {
		walk_await(w, MSG_EXECUTE, NULL);
	}
	walk_pass(w, total);
	return STEP_ON;
}

/* ---- Parse ---- */

/* A Parse of the client's. */
struct prepare {
	struct slice name;
	struct statement *st; /* one reference */
	struct slice tail;    /* as much as there is */
	size_t tail_n;        /* all of it */
	size_t head_n;        /* type, length and name */
};

static void
parse_under(struct walk *w, const struct prepare *m, struct slice server)
{
	walk_drop(w, m->head_n);
	walk_put_parse(w->out, server, slice_of("", 0), m->tail_n);
	walk_pass(w, m->tail_n);
}

/* The client has this name already: it is the server that says so, of one that it has. */
static void
parse_again(struct walk *w, const struct prepare *m, struct act *act)
{
	struct slot *there = slot_find(w->c->ss, act->name->view);

	act->what = ACT_AGAIN;
	act->dummy = there == NULL;
	walk_flush(w);
	act->slot = there == NULL ? walk_dummy_in_front(w) : slot_like(there);
	slot_stands_for(act->slot, m->st);
	name_expect(w->c, act->name, m->st);
	walk_await(w, MSG_PARSE, act);
	parse_under(w, m, slot_name(act->slot));
}

static void
parse_new(struct walk *w, const struct prepare *m, struct act *act)
{
	struct statements *c = w->c;
	bool there = slot_find(c->ss, m->st) != NULL && !c->doubt;
	bool cannot_fail = exchange_pending(c->exchange) == 0 && c->ended_here == 0 &&
			   exchange_tx_status(c->exchange) != 'E';

	name_expect(c, act->name, m->st);
	if (there && cannot_fail) {
		act->what = ACT_KNOWN;
		walk_await(w, MSG_CLOSE, act);
		walk_drop(w, m->head_n + m->tail_n);
		walk_put_target(w->out, MSG_CLOSE, SLICE_LITERAL(STATEMENTS_NOWHERE));
		return;
	}
	walk_flush(w);
	act->what = ACT_NAME;
	act->slot = walk_open_slot(w, m->st, &act->old);
	walk_await(w, MSG_PARSE, act);
	parse_under(w, m, slot_name(act->slot));
}

/* Takes m->st. */
static enum step
parse_named(struct walk *w, const struct prepare *m)
{
	struct statements *c = w->c;
	struct name *name = name_find(c, m->name);
	struct act act = { .st = m->st };
	struct statement *meant = name != NULL && name->view != NULL ? name->view : m->st;

	if (walk_must_wait(c, name) || walk_slot_must_wait(c, slot_find(c->ss, meant))) {
		statement_unref(m->st);
		return STEP_WAIT;
	}
	if (c->nnames >= NAMES_MAX || c->bytes > BYTES_MAX) {
		statement_unref(m->st);
		c->why = "Too many prepared statements.";
		return STEP_BAD;
	}
	act.name = name != NULL ? name : name_need(c, m->name);
	if (act.name->view != NULL)
		parse_again(w, m, &act);
	else
		parse_new(w, m, &act);
	return STEP_ON;
}

/* Takes m->st. */
static enum step
parse_unnamed(struct walk *w, const struct prepare *m)
{
	struct act act = { .what = ACT_UNNAMED, .st = m->st };

	unnamed_expect(w->c);
	w->c->unnamed_there = 1;
	w->c->unnamed_bound = w->c->unnamed_again = 0;
	w->c->unnamed_drops = m->st->drops_all;
	walk_await(w, MSG_PARSE, &act);
	walk_note_statement(w, m->st);
	walk_pass(w, m->head_n + m->tail_n);
	return STEP_ON;
}

/* Names pass as they are (max_prepared_statements = 0), or the message is not one. */
static enum step
parse_as_it_is(struct walk *w, size_t total, bool named)
{
	struct act act = { .what = ACT_PASS };

	w->c->own |= named;
	walk_await(w, MSG_PARSE, &act);
	walk_pass(w, total);
	return STEP_ON;
}

static void
begin_parse(struct prepare *m, const struct walk *w, size_t total)
{
	m->head_n = (size_t)(m->name.p + m->name.n + 1 - w->at);
	m->tail_n = total - m->head_n;
	m->tail = slice_of(w->at + m->head_n, m->tail_n);
}

static enum step
on_long_parse(struct walk *w, size_t total)
{
	struct prepare m;

	if (!walk_read_name(w->at + FRAME_HEAD_BYTES, walk_head_end(w, total), &m.name))
		return walk_no_head(w, total, MSG_PARSE);
	if (m.name.n > 0 && w->c->as_is)
		return parse_as_it_is(w, total, true);
	begin_parse(&m, w, total);
	m.st = statement_of_length(w->c->table);
	return m.name.n > 0 ? parse_named(w, &m) : parse_unnamed(w, &m);
}

enum step
walk_on_parse(struct walk *w, size_t total)
{
	struct message_parse text;
	struct prepare m;
	struct name *dropped;
	enum step step = STEP_ON;

	if (total > STATEMENTS_TEXT_MAX)
		return on_long_parse(w, total);
	if (walk_left(w) < total)
		return STEP_MORE;
	if (message_parse_parse(slice_of(w->at + FRAME_HEAD_BYTES, total - FRAME_HEAD_BYTES),
				&text) != PARSE_DONE)
		return parse_as_it_is(w, total, false);
	if (text.name.n > 0 && w->c->as_is)
		return parse_as_it_is(w, total, true);
	m.name = text.name;
	begin_parse(&m, w, total);
	dropped = m.name.n == 0 ? deallocated(w, text.sql, &step) : NULL;
	if (step == STEP_WAIT)
		return STEP_WAIT;
	m.st = walk_statement(w, m.tail, text.sql);
	if (m.name.n > 0)
		return parse_named(w, &m);
	if (dropped == NULL)
		return parse_unnamed(w, &m);
	parse_deallocates(w, total, &text, dropped);
	m.head_n = m.tail_n = 0;
	return parse_unnamed(w, &m);
}

/* ---- Query ---- */

/* False: it is not listed; the statement without a name is taken as gone. */
static bool
query_begins(struct walk *w, struct slice sql)
{
	struct statements *c = w->c;

	walk_note_effects(w, sqleffects(sql), sql);
	c->unnamed_there = 1; /* there is none any more */
	c->unnamed_again = 0;
	if (!is_listed(c)) {
		unnamed_set(c, NULL);
		return false;
	}
	unnamed_expect(c);
	return true;
}

HOT enum step
walk_on_query(struct walk *w, size_t total)
{
	struct slice sql = { .n = 0 };
	bool is_long = total > STATEMENTS_TEXT_MAX;
	struct act act = { .what = ACT_QUERY };
	struct deallocate unused;
	struct name *dropped = NULL;
	enum step step = STEP_ON;

	if (!is_long && walk_left(w) < total)
		return STEP_MORE;
	if (is_long)
		walk_note_effects(w, EFFECT_UNKNOWN, sql);
	else if (walk_read_name(w->at + FRAME_HEAD_BYTES, w->at + total, &sql))
		dropped = deallocated(w, sql, &step);
	if (step == STEP_WAIT)
		return STEP_WAIT;
	/* an error before it in an open sequence has it discarded */
	if (dropped != NULL || w->open)
		walk_list(w);
	act.is_query = query_begins(w, sql);
	if (dropped != NULL) {
		query_deallocates(w, total, dropped);
		total = 0;
	} else if (deallocate_read(sql, &unused) == DEALLOCATE_ALL) {
		act.what = ACT_RESET;
		names_expect_none(w->c, &act);
		walk_await(w, MSG_QUERY, &act);
	} else {
		walk_await(w, MSG_QUERY, act.is_query ? &act : NULL);
	}
	walk_end_sequence(w, total);
	return STEP_ON;
}
