/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/reports.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/vars.h"

#define REPORT_MAX ((uint32_t)64 * 1024) /* of one that is cut */
#define GREETINGS  8

/* ---- among the bytes ---- */

void
reports_read(struct buf *part, struct framer before, struct slice bytes, report_fn *fn, void *arg)
{
	struct frame_piece piece;

	while (framer_next(&before, &bytes, &piece) == PARSE_DONE) {
		bool is_report = piece.begins ? piece.type == MSG_PARAMETER_STATUS &&
						    (piece.ends || piece.length <= REPORT_MAX)
					      : part->n > 0;

		if (!is_report)
			continue;
		if (piece.begins && piece.ends) {
			fn(arg, piece.body);
			continue;
		}
		/* `part` gathers one that is cut, behind a byte that says so */
		if (piece.begins)
			buf_u8(part, MSG_PARAMETER_STATUS);
		buf_slice(part, piece.body);
		if (piece.ends) {
			fn(arg, slice_skip(buf_view(part), 1));
			buf_fini(part);
		}
	}
}

/* ---- many ---- */

void
reports_begin(struct reports *r, struct vars **to, struct vars **to_also, struct slice from)
{
	r->to[0] = to;
	r->to[1] = to_also;
	r->from = from;
	r->n = 0;
}

void
reports_end(struct reports *r)
{
	for (size_t i = 0; i < 2 && r->n > 0; i++) {
		if (r->to[i] != NULL)
			vars_report_all(r->to[i], r->items, r->n);
	}
	r->n = 0;
}

void
reports_add(void *arg, struct slice body)
{
	struct reports *r = arg;
	struct message_parameter m;
	bool stays = body.p >= r->from.p && body.p < r->from.p + r->from.n;

	if (message_parse_parameter(body, &m) != PARSE_DONE)
		return;
	if (!stays || r->n == VARS_REPORTS_AT_ONCE)
		reports_end(r);
	r->items[r->n++] = (struct vars_item){ m.name, m.value };
	if (!stays)
		reports_end(r);
}

/* ---- greetings ---- */

struct greetings {
	struct {
		struct vars *startup, *reported; /* references, or NULL */
	} known[GREETINGS];
	unsigned next; /* to be overwritten */
};

struct greetings *
greetings_new(void)
{
	return xcalloc(1, sizeof(struct greetings));
}

static void
forget(struct greetings *g)
{
	for (unsigned i = 0; i < GREETINGS; i++) {
		vars_unref(g->known[i].startup);
		vars_unref(g->known[i].reported);
	}
	*g = (struct greetings){ 0 };
}

void
greetings_free(struct greetings *g)
{
	if (g == NULL)
		return;
	forget(g);
	free(g);
}

static unsigned
index_of(const struct greetings *g, const struct vars *startup)
{
	unsigned i = 0;

	while (i < GREETINGS && g->known[i].startup != startup)
		i++;
	return i;
}

void
greetings_note(struct greetings *g, struct vars *startup, struct vars *reported)
{
	unsigned i = index_of(g, startup);

	if (i == GREETINGS) {
		i = g->next;
		g->next = (i + 1) % GREETINGS;
	}
	(void)vars_ref(startup);
	(void)vars_ref(reported);
	vars_unref(g->known[i].startup);
	vars_unref(g->known[i].reported);
	g->known[i].startup = startup;
	g->known[i].reported = reported;
}

static struct vars *
find(const struct greetings *g, const struct vars *startup)
{
	unsigned i = index_of(g, startup);

	return i < GREETINGS ? g->known[i].reported : NULL;
}

void
greetings_restart(struct greetings *g, struct vars *none, struct vars *reported)
{
	if (find(g, none) == reported)
		return;
	forget(g);
	greetings_note(g, none, reported);
}

/* ---- a guess ---- */

/* PostgreSQL replaces other bytes, and cuts longer names. */
static bool
is_plain_name(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < ' ' || value.p[i] > '~')
			return false;
	}
	return value.n < 64;
}

static bool
is_float_digits(struct slice value)
{
	int64_t n;

	return text_to_int(value, -15, 3, &n);
}

static bool
is_utf8_name(struct slice value)
{
	return slice_is_nocase(value, "UTF8") || slice_is_nocase(value, "UTF-8");
}

/* What the server reports for a parameter of the StartupMessage, where it is certain to take it. */
static const struct certain {
	const char *name;     /* as in struct vars of settings */
	const char *reported; /* NULL: it is not */
	const char *value;    /* NULL: the same */
	bool (*fits)(struct slice value);
} certain[] = {
	{ "application_name", "application_name", NULL, is_plain_name },
	{ "client_encoding", "client_encoding", "UTF8", is_utf8_name },
	{ "extra_float_digits", NULL, NULL, is_float_digits },
};

static const struct certain *
certain_of(const struct vars_item *item)
{
	for (size_t i = 0; i < sizeof(certain) / sizeof(certain[0]); i++) {
		if (slice_is(item->name, certain[i].name) && certain[i].fits(item->value))
			return &certain[i];
	}
	return NULL;
}

/* A reference, or NULL: nothing is certain. */
static struct vars *
guess(const struct vars *startup, struct vars *base)
{
	struct vars *v = vars_ref(base), *more;
	struct vars_item item;

	for (size_t at = 0; vars_next(startup, &at, &item);) {
		const struct certain *c = certain_of(&item);

		if (c == NULL) {
			vars_unref(v);
			return NULL;
		}
		if (c->reported == NULL)
			continue;
		more = vars_with(v, slice_str(c->reported),
				 c->value != NULL ? slice_str(c->value) : item.value);
		vars_unref(v);
		v = more;
	}
	return v;
}

HOT struct vars *
greetings_find(struct greetings *g, struct vars *startup, struct vars *none)
{
	struct vars *base = find(g, none), *known = find(g, startup);

	if (known != NULL || base == NULL)
		return known;
	known = guess(startup, base);
	if (known != NULL) {
		greetings_note(g, startup, known);
		vars_unref(known); /* it is remembered */
	}
	return known;
}
