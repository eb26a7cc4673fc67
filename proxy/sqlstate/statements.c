/* SPDX-License-Identifier: PostgreSQL
 *
 * The client's direction: which of its messages speak of prepared statements, and what goes to the
 * server in their place. The replies to what is put in front are taken out again by
 * the exchange (protocol/exchange_list.h).
 *
 *   Parse of a statement that the server has   Close of a name that never exists; its CloseComplete
 *                                              becomes the ParseComplete
 *   Parse of another                           under a name of ours
 *   Bind, Describe of one that it has not      a Parse of ours in front
 *   Close                                      Close of a name that never exists: others use it
 *   DEALLOCATE of a name, by Query or Parse    of a dummy that is made in front
 *
 * In the second line of the first row a Parse would fail in a failed transaction, and a Close would
 * not: it is done only where the transaction cannot have failed.
 */
#include "config.h"

#include "proxy/sqlstate/statements_walk.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/calleffects.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"

#define HELD_MAX     ((size_t)1 << 20)    /* a read and a message */
#define OUT_MAX      ((size_t)256 * 1024) /* put out at a time */
#define REQUESTS_MAX 65536                /* outstanding */

/* ---- the ends of sequences ---- */

static enum step
on_sync(struct walk *w, size_t total)
{
	if (w->copying) {
		w->c->said++;
		walk_pass(w, total);
		return STEP_ON;
	}
	w->skipping = false;
	walk_await(w, MSG_SYNC, NULL);
	walk_end_sequence(w, total);
	return STEP_ON;
}

static enum step
on_call(struct walk *w, size_t total)
{
	struct slice body = slice_skip(slice_of(w->at, walk_left(w)), FRAME_HEAD_BYTES);
	size_t n = total - FRAME_HEAD_BYTES, wants;

	if (body.n > n)
		body.n = n;
	wants = calleffects_wants(body, n);
	if (body.n < wants && wants <= STATEMENTS_TEXT_MAX)
		return STEP_MORE;
	walk_note(w, calleffects(body, n, &w->c->settings));
	if (w->open)
		walk_list(w);
	walk_await(w, MSG_FUNCTION_CALL, NULL);
	walk_end_sequence(w, total);
	return STEP_ON;
}

static enum step
on_copy_end(struct walk *w, size_t total)
{
	w->copying = false;
	walk_pass(w, total);
	return STEP_ON;
}

/* One with a body is an error like that of any extended-query message: what follows is discarded.
 */
static enum step
on_flush(struct walk *w, size_t total)
{
	if (total > FRAME_HEAD_BYTES && !w->copying)
		walk_await(w, MSG_FLUSH, NULL);
	walk_pass(w, total);
	return STEP_ON;
}

/* ---- the stream ---- */

/* As servers bound them (PQ_SMALL_MESSAGE_LIMIT, PQ_LARGE_MESSAGE_LIMIT): what is longer they do
 * not read, and we do not wait for. */
static size_t
longest(char type)
{
	static const char small[] = { MSG_CLOSE, MSG_DESCRIBE,  MSG_EXECUTE,   MSG_FLUSH,
				      MSG_SYNC,  MSG_COPY_DONE, MSG_COPY_FAIL, MSG_TERMINATE };

	return memchr(small, type, sizeof(small)) != NULL ? 1 + 10000 : 1 + (size_t)0x3ffffffe;
}

static enum step (*const handlers[256])(struct walk *w, size_t total) = {
	[MSG_PARSE] = walk_on_parse,
	[MSG_BIND] = walk_on_bind,
	[MSG_DESCRIBE] = walk_on_describe,
	[MSG_CLOSE] = walk_on_close,
	[MSG_EXECUTE] = walk_on_execute,
	[MSG_SYNC] = on_sync,
	[MSG_QUERY] = walk_on_query,
	[MSG_FUNCTION_CALL] = on_call,
	[MSG_COPY_DONE] = on_copy_end,
	[MSG_COPY_FAIL] = on_copy_end,
	[MSG_FLUSH] = on_flush,
};

/* What the server discards is of no interest, but for a Query that ends that. */
static enum step
pass_skipped(struct walk *w, size_t total)
{
	static const char unanswered[] = { MSG_FLUSH, MSG_COPY_DONE, MSG_COPY_FAIL };
	char type = w->at[0];

	w->c->said += memchr(unanswered, type, sizeof(unanswered)) == NULL;
	if (w->c->exchange->query_ends && (type == MSG_QUERY || type == MSG_FUNCTION_CALL)) {
		w->skipping = false;
		walk_end_sequence(w, total);
	} else {
		walk_pass(w, total);
	}
	return STEP_ON;
}

static enum step
one_message(struct walk *w)
{
	size_t total;

	if (walk_left(w) < FRAME_HEAD_BYTES)
		return STEP_MORE;
	total = frame_total(w->at);
	if (total < FRAME_HEAD_BYTES || total > longest(w->at[0])) {
		w->c->why = "Invalid message length.";
		return STEP_BAD;
	}
	if (handlers[(uint8_t)w->at[0]] == NULL) {
		walk_pass(w, total);
		return STEP_ON;
	}
	if (w->skipping && w->at[0] != MSG_SYNC)
		return pass_skipped(w, total);
	if (exchange_listed(w->c->exchange) + w->c->said > REQUESTS_MAX)
		return STEP_WAIT;
	if (w->at[0] != MSG_DESCRIBE)
		w->bound = NULL;
	return handlers[(uint8_t)w->at[0]](w, total);
}

static HOT enum step
all_messages(struct walk *w)
{
	enum step step = STEP_ON;

	while (step == STEP_ON && w->at < w->end) {
		if (w->c->left > 0)
			walk_pass(w, w->c->left);
		else if (w->out->n > OUT_MAX)
			return STEP_WAIT;
		else
			step = one_message(w);
	}
	return step;
}

/* A wait that no answer will end: the server owes nothing, or it is it that waits, for the data of
 * a COPY, which what comes next is not. But not in the middle of what it says. */
static bool
waits_in_vain(const struct walk *w)
{
	const struct statements *c = w->c;
	const struct exchange *x = c->exchange;

	if (w->out->n > OUT_MAX || c->ended_here > 0 || exchange_holds(x) ||
	    !exchange_at_server_boundary(x))
		return false;
	return !exchange_is_busy(x) || x->copy == EXCHANGE_COPY_IN;
}

static enum step
go(struct walk *w)
{
	enum step step = all_messages(w);

	if (step == STEP_WAIT && waits_in_vain(w)) {
		acts_abandon(w->c);
		w->c->doubt = 0;
		step = all_messages(w);
	}
	w->c->state = STATEMENTS_FLOWING;
	if (step == STEP_WAIT)
		w->c->state = w->out->n > OUT_MAX ? STATEMENTS_MAY_GO_ON : STATEMENTS_WAITING;
	/* the answers to half a sequence must be told from those to the rest of it */
	if (w->open)
		walk_list(w);
	return step;
}

HOT enum statements_verdict
statements_client(struct statements *c, uint64_t meaning, const char *p, size_t n, struct buf *out)
{
	struct buf in = c->held;
	size_t put = out->n;
	const char *at = p != NULL ? p : ""; /* NULL + 0 is undefined in C */
	struct walk w = {
		.c = c, .out = out, .from = at, .at = at, .end = at + n, .meaning = meaning
	};

	if (statements_change_meaning(c->effects))
		w.meaning = 0;
	buf_init(&c->held, HELD_MAX);
	if (in.n > 0) {
		buf_put(&in, p, n);
		w.from = w.at = in.p;
		w.end = in.p + in.n;
	}
	w.number = ++c->table->walks;
	w.copying = c->exchange->copy == EXCHANGE_COPY_IN;
	w.skipping = exchange_skips(c->exchange);
	c->said = c->heard_said = c->ended_here = 0;
	c->lists = 0;
	if (in.failed || go(&w) == STEP_BAD) {
		buf_fini(&in);
		return STATEMENTS_BAD;
	}
	if (c->said > 0 && is_listed(c))
		exchange_list(c->exchange, &statements_of_exchange, c);
	if (in.n == 0 && out->n == put && w.from == at && w.at == w.end)
		return STATEMENTS_AS_IS;
	walk_flush(&w);
	/* what has not gone yet is kept for the next time */
	if (in.n > 0 && w.at == in.p) {
		c->held = in;
	} else {
		buf_put(&c->held, w.at, walk_left(&w));
		buf_fini(&in);
	}
	if (out->failed || c->held.failed) {
		c->why = "Too many statements at once.";
		return STATEMENTS_BAD;
	}
	return STATEMENTS_REWRITTEN;
}

/* ---- life ---- */

HOT struct statements *
statements_new(struct statement_table *t, struct prepared_names *names)
{
	struct statements *c = xcalloc(1, sizeof(*c));

	prepared_names_enlarge(names, sizeof(struct name));
	c->names = names;
	c->table = t;
	c->as_is = t->max == 0;
	buf_init(&c->held, HELD_MAX);
	c->why = "";
	return c;
}

HOT void
statements_free(struct statements *c)
{
	if (c == NULL)
		return;
	if (c->ss != NULL)
		statements_detach(c);
	names_fini(c);
	unnamed_set(c, NULL);
	buf_fini(&c->held);
	buf_fini(&c->settings);
	free(c);
}

HOT void
statements_attach(struct statements *c, struct server_statements *ss, struct exchange *exchange)
{
	c->ss = ss;
	c->exchange = exchange;
	c->unnamed_there = 0;
	c->strayed = c->doubt = 0;
}

HOT void
statements_detach(struct statements *c)
{
	if (c->exchange != NULL)
		exchange_unlist(c->exchange);
	acts_fini(c);
	walk_forget_drop(c);
	c->ss = NULL;
	c->exchange = NULL;
	c->unnamed_there = 0;
}

HOT bool
statements_settled(const struct statements *c)
{
	return c->held.n == 0 && (c->exchange == NULL || !exchange_holds(c->exchange));
}

/* ---- answers ---- */

HOT bool
statements_change_meaning(unsigned effects)
{
	return (effects & (EFFECT_SETTINGS | EFFECT_SETTINGS_ALL | EFFECT_UNNAMED |
			   EFFECT_RESET_ALL | EFFECT_CODE | EFFECT_UNKNOWN)) != 0;
}

void
statements_shadow(struct statements *c, bool is_so)
{
	if (is_so && !c->shadowed && ++c->era == 0)
		c->era = 1;
	c->shadowed = is_so;
}

const char *
statements_why(const struct statements *c)
{
	return c->why;
}

bool
statements_holds(const struct statements *c)
{
	return c->held.n > 0;
}

bool
statements_waits(const struct statements *c)
{
	return c->state != STATEMENTS_FLOWING;
}

HOT bool
statements_goes_on(const struct statements *c)
{
	return c->state == STATEMENTS_MAY_GO_ON;
}

void
statements_heard(struct statements *c)
{
	if (c->state == STATEMENTS_WAITING)
		c->state = STATEMENTS_MAY_GO_ON; /* or to wait again */
}

HOT unsigned
statements_effects(struct statements *c, struct buf *names)
{
	unsigned effects = c->effects;

	if (effects == 0)
		return 0;
	if (c->settings.n > 0)
		sqleffects_put_names(names, buf_view(&c->settings));
	if (c->settings.failed)
		effects |= EFFECT_UNNAMED;
	buf_fini(&c->settings);
	c->effects = 0;
	return effects;
}

HOT bool
statements_pins(const struct statements *c)
{
	return c->own || c->longs > 0 ||
	       (c->unnamed != NULL && !c->unnamed->repeatable && !c->unnamed_bound);
}

bool
statements_text(const struct statements *c, struct slice name, struct slice *sql)
{
	const struct name *found = name.n > 0 ? name_find(c, name) : NULL;
	const struct statement *st = name.n == 0 ? c->unnamed : found != NULL ? found->st : NULL;

	if (st == NULL || !st->repeatable)
		return false;
	*sql = st->sql;
	return true;
}

size_t
statements_count(const struct statements *c)
{
	return c->nnames;
}

size_t
statements_bytes(const struct statements *c)
{
	return sizeof(*c) + c->bytes + c->held.size;
}

/* By which PostgreSQL says that a plan is out of date: 0A000, "cached plan must not change result
 * type"; XX000, "cache lookup failed for type 16385", of a parameter, even where there is another
 * of that name now; and that a text cannot be read anew with the types which its parameters have
 * had since it was prepared: 42804 datatype_mismatch, 42846 cannot_coerce, 42883
 * undefined_function, 42703 undefined_column, 42P01 undefined_table. The client will prepare the
 * text anew to be rid of it. */
static bool
is_out_of_date(const char sqlstate[5])
{
	static const char states[][6] = { "0A000", "XX000", "42804", "42846",
					  "42883", "42703", "42P01" };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (memcmp(sqlstate, states[i], 5) == 0)
			return true;
	}
	return false;
}

/* 26000, invalid_sql_statement_name: what should be there is not, if it was not the client's own
 * mistake. */
void
statements_error(struct statements *c, const char sqlstate[5])
{
	struct slot *slot;

	if (memcmp(sqlstate, "26000", 5) == 0 && !c->strayed && c->ss != NULL) {
		while ((slot = TAILQ_FIRST(&c->ss->used)) != NULL) {
			slot_unlink(c->ss, slot);
			slot_discard(c->ss, slot);
		}
	}
	if (is_out_of_date(sqlstate))
		names_withdraw(c);
}
