/* SPDX-License-Identifier: PostgreSQL
 *
 * The walk through the bytes of a client: between the files that rewrite its messages
 * (statements_walk.c, statements_refer.c, statements_parse.c, statements.c). A message is either
 * passed, which only moves `at`, or dropped, and something else put in its place. What must wait is
 * decided before anything is put out, so that the message can be looked at again.
 */
#ifndef PROXY_SQLSTATE_STATEMENTS_WALK_H
#define PROXY_SQLSTATE_STATEMENTS_WALK_H

#include "proxy/sqlstate/statements_int.h"

#include "protocol/frame.h"
#include "protocol/message.h"

#define STATEMENTS_NOWHERE  STATEMENTS_PREFIX "0" /* a name that no statement has */
#define STATEMENTS_HEAD_MAX ((size_t)8192)        /* of a message, as far as its names reach */

enum step {
	STEP_ON,   /* the message has gone its way, or has begun to */
	STEP_MORE, /* more of it must be there */
	STEP_WAIT, /* the server must answer first */
	STEP_BAD,
};

/* The client's bytes, and how far they have gone. */
struct walk {
	struct statements *c;
	struct buf *out;
	const char *from, *at, *end; /* `from` to `at` passes, but has not been put out */
	uint64_t meaning;
	uint64_t number;     /* of this walk */
	struct name *bound;  /* by the message before this one, or NULL … */
	struct slice portal; /* … to this */
	bool open;           /* part of one has been seen in them */
	bool copying;        /* the server ignores Sync */
	bool skipping;       /* the server discards messages until Sync */
};

static inline size_t
walk_left(const struct walk *w)
{
	return (size_t)(w->end - w->at);
}

static inline struct slice
slot_name(const struct slot *slot)
{
	return slice_of(slot->name, slot->n);
}

static inline struct slice
statement_tail(const struct statement *st)
{
	return slice_of(st->tail, st->n);
}

/* Something of an earlier sequence is not settled yet. */
static inline bool
walk_is_open_before(const struct statements *c, uint32_t pending, uint32_t seq)
{
	return pending > 0 && seq != c->seq;
}

/* What stands before `at` goes out as it is. */
void walk_flush(struct walk *w);
/* The next n bytes, of which not all need be here yet, pass. */
void walk_pass(struct walk *w, size_t n);
/* The next n bytes do not go out; what stands before them does. */
void walk_drop(struct walk *w, size_t n);
/* A Parse; `tail` is as much as is put now of the tail_n bytes behind its name. */
void walk_put_parse(struct buf *b, struct slice name, struct slice tail, size_t tail_n);
/* A Close or Describe of a statement. */
void walk_put_target(struct buf *b, enum message_type type, struct slice name);

/* These bytes, and what comes behind them, are listed: every answer counts. */
void walk_list(struct walk *w);
/* A message of this type goes out now; with an act, it is listed in any case. */
void walk_await(struct walk *w, char type, const struct act *take_act);
bool walk_must_doubt(struct statements *c);
/* Whether names cannot be relied on yet. */
bool walk_must_wait(struct statements *c, const struct name *name);
bool walk_slot_must_wait(const struct statements *c, const struct slot *slot);
/* What may be done now … */
void walk_note(struct walk *w, unsigned effects);
/* … by a text. */
void walk_note_effects(struct walk *w, unsigned effects, struct slice sql);
void walk_note_statement(struct walk *w, struct statement *st);

/* A reference to the statement that a text is here and now; `sql` lies in `tail`. */
struct statement *walk_statement(struct walk *w, struct slice tail, struct slice sql);

/* The string at p, which must end before `end`. */
bool walk_read_name(const char *p, const char *end, struct slice *out);
/* The end of what there is of a message, or of what its names may reach to. */
const char *walk_head_end(const struct walk *w, size_t total);
/* No name where one should be: wait for it, or let the server judge. */
enum step walk_no_head(struct walk *w, size_t total, char type);

/* A slot whose Parse goes out now; `old` is what it takes the place of. */
struct slot *walk_open_slot(struct walk *w, struct statement *st, struct slot **old);
struct slot *walk_parse_in_front(struct walk *w, struct statement *st);
/* A Parse of an empty text, which can be parsed in a failed transaction, too. */
struct slot *walk_dummy_in_front(struct walk *w);
/* A Parse that fails, in the place of a Bind that must. */
void walk_put_refused(struct walk *w);
void walk_forget_drop(struct statements *c);
void walk_end_sequence(struct walk *w, size_t total);

enum step walk_on_bind(struct walk *w, size_t total);
enum step walk_on_describe(struct walk *w, size_t total);
enum step walk_on_close(struct walk *w, size_t total);
enum step walk_on_parse(struct walk *w, size_t total);
enum step walk_on_execute(struct walk *w, size_t total);
enum step walk_on_query(struct walk *w, size_t total);

#endif
