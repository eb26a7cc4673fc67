/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/traces.h"

#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/calleffects.h"
#include "protocol/exchange.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/session_probe.h"

/* Longer texts are not looked into. */
#define TEXT_MAX ((size_t)64 * 1024)
#define NOTHING  slice_of(NULL, 0)

enum change {
	CHANGE_NONE,  /* none of them changes the statement without a name */
	CHANGE_PARSE, /* the first one does, a Parse */
	CHANGE_DROP,  /* the first one does, a Query or Close */
	CHANGE_LATER, /* one that is not the first does */
};

/* What has been sent since nothing was owed, and may yet be discarded by the server. */
struct flight {
	enum {
		FLIGHT_NONE,
		FLIGHT_OPEN,   /* messages, and no end of their sequence */
		FLIGHT_ENDED,  /* a Sync or a Query ends it */
		FLIGHT_BEYOND, /* more is behind that */
	} sent;
	enum change change;
	bool behind; /* so does a Query that ends their sequence: `before` is as it was then */
	bool doubt;  /* it may have been discarded: which statement there is, is not known */
	bool skips;  /* the server discards what comes, up to a Sync */
};

struct traces {
	struct buf packet;
	struct buf part;    /* the beginning of a message that was cut */
	struct buf unnamed; /* the last Parse without a name … */
	struct buf before;  /* … in front of a Query that may not have run (flight.behind) */
	struct buf names;
	struct flight flight;
	unsigned effects;
	bool part_first; /* nothing was on its way in front of `part` */
	bool lost;       /* the unnamed one was too long, or may be another … */
	bool lost_before;
};

HOT struct traces *
traces_new(struct slice packet)
{
	struct traces *t = xcalloc(1, sizeof(*t));

	t->packet.cap = t->part.cap = TEXT_MAX;
	t->unnamed.cap = t->before.cap = TRACES_PARSE_MAX;
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
	buf_fini(&t->part);
	buf_fini(&t->unnamed);
	buf_fini(&t->before);
	buf_fini(&t->names);
	free(t);
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

static void
forget_unnamed(struct traces *t)
{
	buf_clear(&t->unnamed);
	t->unnamed.failed = false;
	t->lost = t->flight.doubt;
}

/* A message that changes the statement without a name, all of it or its beginning; `after` is what
 * the statement is then, where the server takes it: empty for none. */
static void
change_unnamed(struct traces *t, bool first, bool parsed, struct slice after)
{
	struct flight *f = &t->flight;

	if (f->skips)
		return;
	f->change = !first ? CHANGE_LATER : parsed ? CHANGE_PARSE : CHANGE_DROP;
	forget_unnamed(t);
	if (after.n <= TRACES_PARSE_MAX)
		buf_slice(&t->unnamed, after);
	else
		t->lost = true;
}

static void
swap_unnamed(struct traces *t)
{
	struct buf unnamed = t->unnamed;
	bool lost = t->lost;

	t->unnamed = t->before;
	t->before = unnamed;
	t->lost = t->lost_before;
	t->lost_before = lost;
}

/* A Query drops it, before it looks at its text (exec_simple_query()). */
static void
note_query(struct traces *t, bool first)
{
	struct flight *f = &t->flight;

	if (first || f->skips || f->sent != FLIGHT_ENDED) {
		change_unnamed(t, first, false, NOTHING);
		return;
	}
	f->behind = true;
	swap_unnamed(t);
	forget_unnamed(t);
}

/* Of each message, whole or not. True: nothing is on its way in front of it. */
static HOT bool
note_sent(struct flight *f, char type)
{
	bool first = f->sent == FLIGHT_NONE;

	if (first)
		f->sent = FLIGHT_OPEN;
	switch (type) {
	case MSG_SYNC:
		f->skips = false;
		if (f->sent == FLIGHT_OPEN)
			f->sent = FLIGHT_ENDED;
		break;
	case MSG_QUERY:
	case MSG_FUNCTION_CALL:
		f->sent = f->sent == FLIGHT_OPEN ? FLIGHT_ENDED : FLIGHT_BEYOND;
		break;
	case MSG_PARSE:
	case MSG_BIND:
	case MSG_DESCRIBE:
	case MSG_EXECUTE:
	case MSG_CLOSE:
		if (f->sent == FLIGHT_ENDED)
			f->sent = FLIGHT_BEYOND;
		break;
	default:
		break;
	}
	return first;
}

static HOT void
look_at(struct traces *t, const struct frame *f, struct slice raw, bool first)
{
	struct message_target target;
	struct message_parse parse;
	struct slice sql;

	switch (f->type) {
	case MSG_QUERY:
		note_query(t, first);
		if (message_parse_query(f->body, &sql) == PARSE_DONE)
			look_at_text(t, sql);
		break;
	case MSG_PARSE:
		if (message_parse_parse(f->body, &parse) != PARSE_DONE)
			break;
		look_at_text(t, parse.sql);
		if (parse.name.n == 0)
			change_unnamed(t, first, true, raw);
		break;
	case MSG_CLOSE:
		if (message_parse_target(f->body, &target) == PARSE_DONE && target.kind == 'S' &&
		    target.name.n == 0)
			change_unnamed(t, first, false, NOTHING);
		break;
	case MSG_FUNCTION_CALL:
		t->effects |= calleffects(f->body, f->body.n, &t->names);
		break;
	default:
		break;
	}
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

/* The rest of it is not looked at. */
static void
look_at_long(struct traces *t, struct slice part, bool first)
{
	if (*part.p == MSG_QUERY)
		note_query(t, first);
	else if (*part.p == MSG_FUNCTION_CALL)
		t->effects |= calleffects(slice_skip(part, FRAME_HEAD_BYTES),
					  frame_total(part.p) - FRAME_HEAD_BYTES, &t->names);
	else if (*part.p == MSG_PARSE &&
		 (part.n == FRAME_HEAD_BYTES || part.p[FRAME_HEAD_BYTES] == '\0')) {
		change_unnamed(t, first, true, NOTHING);
		t->lost |= !t->flight.skips;
	}
}

/* A message that is not whole: wait for the rest where it may matter. */
static void
begin_part(struct traces *t, struct slice rest)
{
	char type = *rest.p;
	bool first = note_sent(&t->flight, type);

	if (type != MSG_QUERY && type != MSG_PARSE && type != MSG_CLOSE &&
	    type != MSG_FUNCTION_CALL)
		return;
	if (!wants_more(rest)) {
		look_at_long(t, rest, first);
		return;
	}
	buf_slice(&t->part, rest);
	t->part_first = first;
}

/* More of the message that has begun. */
static void
add_to_part(struct traces *t, struct slice more)
{
	struct frame f;
	enum parse p;

	buf_slice(&t->part, more);
	p = frame_cut(buf_view(&t->part), INT32_MAX, &f);
	if (p == PARSE_MORE && !t->part.failed && wants_more(buf_view(&t->part)))
		return;
	if (p == PARSE_DONE)
		look_at(t, &f, buf_view(&t->part), t->part_first);
	else if (p == PARSE_MORE)
		look_at_long(t, buf_view(&t->part), t->part_first);
	buf_fini(&t->part);
	t->part.failed = false;
}

HOT void
traces_client(struct traces *t, const struct exchange *f, const char *p, size_t n)
{
	struct slice in = slice_of(p, n);
	size_t rest = exchange_client_rest(f, p, n);
	struct frame frame;
	enum parse result;

	if (exchange_is_settled(f))
		t->flight = (struct flight){ 0 };
	if (rest > 0 && t->part.n > 0)
		add_to_part(t, slice_of(p, rest));
	in = slice_skip(in, rest);
	while ((result = frame_cut(in, INT32_MAX, &frame)) == PARSE_DONE) {
		look_at(t, &frame, slice_of(in.p, frame.total), note_sent(&t->flight, frame.type));
		in = slice_skip(in, frame.total);
	}
	if (result == PARSE_MORE && in.n > 0)
		begin_part(t, in);
}

/* The messages in front of a Query, and with them the Query, were not done from the failing one on.
 * False: which one failed is not known. */
static bool
undo_query(struct traces *t, bool unanswered)
{
	enum change change = t->flight.change;

	if (change == CHANGE_LATER || (change == CHANGE_DROP && unanswered))
		return false;
	swap_unnamed(t);
	if (change == CHANGE_PARSE && unanswered)
		forget_unnamed(t);
	return true;
}

/* The server drops the statement before it reads the text of another (exec_parse_message()), so one
 * that it does not take leaves none. Which message an error is about is certain where it is the
 * first that was sent, or the only one that matters here is and something was answered; and where
 * it is a Query behind others, or is not, the exchange tells. */
void
traces_error(struct traces *t, const struct exchange *f, unsigned events)
{
	struct flight *now = &t->flight;
	bool unanswered = events & EXCHANGE_UNANSWERED;
	bool sure = exchange_at_client_boundary(f) && now->sent != FLIGHT_BEYOND;

	if (now->behind)
		sure = sure && ((events & EXCHANGE_OWN) ||
				((events & EXCHANGE_DISCARDED) && undo_query(t, unanswered)));
	else
		sure = sure && now->change != CHANGE_LATER;
	now->doubt |= !sure || exchange_is_in_doubt(f);
	now->skips = sure && exchange_skips(f);
	if (!sure && (now->change != CHANGE_NONE || now->behind))
		t->lost = true;
	else if (!now->behind && now->change == CHANGE_PARSE && unanswered)
		forget_unnamed(t);
	now->behind = false;
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
