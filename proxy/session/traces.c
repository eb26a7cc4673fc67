/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/traces.h"

#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/flow.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/session/truth.h"

/* Longer texts are not looked into. */
#define TEXT_MAX ((size_t)64 * 1024)

struct traces {
	struct buf packet;
	struct buf part;    /* the beginning of a message that was cut */
	struct buf unnamed; /* the last Parse without a name */
	struct buf names;
	unsigned effects;
	bool lost; /* … was too long */
};

WARM struct traces *
traces_new(struct slice packet)
{
	struct traces *t = xcalloc(1, sizeof(*t));

	t->packet.cap = t->part.cap = TEXT_MAX;
	t->unnamed.cap = TRACES_PARSE_MAX;
	t->names.cap = SQLEFFECTS_NAMES_MAX;
	buf_slice(&t->packet, packet);
	return t;
}

WARM void
traces_free(struct traces *t)
{
	if (t == NULL)
		return;
	buf_fini(&t->packet);
	buf_fini(&t->part);
	buf_fini(&t->unnamed);
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
	t->unnamed.failed = t->lost = false;
}

static void
keep_unnamed(struct traces *t, struct slice raw)
{
	forget_unnamed(t);
	if (raw.n <= TRACES_PARSE_MAX)
		buf_slice(&t->unnamed, raw);
	else
		t->lost = true;
}

static WARM void
look_at(struct traces *t, const struct frame *f, struct slice raw)
{
	struct message_target target;
	struct message_parse parse;
	struct slice sql;

	switch (f->type) {
	case MSG_QUERY:
		forget_unnamed(t);
		if (message_parse_query(f->body, &sql) == PARSE_DONE)
			look_at_text(t, sql);
		break;
	case MSG_PARSE:
		if (message_parse_parse(f->body, &parse) != PARSE_DONE)
			break;
		look_at_text(t, parse.sql);
		if (parse.name.n == 0)
			keep_unnamed(t, raw);
		break;
	case MSG_CLOSE:
		if (message_parse_target(f->body, &target) == PARSE_DONE && target.kind == 'S' &&
		    target.name.n == 0)
			forget_unnamed(t);
		break;
	default:
		break;
	}
}

/* The rest of it is not looked at. */
static void
look_at_long(struct traces *t, struct slice part)
{
	if (*part.p == MSG_QUERY)
		forget_unnamed(t);
	else if (*part.p == MSG_PARSE &&
		 (part.n == FRAME_HEAD_BYTES || part.p[FRAME_HEAD_BYTES] == '\0'))
		t->lost = true;
}

/* A message that is not whole: wait for the rest where it may matter. */
static void
begin_part(struct traces *t, struct slice rest)
{
	char type = *rest.p;

	if (type != MSG_QUERY && type != MSG_PARSE && type != MSG_CLOSE)
		return;
	if (rest.n >= FRAME_HEAD_BYTES && get_u32(rest.p + 1) >= TEXT_MAX)
		look_at_long(t, rest);
	else
		buf_slice(&t->part, rest);
}

/* More of the message that has begun. */
static void
add_to_part(struct traces *t, struct slice more)
{
	struct frame f;
	enum parse p;

	buf_slice(&t->part, more);
	p = frame_cut(buf_view(&t->part), INT32_MAX, &f);
	if (p == PARSE_MORE && !t->part.failed &&
	    (t->part.n < FRAME_HEAD_BYTES || get_u32(t->part.p + 1) < TEXT_MAX))
		return;
	if (p == PARSE_DONE)
		look_at(t, &f, buf_view(&t->part));
	else if (p == PARSE_MORE)
		look_at_long(t, buf_view(&t->part));
	buf_fini(&t->part);
	t->part.failed = false;
}

WARM void
traces_client(struct traces *t, const struct flow *f, const char *p, size_t n)
{
	struct slice in = slice_of(p, n);
	size_t rest = flow_client_rest(f, p, n);
	struct frame frame;
	enum parse result;

	if (rest > 0 && t->part.n > 0)
		add_to_part(t, slice_of(p, rest));
	in = slice_skip(in, rest);
	while ((result = frame_cut(in, INT32_MAX, &frame)) == PARSE_DONE) {
		look_at(t, &frame, slice_of(in.p, frame.total));
		in = slice_skip(in, frame.total);
	}
	if (result == PARSE_MORE && in.n > 0)
		begin_part(t, in);
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
