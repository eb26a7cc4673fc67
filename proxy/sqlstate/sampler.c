/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/fingerprint.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/fingerprints.h"
#include "proxy/sqlstate/prepared.h"

#define KEYS_MAX  64  /* of prepared statements of one session */
#define NAMES_MAX 256 /* of a portal and a statement, with their NULs */

struct kind;

struct sampler {
	struct fingerprints *table;
	char *database;
	unsigned one_of;
	struct framer framer;
	const struct kind *kind; /* of the message that is gathered; NULL: none is … */
	size_t wanted;           /* … so much of its body … */
	struct buf part;         /* … and what there is of that */
	struct prepared_notes keys;
	unsigned under_way; /* statements since the server last owed nothing */
	uint64_t timed;     /* key of the one whose answer is timed; 0: none is */
	int64_t began_us;
};

struct sampler *
sampler_new(struct fingerprints *table, struct prepared_names *names, struct slice database,
	    unsigned one_of)
{
	struct sampler *s = xcalloc(1, sizeof(*s));

	s->table = table;
	s->database = xstrndup(database.p, database.n);
	s->one_of = one_of;
	prepared_notes_init(&s->keys, names, PREPARED_KEYS, KEYS_MAX);
	s->part.cap = NAMES_MAX + SAMPLER_TEXT_MAX;
	return s;
}

HOT void
sampler_free(struct sampler *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->part);
	prepared_notes_fini(&s->keys);
	free(s->database);
	free(s);
}

void
sampler_restart(struct sampler *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->part);
	s->kind = NULL;
	s->framer = (struct framer){ 0 };
	s->timed = 0;
	s->under_way = 0;
}

/* ---- statements ---- */

static uint64_t
key_of(struct sampler *s, struct slice sql, bool is_cut)
{
	struct buf text = { 0 };
	uint64_t key;

	(void)fingerprint_put(sql, is_cut, &text);
	key = fingerprints_key(s->table, slice_str(s->database), buf_view(&text), clock_us());
	buf_fini(&text);
	return key;
}

/* One runs; key 0: it is not looked at. */
static void
run(struct sampler *s, uint64_t key)
{
	int64_t now_us = key != 0 ? clock_us() : 0;

	s->timed = s->under_way++ == 0 ? key : 0;
	s->began_us = now_us;
	if (key != 0)
		fingerprints_count(s->table, key, s->one_of, now_us);
}

static bool
is_chosen(struct sampler *s)
{
	return fingerprints_chance(s->table, s->one_of);
}

/* A text to its NUL, or as much of it as there is. */
static struct slice
text_of(struct slice body, bool *is_cut)
{
	struct slice rest = body, text = slice_cut(&rest, '\0');

	*is_cut = text.n == body.n || text.n > SAMPLER_TEXT_MAX;
	if (text.n > SAMPLER_TEXT_MAX)
		text.n = SAMPLER_TEXT_MAX;
	return text;
}

/* It may be one that takes names away. */
static void
note_run(struct sampler *s, struct slice body)
{
	struct slice sql;
	bool is_cut;

	if (s->keys.n == 0)
		return;
	sql = text_of(body, &is_cut);
	if (!is_cut)
		prepared_ran(&s->keys, sql);
}

static void
on_query(struct sampler *s, struct slice body)
{
	struct slice sql;
	bool is_cut;

	prepared_heard(&s->keys, MSG_QUERY, body);
	note_run(s, body);
	if (!is_chosen(s)) {
		run(s, 0);
		return;
	}
	sql = text_of(body, &is_cut);
	run(s, key_of(s, sql, is_cut));
}

static void
on_parse(struct sampler *s, struct slice body)
{
	struct slice name, sql;
	bool is_cut;

	prepared_heard(&s->keys, MSG_PARSE, body);
	name = slice_cut(&body, '\0');
	if (name.n == 0) {
		note_run(s, body); /* soon */
		if (!is_chosen(s))
			return;
	}
	sql = text_of(body, &is_cut);
	prepared_note_key(&s->keys, name, key_of(s, sql, is_cut));
}

static void
on_bind(struct sampler *s, struct slice body)
{
	struct slice name;
	uint64_t key;

	(void)slice_cut(&body, '\0'); /* the portal */
	name = slice_cut(&body, '\0');
	key = prepared_key(&s->keys, name);
	/* that without a name was chosen when it was parsed */
	run(s, key != 0 && (name.n == 0 || is_chosen(s)) ? key : 0);
}

static void
on_close(struct sampler *s, struct slice body)
{
	prepared_heard(&s->keys, MSG_CLOSE, body);
}

/* ---- messages ---- */

static const struct kind {
	char type;
	size_t enough; /* so much of the body is looked at */
	void (*on)(struct sampler *s, struct slice body);
} kinds[] = {
	{ MSG_QUERY, SAMPLER_TEXT_MAX + 1, on_query },
	{ MSG_PARSE, NAMES_MAX + SAMPLER_TEXT_MAX, on_parse },
	{ MSG_BIND, NAMES_MAX, on_bind },
	{ MSG_CLOSE, NAMES_MAX, on_close },
};

/* A piece of a message: its statement counts when enough of it is there, and is gathered until
 * then. */
static void
look(struct sampler *s, const struct frame_piece *piece)
{
	const struct kind *kind;
	size_t more;

	if (piece->begins)
		s->kind = NULL;
	for (size_t i = 0; piece->begins && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].type != piece->type)
			continue;
		s->kind = &kinds[i];
		s->wanted = piece->length < kinds[i].enough ? piece->length : kinds[i].enough;
	}
	kind = s->kind;
	if (kind == NULL)
		return;
	if (piece->begins && piece->body.n >= s->wanted) {
		s->kind = NULL;
		kind->on(s, slice_of(piece->body.p, s->wanted));
		return;
	}
	more = s->wanted - s->part.n < piece->body.n ? s->wanted - s->part.n : piece->body.n;
	buf_put(&s->part, piece->body.p, more);
	if (s->part.n < s->wanted)
		return;
	s->kind = NULL;
	kind->on(s, buf_view(&s->part));
	buf_fini(&s->part);
}

void
sampler_client(struct sampler *s, struct slice in)
{
	struct frame_piece piece;

	while (framer_next(&s->framer, &in, &piece) == PARSE_DONE)
		look(s, &piece);
}

void
sampler_answered(struct sampler *s)
{
	if (s->timed != 0) {
		int64_t now_us = clock_us();

		fingerprints_took(s->table, s->timed, now_us - s->began_us, now_us);
	}
	s->timed = 0;
	s->under_way = 0;
}
