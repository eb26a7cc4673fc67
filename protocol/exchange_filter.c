/* SPDX-License-Identifier: PostgreSQL
 *
 * The server's bytes in the listed form: which request each message answers, and what the client
 * reads of it.
 *
 * Where the server says something that does not fit, ParseComplete and CloseComplete find their
 * request by themselves: what stands in front of it has been answered unnoticed. But not past a
 * Sync whose ReadyForQuery has not come, nor past a round: then they answer what the server was
 * taken to have discarded (a COPY that failed while Syncs went into it).
 */
#include "config.h"

#include "protocol/exchange_list.h"

#include <string.h>

#include "base/hot.h"
#include "protocol/exchange_int.h"
#include "protocol/message.h"

/* ---- answers ---- */

/* The request that a message of the server's answers, and whether it ends it. */
static const struct answer {
	const char *to; /* types of requests */
	bool ends;
} answers[128] = {
	[MSG_PARSE_COMPLETE] = { "P?*", true },   [MSG_BIND_COMPLETE] = { "B?*", true },
	[MSG_CLOSE_COMPLETE] = { "C?*", true },   [MSG_PARAMETER_DESCRIPTION] = { "D*", false },
	[MSG_ROW_DESCRIPTION] = { "D?*", true },  [MSG_NO_DATA] = { "D?*", true },
	[MSG_COMMAND_COMPLETE] = { "E?*", true }, [MSG_EMPTY_QUERY] = { "E?*", true },
	[MSG_PORTAL_SUSPENDED] = { "E?*", true },
};

static bool
fits(const struct exchange_request *r, const struct answer *a)
{
	return r != NULL && a->to != NULL && strchr(a->to, r->type) != NULL;
}

/* Requests that are looked through for one: a server that says nonsense costs no more. */
#define LOOK_AHEAD 64

/* The request of this type that ParseComplete or CloseComplete answers; NULL: none of those that
 * are listed. */
static struct exchange_request *
find_completed(struct exchange *x, char type)
{
	struct exchange_list *l = x->list;
	uint32_t at = l->head, end = l->n - at > LOOK_AHEAD ? at + LOOK_AHEAD : l->n;

	if (rounds_pending(x) > 0)
		return NULL;
	while (at < end && l->v[at].type != type && l->v[at].type != MSG_SYNC)
		at++;
	if (at == end || l->v[at].type != type)
		return NULL;
	while (l->v[l->head].type != type)
		list_end_oldest(x, REQUEST_DONE);
	return &l->v[l->head];
}

static struct exchange_request *
answered_by(struct exchange *x, char type)
{
	static const struct answer none;
	const struct answer *a = (uint8_t)type < 128 ? &answers[(uint8_t)type] : &none;
	struct exchange_request *r = list_oldest(x);

	x->list->ends_request = a->ends && (r == NULL || r->type != REQUEST_MANY);
	if (fits(r, a))
		return r;
	if (type == MSG_PARSE_COMPLETE || type == MSG_CLOSE_COMPLETE)
		r = find_completed(x, type == MSG_PARSE_COMPLETE ? MSG_PARSE : MSG_CLOSE);
	else if (r == NULL || r->type == MSG_QUERY)
		return NULL;
	else
		r = NULL;
	x->list->strayed |= r == NULL && a->ends && rounds_pending(x) == 0;
	return r;
}

/* ---- the server's bytes ---- */

/* Bytes that are read, and those of them that are left. */
struct filter {
	struct exchange *x;
	char *from, *end, *to;
	struct exchange_tally *tally;
	unsigned events;
};

static void
keep_bytes(struct filter *f, size_t n)
{
	if (f->to != f->from)
		memmove(f->to, f->from, n);
	f->to += n;
	f->from += n;
}

static bool
is_observed(const struct exchange_list *l)
{
	return l->observer != NULL && (l->type == MSG_COMMAND_COMPLETE ||
				       l->type == MSG_ROW_DESCRIPTION || l->type == MSG_NO_DATA);
}

/* A piece of the message whose header has passed; the last one ends its request. */
static void
on_piece(struct exchange *x, struct slice body, bool begins, bool ends)
{
	struct exchange_list *l = x->list;
	struct exchange_request *r = l->answers && !list_is_empty(l) ? &l->v[l->head] : NULL;
	struct frame_piece piece = { l->type, l->length, body, begins, ends };

	if (is_observed(l))
		l->observer->answer(l->arg, r != NULL ? r : list_oldest(x), &piece);
	if (!ends)
		return;
	if (r != NULL && l->ends_request)
		list_end_oldest(x, REQUEST_DONE);
	l->answers = false;
}

/* The next of its body, which goes on to the client. */
static void
pass_body(struct filter *f)
{
	struct exchange_side *side = &f->x->server;
	size_t n = (size_t)(f->end - f->from);
	bool last = n >= side->left;
	struct slice body;

	if (last)
		n = side->left;
	body = slice_of(f->from, n);
	if (side->type != 0)
		f->events |= look_at_server_body(f->x, body, last, f->tally);
	else
		on_piece(f->x, body, false, last);
	if (last)
		side->type = 0;
	side->left -= (uint32_t)n;
	keep_bytes(f, n);
}

/* … or does not. */
static void
drop_body(struct filter *f)
{
	struct exchange_list *l = f->x->list;
	size_t n = (size_t)(f->end - f->from);
	struct slice body;

	if (n > l->left)
		n = l->left;
	body = slice_of(f->from, n);
	l->left -= (uint32_t)n;
	f->from += n;
	on_piece(f->x, body, false, l->left == 0);
}

static void
offer_error(struct filter *f, uint32_t n)
{
	struct exchange_list *l = f->x->list;
	const struct exchange_request *r = list_oldest(f->x);

	if (r != NULL && l->observer != NULL &&
	    (size_t)(f->end - f->from) >= FRAME_HEAD_BYTES + (size_t)n)
		l->observer->failing(l->arg, r, f->from + FRAME_HEAD_BYTES, n);
}

/* A header is there: it goes on, or not, and the request is found that the message answers. */
static void
begin_message(struct filter *f)
{
	struct exchange *x = f->x;
	struct exchange_list *l = x->list;
	struct exchange_side *side = &x->server;
	char type = *f->from;
	struct exchange_request *r;

	if (!begin_body(side, (const uint8_t *)f->from)) {
		f->events |= EXCHANGE_BAD;
		return;
	}
	side->type = 0;
	l->type = type;
	l->length = side->left;
	if (type == MSG_ERROR)
		offer_error(f, side->left);
	r = answered_by(x, type);
	l->answers = r != NULL;
	f->events |= on_server_message(x, (uint8_t)type);
	if (side->bad)
		return;
	if (r != NULL && r->fate == REQUEST_REPLACE && l->ends_request)
		*f->from = r->instead;
	if (r != NULL && r->fate == REQUEST_SKIP) {
		l->left = side->left;
		side->left = 0;
		f->from += FRAME_HEAD_BYTES;
	} else {
		keep_bytes(f, FRAME_HEAD_BYTES);
	}
	if (side->type == 0)
		on_piece(x, slice_of(f->from, 0), true, l->length == 0);
}

/* Of a header of which the client has got the beginning, in the compact form, or may. */
static void
take_head_byte(struct filter *f)
{
	struct exchange *x = f->x;
	struct exchange_side *side = &x->server;

	side->head[side->have++] = (uint8_t)*f->from;
	keep_bytes(f, 1);
	if (side->have < FRAME_HEAD_BYTES)
		return;
	side->have = 0;
	if (!begin_body(side, side->head)) {
		f->events |= EXCHANGE_BAD;
		return;
	}
	side->type = 0;
	x->list->type = (char)side->head[0];
	x->list->length = side->left;
	x->list->answers = answered_by(x, x->list->type) != NULL;
	f->events |= on_server_message(x, side->head[0]);
	memset(side->head, 0, sizeof(side->head));
	if (side->type == 0)
		on_piece(x, slice_of(f->from, 0), true, side->left == 0);
}

static void
hold_back(struct filter *f)
{
	struct exchange_list *l = f->x->list;

	l->have = (uint8_t)(f->end - f->from);
	memcpy(l->head_bytes, f->from, l->have);
	f->from = f->end;
}

static unsigned
filter(struct exchange *x, char *p, size_t *n, struct exchange_tally *tally)
{
	struct filter f = { .x = x, .from = p, .end = p + *n, .to = p, .tally = tally };
	struct exchange_side *side = &x->server;
	char *message = NULL;

	x->list->have = 0; /* they are in front of the bytes */
	while (f.from < f.end && !side->bad) {
		if (side->left > 0) {
			pass_body(&f);
		} else if (x->list->left > 0) {
			drop_body(&f);
		} else if (side->have > 0 ||
			   (x->list->observer == NULL && f.end - f.from < FRAME_HEAD_BYTES)) {
			take_head_byte(&f);
		} else if (f.end - f.from < FRAME_HEAD_BYTES) {
			hold_back(&f);
		} else {
			message = f.to;
			begin_message(&f);
		}
	}
	if (side->bad) {
		if (tally != NULL)
			tally->good = message != NULL ? (size_t)(message - p) : SIZE_MAX;
		keep_bytes(&f, (size_t)(f.end - f.from));
		f.events |= EXCHANGE_BAD;
	}
	*n = (size_t)(f.to - p);
	list_end_if_idle(x);
	return f.events;
}

unsigned
exchange_filter(struct exchange *x, char *p, size_t *n, struct exchange_tally *tally)
{
	if (!x->listed || x->server.bad)
		return exchange_server(x, p, *n, tally);
	return filter(x, p, n, tally);
}

HOT size_t
exchange_put_held(const struct exchange *x, char *to)
{
	if (!x->listed)
		return 0;
	memcpy(to, x->list->head_bytes, x->list->have);
	return x->list->have;
}

bool
exchange_holds(const struct exchange *x)
{
	return x->listed && (x->list->have > 0 || x->list->left > 0);
}
