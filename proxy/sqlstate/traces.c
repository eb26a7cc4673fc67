/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/traces.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/calleffects.h"
#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/session_probe.h"

/* Longer texts are not looked into. */
#define TEXT_MAX ((size_t)64 * 1024)
#define NOTHING  slice_of(NULL, 0)

#define CHANGES_FIRST 8

/* A message that may change the statement without a name, and what the statement is when the server
 * has done it. */
struct change {
	enum {
		CHANGE_NONE,    /* it is about another one, or a portal */
		CHANGE_DROP,    /* there is none */
		CHANGE_PARSE,   /* it is the next of `texts` */
		CHANGE_UNKNOWN, /* not known: too long, or not whole yet */
	} to : 8;
	bool discarded; /* nothing will answer it */
	uint16_t bytes; /* in `texts` */
};

struct traces {
	struct buf packet;
	struct buf begun;   /* the beginning of a message that was cut */
	struct buf unnamed; /* the last Parse without a name that the server has done */
	struct buf names;
	struct buf texts; /* of the changes, oldest first */
	struct change *changes;
	size_t head, sent; /* those from `head` to `sent` are in the exchange's list … */
	size_t n, size;    /* … and those from there to `n` go to the server next */
	size_t used;       /* bytes in front, in `texts`, of changes that are over */
	uint64_t ended;    /* counter: changes in front of changes[0] */
	uint64_t part;     /* the number of the change by `begun`, from 1 on; 0: none */
	unsigned effects;
	const struct exchange *exchange; /* that lists them */
	bool doubt; /* a COPY has begun without a list, and something is outstanding since */
	bool lost;  /* of the statement without a name nothing is known */
};

HOT struct traces *
traces_new(struct slice packet)
{
	struct traces *t = xcalloc(1, sizeof(*t));

	t->packet.cap = t->begun.cap = TEXT_MAX;
	t->unnamed.cap = TRACES_PARSE_MAX;
	t->texts.cap = TEXT_MAX;
	t->names.cap = SQLEFFECTS_NAMES_MAX;
	buf_slice(&t->packet, packet);
	return t;
}

HOT void
traces_free(struct traces *t)
{
	if (t == NULL)
		return;
	buf_fini(&t->packet);
	buf_fini(&t->begun);
	buf_fini(&t->unnamed);
	buf_fini(&t->names);
	buf_fini(&t->texts);
	free(t->changes);
	free(t);
}

static bool
may_change_unnamed(char type)
{
	return type == MSG_QUERY || type == MSG_PARSE || type == MSG_CLOSE;
}

/* ---- the statement without a name ---- */

static void
set_unnamed(struct traces *t, struct slice message)
{
	buf_clear(&t->unnamed);
	buf_slice(&t->unnamed, message);
	t->lost = t->unnamed.failed;
	t->unnamed.failed = false;
}

/* Of a message that has begun: what it changes is said when it is whole (set_last_change()). */
static HOT void
add_change(struct traces *t)
{
	if (t->n == t->size) {
		t->size = t->size > 0 ? 2 * t->size : CHANGES_FIRST;
		t->changes = xreallocarray(t->changes, t->size, sizeof(*t->changes));
	}
	t->changes[t->n++] = (struct change){ .to = CHANGE_UNKNOWN };
}

static void
set_last_change(struct traces *t, struct change to, struct slice message)
{
	if (to.to == CHANGE_PARSE && message.n <= TRACES_PARSE_MAX &&
	    message.n <= TEXT_MAX - t->texts.n) {
		buf_slice(&t->texts, message);
		to.bytes = (uint16_t)message.n;
	} else if (to.to == CHANGE_PARSE) {
		to.to = CHANGE_UNKNOWN;
	}
	to.discarded = t->changes[t->n - 1].discarded;
	t->changes[t->n - 1] = to;
}

/* The oldest one is over. */
static void
drop_oldest_change(struct traces *t)
{
	t->used += t->changes[t->head++].bytes;
	if (t->head > t->sent)
		t->sent = t->head;
	if (t->head < t->n && t->used <= t->texts.n / 2)
		return;
	buf_drop(&t->texts, t->used);
	t->used = 0;
	if (t->head < t->n)
		return;
	free(t->changes);
	t->changes = NULL;
	t->ended += t->n;
	t->head = t->sent = t->n = t->size = 0;
}

static void
drop_discarded(struct traces *t)
{
	while (t->head < t->sent && t->changes[t->head].discarded)
		drop_oldest_change(t);
}

/* The header of a message has passed. */
static void
on_sent(void *arg, char type, struct exchange_request *r)
{
	struct traces *t = arg;

	if (!may_change_unnamed(type) || t->sent == t->n)
		return;
	if (r != NULL)
		r->tagged = 1;
	t->changes[t->sent++].discarded = r == NULL;
	drop_discarded(t);
}

/* The server drops the statement before it reads the text of another (exec_parse_message()), so one
 * that it does not take leaves none. */
static void
change_unnamed(struct traces *t, const struct change *c, bool done)
{
	if (c->to == CHANGE_UNKNOWN)
		t->lost = true;
	else if (c->to == CHANGE_PARSE && done)
		set_unnamed(t, slice_of(t->texts.p + t->used, c->bytes));
	else
		set_unnamed(t, NOTHING);
}

static void
on_ended(void *arg, const struct exchange_request *r, enum request_outcome how)
{
	struct traces *t = arg;
	const struct change *c;

	if (!r->tagged || t->head == t->sent)
		return;
	c = &t->changes[t->head];
	if (c->to != CHANGE_NONE && !exchange_lists_exactly(t->exchange))
		t->lost = true;
	else if (c->to != CHANGE_NONE && how != REQUEST_SKIPPED)
		change_unnamed(t, c, how == REQUEST_DONE);
	drop_oldest_change(t);
	drop_discarded(t);
}

static void
on_answer(void *arg, const struct exchange_request *r, const struct frame_piece *piece)
{
	(void)arg;
	(void)r;
	(void)piece;
}

static void
on_failing(void *arg, const struct exchange_request *r, char *body, size_t n)
{
	(void)arg;
	(void)r;
	(void)body;
	(void)n;
}

static const struct exchange_observer traces_of_exchange = {
	.sent = on_sent,
	.answer = on_answer,
	.failing = on_failing,
	.ended = on_ended,
};

/* Of the messages that go to the server next, the exchange says what becomes of those that change
 * the statement without a name. */
static HOT void
list_changes(struct traces *t, struct exchange *x)
{
	bool matters = false;

	for (size_t i = t->sent; i < t->n && !matters; i++)
		matters = t->changes[i].to != CHANGE_NONE;
	if (exchange_is_listed(x) || (matters && !t->doubt && exchange_lists_exactly(x))) {
		t->exchange = x;
		exchange_list(x, &traces_of_exchange, t);
		return;
	}
	t->lost |= matters;
	t->sent = t->n;
	while (t->n > 0)
		drop_oldest_change(t);
}

/* ---- messages ---- */

static void
look_at_text(struct traces *t, struct slice sql)
{
	unsigned effects = sqleffects(sql);

	if (effects & EFFECT_SETTINGS)
		sqleffects_names(sql, &t->names);
	t->effects |= effects;
}

static HOT void
look_at(struct traces *t, const struct frame *f, struct slice raw, bool changes)
{
	struct change to = { .to = CHANGE_NONE };
	struct message_target target;
	struct message_parse parse;
	struct slice sql;

	switch (f->type) {
	case MSG_QUERY:
		to.to = CHANGE_DROP; /* before its text is looked at (exec_simple_query()) */
		if (message_parse_query(f->body, &sql) == PARSE_DONE)
			look_at_text(t, sql);
		break;
	case MSG_PARSE:
		if (message_parse_parse(f->body, &parse) != PARSE_DONE)
			break;
		look_at_text(t, parse.sql);
		if (parse.name.n == 0)
			to.to = CHANGE_PARSE;
		break;
	case MSG_CLOSE:
		if (message_parse_target(f->body, &target) == PARSE_DONE && target.kind == 'S' &&
		    target.name.n == 0)
			to.to = CHANGE_DROP;
		break;
	case MSG_FUNCTION_CALL:
		t->effects |= calleffects(f->body, f->body.n, &t->names);
		break;
	default:
		break;
	}
	if (changes)
		set_last_change(t, to, raw);
}

/* Whether more of the message has to be there, of which that is the beginning. */
static bool
wants_more(struct slice part)
{
	size_t wants = TEXT_MAX, n;

	if (part.n < FRAME_HEAD_BYTES)
		return true;
	n = frame_total(part.p);
	if (*part.p == MSG_FUNCTION_CALL && n >= FRAME_HEAD_BYTES)
		wants = FRAME_HEAD_BYTES +
			calleffects_wants(slice_skip(part, FRAME_HEAD_BYTES), n - FRAME_HEAD_BYTES);
	else if (n <= TEXT_MAX)
		return true;
	return part.n < wants && wants < TEXT_MAX;
}

/* The rest of it is not looked at. A Parse whose name has not come remains a change that is not
 * known. */
static void
look_at_long(struct traces *t, struct slice part, bool changes)
{
	struct change to = { .to = CHANGE_NONE };

	if (*part.p == MSG_FUNCTION_CALL)
		t->effects |= calleffects(slice_skip(part, FRAME_HEAD_BYTES),
					  frame_total(part.p) - FRAME_HEAD_BYTES, &t->names);
	if (*part.p == MSG_QUERY)
		to.to = CHANGE_DROP;
	else if (*part.p == MSG_PARSE &&
		 (part.n == FRAME_HEAD_BYTES || part.p[FRAME_HEAD_BYTES] == '\0'))
		to.to = CHANGE_UNKNOWN;
	if (changes)
		set_last_change(t, to, NOTHING);
}

/* A message that is not whole: wait for the rest where it may matter. */
static void
begin_part(struct traces *t, struct slice rest, bool changes)
{
	if (!may_change_unnamed(*rest.p) && *rest.p != MSG_FUNCTION_CALL)
		return;
	if (changes)
		add_change(t);
	if (!wants_more(rest)) {
		look_at_long(t, rest, changes);
		return;
	}
	buf_slice(&t->begun, rest);
	t->part = changes ? t->ended + t->n : 0;
}

/* More of the message that has begun. */
static void
add_to_part(struct traces *t, struct slice more)
{
	bool changes = t->part > t->ended + t->head; /* the server has not discarded it yet */
	struct frame f;
	enum parse p;

	buf_slice(&t->begun, more);
	p = frame_cut(buf_view(&t->begun), INT32_MAX, &f);
	if (p == PARSE_MORE && !t->begun.failed && wants_more(buf_view(&t->begun)))
		return;
	if (p == PARSE_DONE)
		look_at(t, &f, buf_view(&t->begun), changes);
	else if (p == PARSE_MORE)
		look_at_long(t, buf_view(&t->begun), changes);
	buf_fini(&t->begun);
	t->begun.failed = false;
}

/* A Query, and nothing else, with nothing outstanding: the server reads it. */
static HOT bool
is_lone_query(const struct exchange *x, struct slice in)
{
	return in.n >= FRAME_HEAD_BYTES && *in.p == MSG_QUERY && frame_total(in.p) >= in.n &&
	       !exchange_is_listed(x) && exchange_is_settled(x);
}

HOT void
traces_client(struct traces *t, struct exchange *x, const char *p, size_t n)
{
	struct slice in = slice_of(p, n);
	size_t rest = exchange_client_rest(x, p, n);
	bool lone = is_lone_query(x, in);
	struct frame frame;
	enum parse result;

	t->doubt = t->doubt && !exchange_is_settled(x);
	if (lone)
		set_unnamed(t, NOTHING);
	if (rest > 0 && t->begun.n > 0)
		add_to_part(t, slice_of(p, rest));
	in = slice_skip(in, rest);
	while ((result = frame_cut(in, INT32_MAX, &frame)) == PARSE_DONE) {
		bool changes = !lone && may_change_unnamed(frame.type);

		if (changes)
			add_change(t);
		look_at(t, &frame, slice_of(in.p, frame.total), changes);
		in = slice_skip(in, frame.total);
	}
	if (result == PARSE_MORE && in.n > 0)
		begin_part(t, in, !lone && may_change_unnamed(*in.p));
	if (t->n > 0)
		list_changes(t, x);
}

void
traces_copy(struct traces *t, const struct exchange *x)
{
	t->doubt |= !exchange_is_listed(x);
}

void
traces_answered(struct traces *t)
{
	while (t->head < t->sent) {
		const struct change *c = &t->changes[t->head];

		if (!c->discarded && c->to != CHANGE_NONE)
			change_unnamed(t, c, true);
		drop_oldest_change(t);
	}
}

/* ---- what is known ---- */

struct slice
traces_packet(const struct traces *t)
{
	return buf_view(&t->packet);
}

struct slice
traces_names(const struct traces *t)
{
	return buf_view(&t->names);
}

unsigned
traces_pins(const struct traces *t)
{
	return (t->effects & EFFECT_LOAD ? (unsigned)PIN_LOAD : 0) |
	       (t->effects & EFFECT_SESSION ? (unsigned)PIN_SESSION : 0) |
	       (t->effects & EFFECT_UNNAMED || t->names.failed ? (unsigned)PIN_SETTING : 0);
}

bool
traces_unnamed(const struct traces *t, struct slice *message)
{
	*message = buf_view(&t->unnamed);
	return !t->lost;
}
