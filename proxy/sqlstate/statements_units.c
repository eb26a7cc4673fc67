/* SPDX-License-Identifier: PostgreSQL
 *
 * What is awaited of the server, in the order in which it will answer, and what its answers change.
 * Every message of an extended query has one reply that ends it ("Message Flow: Extended Query");
 * an error answers the oldest that is open, and the server discards what follows up to the next
 * Sync. So each reply says which message it belongs to, and each act is done, failed or skipped.
 *
 * This is followed only while a Parse or Close is awaited, or a sequence is half sent. Messages
 * before that are known by their number of ReadyForQuery (`before`): they have no ParseComplete and
 * no CloseComplete, or they would be units. Where the server says something that does not fit (a
 * COPY that failed while Syncs went into it), '1' and '3' find their place by themselves.
 */
#include "config.h"

#include "proxy/sqlstate/statements_int.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"

/* ---- the queue ---- */

static bool
has_act(enum unit unit)
{
	return unit >= UNIT_PARSE;
}

/* It is there, or (by -1) is no more. */
static void
count_unit(struct statements *c, enum unit unit, uint32_t by)
{
	if (unit_is_end(unit))
		c->ends += by;
	else if (unit == UNIT_PARSE)
		c->parses += by;
	else if (unit == UNIT_CLOSE)
		c->closes += by;
}

static void
add_unit(struct statements *c, enum unit unit)
{
	struct units *u = &c->units;

	if (u->n == u->size) {
		u->size = u->size == 0 ? 16 : u->size * 2;
		u->v = xreallocarray(u->v, u->size, sizeof(*u->v));
	}
	u->v[u->n++] = (uint8_t)unit;
	count_unit(c, unit, 1);
}

static void
add_act(struct statements *c, const struct act *act)
{
	struct acts *all = &c->acts;

	if (all->n == all->size) {
		all->size = all->size == 0 ? 4 : all->size * 2;
		all->v = xreallocarray(all->v, all->size, sizeof(*all->v));
	}
	all->v[all->n++] = *act;
	c->stale |= act->old != NULL || act->what == ACT_EVICT;
}

/* Make room at the front, where most of it is used up. */
static void
compact(struct statements *c)
{
	struct units *u = &c->units;
	struct acts *all = &c->acts;

	if (u->head < 64 || u->head < u->n / 2)
		return;
	memmove(u->v, u->v + u->head, u->n - u->head);
	u->n -= u->head;
	u->head = 0;
	if (all->n > all->head)
		memmove(all->v, all->v + all->head, (all->n - all->head) * sizeof(*all->v));
	all->n -= all->head;
	all->head = 0;
}

void
units_begin(struct statements *c, uint32_t before)
{
	c->before = before;
	c->following = c->behind = 1;
}

void
units_add(struct statements *c, enum unit unit, const struct act *take_act)
{
	c->skipping = 0;
	compact(c);
	add_unit(c, unit);
	if (take_act != NULL)
		add_act(c, take_act);
}

static void
end_unit(struct statements *c, enum ending e)
{
	enum unit unit = (enum unit)c->units.v[c->units.head++];
	struct act *act;

	count_unit(c, unit, UINT32_MAX);
	if (unit_is_query(unit)) {
		c->unnamed_pending--;
		if (e == ENDED_DONE)
			unnamed_set(c, NULL);
	}
	if (!has_act(unit))
		return;
	act = &c->acts.v[c->acts.head++];
	if (unit == UNIT_QUERY_DROP && !act->done)
		e = ENDED_SKIPPED;
	act_end(c, act, e);
}

static bool
queue_is_empty(const struct statements *c)
{
	return c->units.head == c->units.n;
}

/* Nothing is awaited any more. */
static void
rest(struct statements *c)
{
	if (!queue_is_empty(c) || c->before > 0 || c->skipping)
		return;
	c->following = 0;
	c->units.head = c->units.n = c->acts.head = c->acts.n = 0;
	c->in_tag = c->in_ready = c->in_shape = c->going = 0;
	c->server_left = 0;
}

/* The oldest that is to be answered; -1: none, or one of those before. */
static int
oldest(struct statements *c)
{
	struct units *u = &c->units;

	while (u->head < u->n && u->v[u->head] == UNIT_COPY_END)
		u->head++;
	return c->before > 0 || u->head == u->n ? -1 : u->v[u->head];
}

WARM void
units_abandon(struct statements *c)
{
	while (!queue_is_empty(c))
		end_unit(c, ENDED_SKIPPED);
	c->before = 0;
	c->skipping = 0;
	c->server_have = 0;
	rest(c);
}

void
statements_judge(struct statements *c, struct exchange *exchange)
{
	int unit = oldest(c);

	if (c->discarded > 0)
		exchange_forgive(exchange, c->discarded, c->skipping);
	if (unit >= 0 && unit_is_end((enum unit)unit))
		exchange_assure(exchange);
	c->discarded = 0;
	c->judges = 0;
}

WARM void
units_fini(struct statements *c)
{
	free(c->units.v);
	free(c->acts.v);
	c->discarded = 0;
	c->units = (struct units){ .v = NULL };
	c->acts = (struct acts){ .v = NULL };
}

/* ---- replies ---- */

/* The reply to the oldest unit of this kind: what stands before it has been answered unnoticed. */
static char
on_complete_of(struct statements *c, enum unit unit)
{
	struct units *u = &c->units;
	enum act_what what;

	/* a server that says so out of turn finds none, and makes us look for none */
	if ((unit == UNIT_PARSE ? c->parses : c->closes) == 0)
		return REPLY_PASSES;
	c->before = 0;
	while (u->v[u->head] != unit)
		end_unit(c, ENDED_DONE);
	what = c->acts.v[c->acts.head].what;
	end_unit(c, ENDED_DONE);
	return act_instead(what);
}

static char
on_parse_complete(struct statements *c)
{
	return on_complete_of(c, UNIT_PARSE);
}

static char
on_close_complete(struct statements *c)
{
	return on_complete_of(c, UNIT_CLOSE);
}

static char
on_bind_complete(struct statements *c)
{
	if (oldest(c) == UNIT_BIND)
		end_unit(c, ENDED_DONE);
	return REPLY_PASSES;
}

#define SHAPE_SEED  UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define SHAPE_PRIME UINT64_C(0x100000001b3)

static void
note_shape(struct statements *c, char byte)
{
	c->shape = (c->shape ^ (uint8_t)byte) * SHAPE_PRIME;
}

static char
on_parameters(struct statements *c)
{
	if (oldest(c) != UNIT_DESCRIBE_SHAPE)
		return REPLY_PASSES;
	return act_instead(c->acts.v[c->acts.head].what);
}

static char
on_rows(struct statements *c)
{
	int unit = oldest(c);

	if (unit == UNIT_DESCRIBE)
		end_unit(c, ENDED_DONE);
	if (unit != UNIT_DESCRIBE_SHAPE)
		return REPLY_PASSES;
	c->shape = SHAPE_SEED;
	c->in_shape = 1;
	c->field_at = 0;
	return act_instead(c->acts.v[c->acts.head].what);
}

static char
on_no_rows(struct statements *c)
{
	char fate;

	if (oldest(c) != UNIT_DESCRIBE_SHAPE)
		return on_rows(c);
	fate = act_instead(c->acts.v[c->acts.head].what);
	c->shape = SHAPE_SEED;
	end_unit(c, ENDED_DONE);
	return fate;
}

/* Of a RowDescription: names and types; where the columns come from does not matter, nor does the
 * format, which a portal chooses. A field is a name, its NUL, table (4), column (2), type (4), size
 * (2), modifier (4) and format (2). */
static void
note_rows(struct statements *c, char byte)
{
	enum { COUNT = 2, NAME = 2, TABLE = 3, TYPE = 9, FORMAT = 19, END = 21 };

	if (c->field_at < COUNT) {
		c->field_at++;
		return;
	}
	if (c->field_at == NAME || (c->field_at >= TYPE && c->field_at < FORMAT))
		note_shape(c, byte);
	if (c->field_at != NAME || byte == '\0')
		c->field_at++;
	if (c->field_at == END)
		c->field_at = NAME;
}

static void
note_body(struct statements *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		note_rows(c, p[i]);
}

static bool
is_execute(enum unit unit)
{
	return unit == UNIT_EXECUTE || unit == UNIT_EXECUTE_DROP || unit == UNIT_EXECUTE_RESET;
}

static char
on_executed(struct statements *c)
{
	int unit = oldest(c);

	if (unit >= 0 && is_execute((enum unit)unit))
		end_unit(c, ENDED_SKIPPED);
	return REPLY_PASSES;
}

/* Its tag is read first. */
static char
on_command_complete(struct statements *c)
{
	c->in_tag = 1;
	c->tag_n = 0;
	return REPLY_PASSES;
}

static bool
tag_is(const struct statements *c, const char *tag)
{
	return c->tag_n == strlen(tag) + 1 && memcmp(c->tag, tag, c->tag_n) == 0;
}

static void
on_tag(struct statements *c)
{
	int unit = oldest(c);
	bool dropped = tag_is(c, "DEALLOCATE");

	c->in_tag = 0;
	if (tag_is(c, "DEALLOCATE ALL") || tag_is(c, "DISCARD ALL"))
		names_forget_all(c);
	if (unit == UNIT_QUERY_DROP)
		c->acts.v[c->acts.head].done |= dropped;
	else if (unit >= 0 && is_execute((enum unit)unit))
		end_unit(c, dropped ? ENDED_DONE : ENDED_SKIPPED);
}

/* In an extended query the server discards what follows, up to the next Sync. */
static char
on_error(struct statements *c)
{
	int unit = oldest(c);

	c->judges = 1;
	if (unit < 0 || unit_is_end((enum unit)unit))
		return REPLY_PASSES;
	end_unit(c, ENDED_FAILED);
	while (!queue_is_empty(c) && c->units.v[c->units.head] != UNIT_SYNC) {
		bool is_end = unit_is_end((enum unit)c->units.v[c->units.head]);

		end_unit(c, ENDED_SKIPPED);
		if (is_end && c->ss->ends_with_query) {
			c->units.v[--c->units.head] = UNIT_SYNC; /* as which it is answered */
			count_unit(c, UNIT_SYNC, 1);
			break;
		}
		c->discarded += is_end;
	}
	c->skipping = queue_is_empty(c);
	return REPLY_PASSES;
}

/* It has come when its last byte has, as it has for exchange. */
static char
on_ready(struct statements *c)
{
	c->in_ready = 1;
	return REPLY_PASSES;
}

static void
on_ready_end(struct statements *c)
{
	int unit = oldest(c);

	c->in_ready = c->skipping = 0;
	c->told++;
	if (c->before > 0)
		c->before--;
	else if (unit >= 0 && unit_is_end((enum unit)unit))
		end_unit(c, ENDED_DONE);
	(void)oldest(c);
}

/* CopyInResponse: the server ignores Sync and Flush until the copy's end ("COPY Operations"). */
static char
on_copy_in(struct statements *c)
{
	int unit = oldest(c);
	struct units *u = &c->units;
	uint32_t to = u->head + 1, ignored;

	if (c->before > 0) {
		ignored = exchange_ignored_syncs(c->exchange, c->told);
		c->told += ignored;
		c->before -= ignored < c->before ? ignored : c->before;
	}
	if (unit < 0)
		return REPLY_PASSES;
	while ((unit == UNIT_EXECUTE || unit_is_query((enum unit)unit)) && to < u->n &&
	       (u->v[to] == UNIT_SYNC || u->v[to] == UNIT_NONSENSE))
		c->ends -= u->v[to++] == UNIT_SYNC;
	if (to < u->n && u->v[to] == UNIT_COPY_END)
		to++;
	u->head = to - 1;
	u->v[u->head] = (uint8_t)unit;
	return REPLY_PASSES;
}

static char (*const replies[256])(struct statements *c) = {
	[MSG_PARSE_COMPLETE] = on_parse_complete,
	[MSG_BIND_COMPLETE] = on_bind_complete,
	[MSG_CLOSE_COMPLETE] = on_close_complete,
	[MSG_ROW_DESCRIPTION] = on_rows,
	[MSG_NO_DATA] = on_no_rows,
	[MSG_PARAMETER_DESCRIPTION] = on_parameters,
	[MSG_COMMAND_COMPLETE] = on_command_complete,
	[MSG_EMPTY_QUERY] = on_executed,
	[MSG_PORTAL_SUSPENDED] = on_executed,
	[MSG_ERROR] = on_error,
	[MSG_READY] = on_ready,
	['G'] = on_copy_in,
};

/* ---- the server's bytes ---- */

/* Bytes that are read, and those of them that are left. */
struct filter {
	struct statements *c;
	char *from, *end, *to;
};

static void
keep_bytes(struct filter *f, size_t n)
{
	if (f->to != f->from)
		memmove(f->to, f->from, n);
	f->to += n;
	f->from += n;
}

static void
note_tag(struct statements *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n && c->tag_n < sizeof(c->tag); i++)
		c->tag[c->tag_n++] = p[i];
}

static void
end_body(struct statements *c)
{
	if (c->in_tag)
		on_tag(c);
	if (c->in_ready)
		on_ready_end(c);
	if (c->in_shape)
		end_unit(c, ENDED_DONE);
	c->in_shape = c->going = 0;
}

static void
pass_body(struct filter *f)
{
	struct statements *c = f->c;
	size_t n = (size_t)(f->end - f->from);

	if (n > c->server_left)
		n = c->server_left;
	if (c->in_tag)
		note_tag(c, f->from, n);
	if (c->in_shape)
		note_body(c, f->from, n);
	if (c->going)
		f->from += n;
	else
		keep_bytes(f, n);
	c->server_left -= (uint32_t)n;
	if (c->server_left == 0)
		end_body(c);
}

/* In the place of an error that was provoked, what PostgreSQL says of a plan that has changed:
 * drivers know it by its routine or its message, and prepare the statement anew. The error is
 * longer; should it not have come whole, it stays as it is. */
static void
put_refusal(char *message, size_t n, uint32_t len)
{
	static const char text[] =
	    "SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0"
	    "Fplancache.c\0RRevalidateCachedQuery\0D"
	    "The statement's result is another than the session was told.";
	char *body = message + FRAME_HEAD_BYTES;
	size_t room = len - 4;

	if (n < 1 + (size_t)len || room < sizeof(text) + 1)
		return;
	memset(body, ' ', room);
	memcpy(body, text, sizeof(text) - 1);
	body[room - 2] = body[room - 1] = '\0';
}

/* False: it is not the protocol; the exchange will say so. */
static bool
begin_message(struct filter *f)
{
	struct statements *c = f->c;
	uint32_t len = get_u32(f->from + 1);
	uint8_t type = (uint8_t)f->from[0];
	char fate;

	if (len < 4)
		return false;
	c->server_left = len - 4;
	if (type == MSG_ERROR && oldest(c) == UNIT_PARSE &&
	    c->acts.v[c->acts.head].what == ACT_REFUSE)
		put_refusal(f->from, (size_t)(f->end - f->from), len);
	fate = replies[type] != NULL ? replies[type](c) : REPLY_PASSES;
	c->going = fate == REPLY_GOES;
	if (c->going) {
		f->from += FRAME_HEAD_BYTES;
		if (c->server_left == 0)
			end_body(c);
		return true;
	}
	if (fate != REPLY_PASSES && fate != REPLY_GOES)
		f->from[0] = fate;
	keep_bytes(f, FRAME_HEAD_BYTES);
	if (c->server_left == 0)
		end_body(c);
	return true;
}

static void
hold_back(struct filter *f)
{
	struct statements *c = f->c;

	c->server_have = (uint8_t)(f->end - f->from);
	memcpy(c->server_head, f->from, c->server_have);
	f->from = f->end;
}

WARM size_t
statements_put_held(const struct statements *c, char *to)
{
	memcpy(to, c->server_head, c->server_have);
	return c->server_have;
}

size_t
statements_server(struct statements *c, char *p, size_t n)
{
	struct filter f = { .c = c, .from = p, .end = p + n, .to = p };
	size_t rest_n;

	c->server_have = 0; /* they are in front of the bytes */
	c->told = 0;
	if (!units_active(c))
		return n;
	if (c->behind) {
		rest_n = exchange_server_rest(c->exchange, p, n);
		if (exchange_server_ends_ready(c->exchange, n))
			on_ready_end(c);
		keep_bytes(&f, rest_n);
		c->behind = rest_n == n;
		rest(c);
	}
	while (f.from < f.end && units_active(c)) {
		if (c->server_left > 0)
			pass_body(&f);
		else if (f.end - f.from < FRAME_HEAD_BYTES)
			hold_back(&f);
		else if (!begin_message(&f))
			break;
		rest(c);
	}
	if (c->state == STATEMENTS_WAITING)
		c->state = STATEMENTS_MAY_GO_ON; /* or to wait again */
	keep_bytes(&f, (size_t)(f.end - f.from));
	return (size_t)(f.to - p);
}
