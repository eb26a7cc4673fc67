/* SPDX-License-Identifier: PostgreSQL
 *
 * The listed form: the list, and what each message of the client, and each error, COPY and
 * ReadyForQuery of the server does to it. What the server has to answer that was sent before the
 * list began (`rounds`) is the business of exchange_rounds.c until it is answered. A ReadyForQuery
 * ends the oldest round whatever was to come in front of it. The other answers: exchange_filter.c.
 */
#include "config.h"

#include "protocol/exchange_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/exchange_int.h"
#include "protocol/message.h"

/* ---- the list ---- */

/* It is there, or (by -1) is no more. */
static void
count_request(struct exchange *x, char type, uint32_t by)
{
	struct exchange_list *l = x->list;

	if (ends_round(type)) {
		x->pending += by;
		l->ends += by;
	}
	l->parses += type == MSG_PARSE ? by : 0;
	l->closes += type == MSG_CLOSE ? by : 0;
}

/* Make room at the front, where most of it is used up, or else at the end. */
static void
make_room(struct exchange_list *l)
{
	if (l->n < l->size)
		return;
	if (l->heard > l->size / 2) {
		memmove(l->v, l->v + l->heard, (l->n - l->heard) * sizeof(*l->v));
		l->n -= l->heard;
		l->head -= l->heard;
		l->heard = 0;
		return;
	}
	l->size *= 2;
	l->v = xreallocarray(l->v == l->first ? NULL : l->v, l->size, sizeof(*l->v));
	if (l->n == EXCHANGE_LIST_FIRST)
		memcpy(l->v, l->first, sizeof(l->first));
}

static struct exchange_request *
push(struct exchange *x, char type)
{
	struct exchange_list *l = x->list;

	make_room(l);
	l->strayed = l->strayed && l->heard < l->n;
	l->v[l->n] = (struct exchange_request){ .type = type };
	count_request(x, type, 1);
	return &l->v[l->n++];
}

void
list_end_oldest(struct exchange *x, enum request_outcome how)
{
	struct exchange_list *l = x->list;
	struct exchange_request r = l->v[l->head++];

	count_request(x, r.type, UINT32_MAX);
	if (!l->kept || ends_round(r.type))
		l->heard = l->head;
	if (l->heard == l->n)
		l->heard = l->head = l->n = 0;
	if (l->observer != NULL)
		l->observer->ended(l->arg, &r, how);
}

struct exchange_request *
list_oldest(struct exchange *x)
{
	struct exchange_list *l = x->list;

	while (!list_is_empty(l) && l->v[l->head].type == REQUEST_COPY_END)
		list_end_oldest(x, REQUEST_SKIPPED);
	return list_is_empty(l) || rounds_pending(x) > 0 ? NULL : &l->v[l->head];
}

/* ---- its beginning and end ---- */

/* What was sent of a sequence that is open: so many messages of which some may be answered. */
static void
list_open_sequence(struct exchange *x)
{
	unsigned answered = x->pending > 0 ? 0 : x->server.count;
	unsigned n = x->client.count;

	if (x->skip || !(x->open || x->reopened))
		return;
	if (n >= COUNT_MANY || x->server.count >= COUNT_MANY) {
		(void)push(x, REQUEST_MANY);
		return;
	}
	for (n = n > answered ? n - answered : 0; n > 0; n--)
		(void)push(x, REQUEST_ANY);
}

void
exchange_list(struct exchange *x, const struct exchange_observer *observer, void *arg)
{
	struct exchange_list *l = x->listed ? x->list : xcalloc(1, sizeof(*l));

	if (observer != NULL) {
		l->observer = observer;
		l->arg = arg;
	}
	if (x->listed)
		return;
	l->v = l->first;
	l->size = EXCHANGE_LIST_FIRST;
	l->rounds = x->queue;
	x->list = l;
	x->listed = 1;
	list_open_sequence(x);
}

bool
exchange_lists_exactly(const struct exchange *x)
{
	bool counted = x->client.count < COUNT_MANY && x->server.count < COUNT_MANY;

	if (x->listed)
		return !x->list->inexact;
	return x->copy == EXCHANGE_COPY_NONE && x->ignored == 0 && x->unsure == 0 && !x->beyond &&
	       !rounds_in_doubt(x) && (counted || !(x->open || x->reopened));
}

/* To the compact form; what is outstanding is known by its number only. */
static void
become_compact(struct exchange *x)
{
	struct exchange_list *l = x->list;

	if (l->v != l->first)
		free(l->v);
	free(l);
	x->listed = 0;
	x->client.type = 0;
	x->queue = 0;
	x->queued = 0;
	x->client.count = x->server.count = 0;
	x->beyond = x->pending > 0;
}

HOT void
exchange_unlist(struct exchange *x)
{
	uint32_t pending = x->pending;

	if (!x->listed)
		return;
	while (!list_is_empty(x->list))
		list_end_oldest(x, REQUEST_SKIPPED);
	x->pending = pending;
	become_compact(x);
}

void
list_end_if_idle(struct exchange *x)
{
	struct exchange_list *l = x->list;

	if (x->pending == 0 && x->tx == 'I' && !l->kept && list_is_empty(l) && l->have == 0 &&
	    l->left == 0 && !exchange_is_busy(x) && x->unsure == 0)
		become_compact(x);
}

void
exchange_keep_listed(struct exchange *x, bool kept)
{
	if (!x->listed)
		return;
	x->list->kept = kept;
	if (!kept)
		exchange_note_heard(x);
	list_end_if_idle(x);
}

bool
exchange_is_kept(const struct exchange *x)
{
	return x->listed && x->list->kept;
}

void
exchange_note_heard(struct exchange *x)
{
	if (x->listed)
		x->list->heard = x->list->head;
}

void
exchange_untag(struct exchange *x)
{
	for (uint32_t i = x->listed ? x->list->head : 0; x->listed && i < x->list->n; i++)
		x->list->v[i].tagged = 0;
}

size_t
exchange_listed(const struct exchange *x)
{
	return x->listed ? x->list->n - x->list->head : 0;
}

const struct exchange_request *
exchange_request_at(const struct exchange *x, size_t i)
{
	return &x->list->v[x->list->head + i];
}

bool
exchange_is_all_listed(const struct exchange *x)
{
	return x->listed && rounds_pending(x) == 0;
}

/* ---- messages of the client ---- */

/* It is outstanding, unless the server discards it. */
static void
request(struct exchange *x, char type, char as)
{
	struct exchange_list *l = x->list;
	struct exchange_request *r = x->skip ? NULL : push(x, as);

	if (l->observer != NULL)
		l->observer->sent(l->arg, type, type == as ? r : NULL);
}

static void
pass_unanswered(struct exchange *x, char type)
{
	if (x->list->observer != NULL)
		x->list->observer->sent(x->list->arg, type, NULL);
}

static unsigned
sent_extended(struct exchange *x, char type)
{
	begin_sequence(x);
	count_message(&x->client);
	request(x, type, type);
	x->client.type = type == MSG_DESCRIBE && !x->skip ? (uint8_t)type : 0;
	x->extended += type == MSG_EXECUTE;
	return type == MSG_EXECUTE ? EXCHANGE_QUERY : 0;
}

/* Query and FunctionCall. Where it ends what an error skips, it is skipped, and answered as a Sync
 * is. */
static unsigned
sent_query(struct exchange *x, char type)
{
	bool skipped = x->skip;

	if (skipped && !x->query_ends) {
		pass_unanswered(x, type);
		return 0;
	}
	if (x->copy == EXCHANGE_COPY_IN)
		x->copy = EXCHANGE_COPY_IN_ENDED;
	doubt_ends_with_query(x);
	x->skip = 0;
	request(x, type, skipped ? MSG_SYNC : type);
	x->open = x->reopened = 0;
	x->client.count = 0;
	x->simple++;
	return EXCHANGE_QUERY;
}

static unsigned
sent_sync(struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_IN || x->copy == EXCHANGE_COPY_BOTH) {
		if (x->copy == EXCHANGE_COPY_IN) {
			x->open = 0;
			ignore_sync(x);
		}
		pass_unanswered(x, MSG_SYNC);
		return 0;
	}
	doubt_ends_with_sync(x);
	x->skip = x->open = x->reopened = 0;
	x->client.count = 0;
	request(x, MSG_SYNC, MSG_SYNC);
	return 0;
}

static unsigned
sent_nonsense(struct exchange *x)
{
	begin_sequence(x);
	x->client.count = COUNT_UNKNOWN;
	if (!x->skip)
		(void)push(x, REQUEST_NONSENSE);
	return 0;
}

/* With nothing outstanding it is a leftover of a COPY that failed. */
static unsigned
sent_copy_end(struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_IN)
		x->copy = EXCHANGE_COPY_IN_ENDED;
	else if (x->skip || x->copy == EXCHANGE_COPY_BOTH)
		return 0;
	else if (!list_is_empty(x->list))
		(void)push(x, REQUEST_COPY_END);
	else if (rounds_pending(x) > 0)
		return exchange_on_copy_end(x);
	return 0;
}

/* During a COPY the server ignores a Sync, and any other message ends the COPY, unless that has
 * failed meanwhile. */
static bool
is_out_of_copy(const struct exchange *x, char type)
{
	return x->copy == EXCHANGE_COPY_IN && strchr("dcfHX", type) == NULL;
}

static unsigned
on_sent(struct exchange *x, char type)
{
	x->list->inexact |= is_out_of_copy(x, type);
	switch (type) {
	case MSG_PARSE:
	case MSG_BIND:
	case MSG_DESCRIBE:
	case MSG_CLOSE:
	case MSG_EXECUTE:
		return sent_extended(x, type);
	case MSG_QUERY:
	case MSG_FUNCTION_CALL:
		return sent_query(x, type);
	case MSG_SYNC:
		return sent_sync(x);
	case MSG_FLUSH:
		return x->client.left > 0 && x->copy != EXCHANGE_COPY_IN ? sent_nonsense(x) : 0;
	case MSG_COPY_DONE:
	case MSG_COPY_FAIL:
		return sent_copy_end(x);
	case MSG_TERMINATE:
		x->terminated = 1;
		return EXCHANGE_TERMINATE;
	case MSG_COPY_DATA:
		return 0;
	default:
		return sent_nonsense(x);
	}
}

/* The body of the last request. */
static const char *
pass_client_body(struct exchange *x, const char *p, size_t n)
{
	struct exchange_side *side = &x->client;
	struct exchange_list *l = x->list;

	if (n > side->left)
		n = side->left;
	if (side->type != 0 && l->n > l->head)
		l->v[l->n - 1].of_statement = *p == 'S';
	side->type = 0;
	side->left -= (uint32_t)n;
	return p + n;
}

unsigned
list_client(struct exchange *x, const char *p, size_t n)
{
	struct exchange_side *side = &x->client;
	const char *end = slice_skip(slice_of(p, n), n).p; /* p may be NULL */
	unsigned events = 0;

	while (p < end) {
		if (side->left > 0) {
			p = pass_client_body(x, p, (size_t)(end - p));
			continue;
		}
		side->head[side->have++] = (uint8_t)*p++;
		if (side->have < FRAME_HEAD_BYTES)
			continue;
		side->have = 0;
		if (!begin_body(side, side->head))
			return events | EXCHANGE_BAD;
		side->type = 0;
		events |= on_sent(x, (char)side->head[0]);
		memset(side->head, 0, sizeof(side->head));
	}
	return events;
}

/* ---- what the server's messages do ---- */

/* The oldest is a Query that is skipped, and answered as a Sync is. */
static void
turn_into_sync(struct exchange *x)
{
	struct exchange_list *l = x->list;
	struct exchange_request *r = &l->v[l->head], query = *r;

	r->type = MSG_SYNC;
	r->fate = REQUEST_FORWARD;
	r->tagged = 0;
	if (l->observer != NULL)
		l->observer->ended(l->arg, &query, REQUEST_SKIPPED);
}

void
list_skip_to_sync(struct exchange *x)
{
	struct exchange_list *l = x->list;

	while (!list_is_empty(l) && l->v[l->head].type != MSG_SYNC) {
		if (x->query_ends && ends_round(l->v[l->head].type))
			turn_into_sync(x);
		else
			list_end_oldest(x, REQUEST_SKIPPED);
	}
	if (list_is_empty(l)) {
		x->skip = 1;
		x->reopened = 0;
	}
}

void
list_attribute_error(struct exchange *x)
{
	const struct exchange_request *r = list_oldest(x);

	if (r == NULL || ends_round(r->type))
		return;
	list_end_oldest(x, REQUEST_FAILED);
	list_skip_to_sync(x);
}

/* The server ignores the Syncs, and what else there is of Flush, from the i-th request on, up to
 * the end of the copy. */
static void
ignore_syncs_from(struct exchange *x, uint32_t i)
{
	struct exchange_list *l = x->list;
	uint32_t to = l->head + i;

	while (to < l->n && (l->v[to].type == MSG_SYNC || l->v[to].type == REQUEST_NONSENSE)) {
		if (l->v[to].type == MSG_SYNC) {
			count_request(x, MSG_SYNC, UINT32_MAX);
			ignore_sync(x);
		}
		to++;
	}
	if (to < l->n && l->v[to].type == REQUEST_COPY_END) {
		x->copy = EXCHANGE_COPY_IN_ENDED;
		to++;
	}
	memmove(l->v + (to - i), l->v + l->head, i * sizeof(*l->v));
	l->head = to - i;
	l->heard = l->head; /* nor is it a COMMIT that is outstanding */
}

/* A CopyDone was sent in the sequence that was open when the list began, somewhere. */
static void
end_copy_of_any(struct exchange *x)
{
	round_remove(x, 0);
	x->copy = EXCHANGE_COPY_IN_ENDED;
}

void
list_copy_in(struct exchange *x, bool in_front)
{
	const struct exchange_request *r = in_front ? NULL : list_oldest(x);

	x->list->inexact |= exchange_listed(x) > (r != NULL ? 1 : 0);
	if (in_front)
		ignore_syncs_from(x, 0);
	else if (r != NULL && strchr("?*", r->type) != NULL && x->queued > 0)
		end_copy_of_any(x);
	else if (r != NULL && strchr("EQ?*", r->type) != NULL)
		ignore_syncs_from(x, 1);
}

bool
list_is_surplus(struct exchange *x)
{
	const struct exchange_request *r = list_oldest(x);

	return r != NULL && r->type != MSG_SYNC;
}

void
list_end_round(struct exchange *x)
{
	struct exchange_list *l = x->list;

	rounds_forget(x); /* CopyDones of a sequence that is over */
	for (; !list_is_empty(l) && !ends_round(l->v[l->head].type); l->strayed = true)
		list_end_oldest(x, REQUEST_SKIPPED);
	if (!list_is_empty(l))
		list_end_oldest(x, REQUEST_DONE);
	(void)list_oldest(x); /* a CopyDone right behind ended no COPY of that round */
}

bool
list_awaits_query(const struct exchange *x)
{
	return exchange_listed(x) == 1 && rounds_pending(x) == 0 &&
	       exchange_request_at(x, 0)->type == MSG_QUERY;
}
