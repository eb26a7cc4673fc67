/* SPDX-License-Identifier: PostgreSQL
 *
 * What the server's answers change: the observer of the exchange's list. An act belongs to a
 * request that it tags, and is done, failed or skipped with it.
 *
 * The exchange is listed only while a request is outstanding that has an act, or a sequence is half
 * sent. What was outstanding before that has no act.
 */
#include "config.h"

#include "proxy/sqlstate/statements_int.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/message.h"

/* ---- acts ---- */

/* Make room at the front, where most of it is used up. */
static void
compact(struct acts *all)
{
	if (all->head < 64 || all->head < all->n / 2)
		return;
	memmove(all->v, all->v + all->head, (all->n - all->head) * sizeof(*all->v));
	all->n -= all->head;
	all->sent -= all->head;
	all->head = 0;
}

void
acts_add(struct statements *c, const struct act *take_act)
{
	struct acts *all = &c->acts;

	compact(all);
	if (all->n == all->size) {
		all->size = all->size == 0 ? 4 : all->size * 2;
		all->v = xreallocarray(all->v, all->size, sizeof(*all->v));
	}
	all->v[all->n] = *take_act;
	all->v[all->n++].at = c->said;
	c->stale |= take_act->old != NULL || take_act->what == ACT_EVICT;
}

static void
end_act(struct statements *c, struct act *act, enum request_outcome how)
{
	if (act->is_query) {
		c->unnamed_pending--;
		if (how == REQUEST_DONE)
			unnamed_set(c, NULL);
	}
	if (act->what == ACT_DROP && how == REQUEST_DONE && !act->done)
		how = REQUEST_SKIPPED;
	act_end(c, act, how);
}

void
acts_abandon(struct statements *c)
{
	while (c->acts.head < c->acts.sent)
		end_act(c, &c->acts.v[c->acts.head++], REQUEST_SKIPPED);
	exchange_untag(c->exchange);
}

HOT void
acts_fini(struct statements *c)
{
	while (c->acts.head < c->acts.n)
		end_act(c, &c->acts.v[c->acts.head++], REQUEST_SKIPPED);
	free(c->acts.v);
	c->acts = (struct acts){ .v = NULL };
}

/* ---- requests ---- */

static void
on_sent(void *arg, char type, struct exchange_request *r)
{
	struct statements *c = arg;
	struct acts *all = &c->acts;
	struct act *act;
	char instead;

	(void)type;
	c->heard_said++;
	if (all->sent == all->n || all->v[all->sent].at != c->heard_said)
		return;
	act = &all->v[all->sent];
	/* the server discards the message: it is as if the act had never been */
	if (r == NULL) {
		end_act(c, act, REQUEST_SKIPPED);
		memmove(act, act + 1, (all->n - all->sent - 1) * sizeof(*act));
		all->n--;
		return;
	}
	instead = act_instead(act->what);
	r->tagged = 1;
	r->fate = instead == REPLY_GOES     ? REQUEST_SKIP
		  : instead == REPLY_PASSES ? REQUEST_FORWARD
					    : REQUEST_REPLACE;
	r->instead = instead;
	all->sent++;
}

static void
on_ended(void *arg, const struct exchange_request *r, enum request_outcome how)
{
	struct statements *c = arg;

	if (r->tagged)
		end_act(c, &c->acts.v[c->acts.head++], how);
}

/* The act of the oldest request; NULL: it has none. */
static struct act *
act_of(struct statements *c, const struct exchange_request *r)
{
	return r != NULL && r->tagged ? &c->acts.v[c->acts.head] : NULL;
}

/* ---- shapes ---- */

#define SHAPE_SEED  UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define SHAPE_PRIME UINT64_C(0x100000001b3)

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
		c->shape = (c->shape ^ (uint8_t)byte) * SHAPE_PRIME;
	if (c->field_at != NAME || byte == '\0')
		c->field_at++;
	if (c->field_at == END)
		c->field_at = NAME;
}

static void
on_rows(struct statements *c, const struct frame_piece *piece)
{
	if (piece->begins) {
		c->shape = SHAPE_SEED;
		c->field_at = 0;
	}
	for (size_t i = 0; i < piece->body.n; i++)
		note_rows(c, piece->body.p[i]);
}

/* ---- tags ---- */

static bool
tag_is(const struct statements *c, const char *tag)
{
	return c->tag_n == strlen(tag) + 1 && memcmp(c->tag, tag, c->tag_n) == 0;
}

static void
on_tag(struct statements *c, struct act *act, const struct frame_piece *piece)
{
	if (piece->begins)
		c->tag_n = 0;
	for (size_t i = 0; i < piece->body.n && c->tag_n < sizeof(c->tag); i++)
		c->tag[c->tag_n++] = piece->body.p[i];
	if (!piece->ends)
		return;
	if (tag_is(c, "DEALLOCATE ALL") || tag_is(c, "DISCARD ALL"))
		names_forget_all(c);
	if (act != NULL && act->what == ACT_DROP)
		act->done |= tag_is(c, "DEALLOCATE");
}

static void
on_answer(void *arg, const struct exchange_request *r, const struct frame_piece *piece)
{
	struct statements *c = arg;
	struct act *act = act_of(c, r);

	if (piece->type == MSG_COMMAND_COMPLETE)
		on_tag(c, act, piece);
	else if (act != NULL && r->type == MSG_DESCRIBE)
		on_rows(c, piece);
}

/* ---- errors ---- */

/* In the place of an error that was provoked, what PostgreSQL says of a plan that has changed:
 * drivers know it by its routine or its message, and prepare the statement anew. The error is
 * longer; should it not have come whole, it stays as it is. */
static void
on_failing(void *arg, const struct exchange_request *r, char *body, size_t n)
{
	static const char text[] =
	    "SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0"
	    "Fplancache.c\0RRevalidateCachedQuery\0D"
	    "The statement's result is another than the session was told.";
	struct act *act = act_of(arg, r);

	if (act == NULL || act->what != ACT_REFUSE || n < sizeof(text) + 1)
		return;
	memset(body, ' ', n);
	memcpy(body, text, sizeof(text) - 1);
	body[n - 2] = body[n - 1] = '\0';
}

const struct exchange_observer statements_of_exchange = {
	.sent = on_sent,
	.answer = on_answer,
	.failing = on_failing,
	.ended = on_ended,
};
