/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/deallocate.h"

#include <stdbool.h>

#include "base/hot.h"

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
skip_blanks(struct slice *s)
{
	while (s->n > 0 && is_blank(s->p[0]))
		*s = slice_skip(*s, 1);
}

static bool
begins_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool
is_in_name(char c)
{
	return begins_name(c) || (c >= '0' && c <= '9') || c == '$';
}

/* The word in front, without its blanks; empty where there is none. */
static WARM struct slice
take_word(struct slice *s)
{
	struct slice word;
	size_t n = 0;

	skip_blanks(s);
	while (n < s->n && (n == 0 ? begins_name(s->p[0]) : is_in_name(s->p[n])))
		n++;
	word = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return word;
}

static void
put(struct deallocate *d, char c)
{
	if (d->n < DEALLOCATE_NAME_MAX)
		d->name[d->n++] = c;
}

static bool
take_quoted(struct slice *s, struct deallocate *d)
{
	*s = slice_skip(*s, 1);
	while (s->n > 0) {
		bool quote = s->p[0] == '"';

		if (quote && (s->n < 2 || s->p[1] != '"')) {
			*s = slice_skip(*s, 1);
			return d->n > 0;
		}
		put(d, s->p[0]);
		*s = slice_skip(*s, quote ? 2 : 1);
	}
	return false;
}

static bool
is_at_end(struct slice s)
{
	skip_blanks(&s);
	if (s.n > 0 && s.p[0] == ';')
		s = slice_skip(s, 1);
	skip_blanks(&s);
	return s.n == 0;
}

static enum deallocate_what
read_discard(struct slice sql)
{
	if (!slice_is_nocase(take_word(&sql), "all") || !is_at_end(sql))
		return DEALLOCATE_NOTHING;
	return DEALLOCATE_ALL;
}

WARM enum deallocate_what
deallocate_read(struct slice sql, struct deallocate *out)
{
	struct deallocate d = { .n = 0 };
	struct slice word = take_word(&sql);

	if (slice_is_nocase(word, "discard"))
		return read_discard(sql);
	if (!slice_is_nocase(word, "deallocate"))
		return DEALLOCATE_NOTHING;
	word = take_word(&sql);
	if (slice_is_nocase(word, "prepare"))
		word = take_word(&sql);
	if (word.n == 0 && (sql.n == 0 || sql.p[0] != '"' || !take_quoted(&sql, &d)))
		return DEALLOCATE_NOTHING;
	for (size_t i = 0; i < word.n; i++)
		put(&d,
		    word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] | 0x20) : word.p[i]);
	if (!is_at_end(sql))
		return DEALLOCATE_NOTHING;
	if (slice_is_nocase(word, "all"))
		return DEALLOCATE_ALL;
	*out = d;
	return DEALLOCATE_ONE;
}
