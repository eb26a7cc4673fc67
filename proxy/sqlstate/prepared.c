/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/prepared.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/hash.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/deallocate.h"
#include "protocol/message.h"

/* ---- names ---- */

struct prepared_text {
	size_t n;
	char sql[];
};

HOT struct prepared_names *
prepared_names_init(struct prepared_names *names, uint64_t seed)
{
	*names = (struct prepared_names){ .seed = seed, .room = sizeof(struct prepared) };
	return names;
}

HOT void
prepared_names_fini(const struct prepared_names *names)
{
	BUG_ON(names->by_name != NULL);
}

HOT void
prepared_names_enlarge(struct prepared_names *names, size_t room)
{
	BUG_ON(names->by_name != NULL);
	names->room = (uint32_t)room;
}

/* As the server has it. An empty one may be NULL, which memcmp() does not take. */
static struct slice
clip(struct slice name)
{
	if (name.n == 0)
		return slice_of("", 0);
	return slice_of(name.p, name.n < PREPARED_NAME_MAX ? name.n : PREPARED_NAME_MAX);
}

struct prepared *
prepared_find(const struct prepared_names *names, struct slice name)
{
	struct prepared *p;

	name = clip(name);
	HASH_FIND_BYHASHVALUE(hh, names->by_name, name.p, name.n, hash_slice(names->seed, name), p);
	return p;
}

struct prepared *
prepared_need(struct prepared_names *names, struct slice name)
{
	struct prepared *p = prepared_find(names, name);
	uint32_t hash;
	char *text;

	if (p != NULL)
		return p;
	name = clip(name);
	hash = hash_slice(names->seed, name);
	p = xcalloc(1, names->room + name.n);
	text = (char *)p + names->room;
	memcpy(text, name.p, name.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, names->by_name, text, name.n, hash, p);
	return p;
}

void
prepared_release(struct prepared_names *names, struct prepared *p)
{
	if (p->is_taken || p->notes[PREPARED_TEXTS] > 0 || p->notes[PREPARED_KEYS] > 0)
		return;
	HASH_DEL(names->by_name, p);
	free(p);
}

size_t
prepared_bytes(const struct prepared_names *names, const struct prepared *p)
{
	return names->room + p->hh.keylen;
}

/* ---- notes ---- */

HOT void
prepared_notes_init(struct prepared_notes *notes, struct prepared_names *names,
		    enum prepared_kind kind, uint8_t max)
{
	*notes = (struct prepared_notes){ .names = names, .kind = (uint8_t)kind, .max = max };
}

static void
drop(struct prepared_notes *notes, unsigned i)
{
	struct prepared_note gone = notes->v[i];

	notes->n--;
	memmove(notes->v + i, notes->v + i + 1, (notes->n - i) * sizeof(*notes->v));
	for (; i < notes->n; i++)
		notes->v[i].of->notes[notes->kind] = (uint8_t)(i + 1);
	gone.of->notes[notes->kind] = 0;
	if (notes->kind == PREPARED_TEXTS)
		free(gone.is.text);
	prepared_release(notes->names, gone.of);
	if (notes->n > 0)
		return;
	free(notes->v);
	notes->v = NULL;
}

HOT void
prepared_notes_fini(struct prepared_notes *notes)
{
	while (notes->n > 0)
		drop(notes, notes->n - 1u);
}

/* NULL: nothing is noted. */
static struct prepared_note *
find(const struct prepared_notes *notes, struct slice name)
{
	const struct prepared *p = notes->n > 0 ? prepared_find(notes->names, name) : NULL;
	unsigned at = p != NULL ? p->notes[notes->kind] : 0;

	return at > 0 ? &notes->v[at - 1] : NULL;
}

static void
forget(struct prepared_notes *notes, struct slice name)
{
	const struct prepared_note *note = find(notes, name);

	if (note != NULL)
		drop(notes, (unsigned)(note - notes->v));
}

static void
add(struct prepared_notes *notes, struct slice name, struct prepared_note note)
{
	forget(notes, name);
	if (notes->n == notes->max)
		drop(notes, 0);
	note.of = prepared_need(notes->names, name);
	notes->v = xreallocarray(notes->v, notes->n + 1u, sizeof(*notes->v));
	notes->v[notes->n++] = note;
	note.of->notes[notes->kind] = notes->n;
}

void
prepared_note_text(struct prepared_notes *notes, struct slice name, struct slice text)
{
	struct prepared_note note = { .is.text = xmalloc(sizeof(*note.is.text) + text.n) };

	note.is.text->n = text.n;
	if (text.n > 0)
		memcpy(note.is.text->sql, text.p, text.n);
	add(notes, name, note);
}

void
prepared_note_key(struct prepared_notes *notes, struct slice name, uint64_t key)
{
	add(notes, name, (struct prepared_note){ .is.key = key });
}

bool
prepared_text(const struct prepared_notes *notes, struct slice name, struct slice *text)
{
	const struct prepared_note *note = find(notes, name);

	if (note == NULL)
		return false;
	*text = slice_of(note->is.text->sql, note->is.text->n);
	return true;
}

uint64_t
prepared_key(const struct prepared_notes *notes, struct slice name)
{
	const struct prepared_note *note = find(notes, name);

	return note != NULL ? note->is.key : 0;
}

/* ---- what takes them away ---- */

void
prepared_heard(struct prepared_notes *notes, char type, struct slice body)
{
	if (notes->n == 0)
		return;
	if (type == MSG_PARSE)
		forget(notes, slice_cut(&body, '\0'));
	else if (type == MSG_QUERY)
		forget(notes, slice_of("", 0));
	else if (type == MSG_CLOSE && body.n > 0 && body.p[0] == 'S') {
		body = slice_skip(body, 1);
		forget(notes, slice_cut(&body, '\0'));
	}
}

void
prepared_ran(struct prepared_notes *notes, struct slice sql)
{
	struct deallocate one;
	enum deallocate_what what = notes->n > 0 ? deallocate_read(sql, &one) : DEALLOCATE_NOTHING;

	if (what == DEALLOCATE_ONE)
		forget(notes, slice_of(one.name, one.n));
	/* but for the statement without a name, which is no such statement's */
	for (unsigned i = what == DEALLOCATE_ALL ? notes->n : 0; i > 0; i--) {
		if (notes->v[i - 1].of->hh.keylen > 0)
			drop(notes, i - 1);
	}
}
