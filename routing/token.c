/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/token.h"

#include <inttypes.h>

#include "base/text.h"
#include "protocol/sqltoken.h"

/* Up to `end`, which is left in front of the rest; '\0': the end of the text. */
static bool
take_hex(struct slice *rest, char end, uint64_t max, uint64_t *out)
{
	struct slice digits = end != '\0' ? slice_cut(rest, end) : *rest;

	if (digits.n == 0 || digits.n > 16 || digits.p[0] == '0')
		return false;
	*out = 0;
	for (size_t i = 0; i < digits.n; i++) {
		int d = text_hex_digit(digits.p[i]);

		if (d < 0)
			return false;
		*out = *out << 4 | (unsigned)d;
	}
	return *out <= max;
}

bool
token_parse(struct slice text, struct wal_token *out)
{
	uint64_t timeline;

	if (!slice_starts(text, "m1."))
		return false;
	text = slice_skip(text, 3);
	if (!take_hex(&text, '.', UINT64_MAX, &out->system_id) ||
	    !take_hex(&text, '.', UINT32_MAX, &timeline) ||
	    !take_hex(&text, '\0', UINT64_MAX, &out->lsn))
		return false;
	out->timeline = (uint32_t)timeline;
	return true;
}

void
token_put(struct buf *b, const struct wal_token *t)
{
	buf_printf(b, "m1.%" PRIx64 ".%" PRIx32 ".%" PRIx64, t->system_id, t->timeline, t->lsn);
}

static bool
find_said(struct slice text, struct slice *value)
{
	static const struct slice key = SLICE_LITERAL("meridian_token='");
	const char *at = memmem(text.p, text.n, key.p, key.n), *end;

	if (at == NULL)
		return false;
	text = slice_skip(text, (size_t)(at + key.n - text.p));
	end = memchr(text.p, '\'', text.n);
	*value = slice_of(text.p, end != NULL ? (size_t)(end - text.p) : text.n);
	return true;
}

bool
token_in_comment(struct slice sql, struct slice *value)
{
	struct sqltoken_scan scan = sqltoken_begin(sql);
	struct sqltoken t;

	if (!find_said(sql, value))
		return false;
	while (scan.p < scan.end) {
		const char *from = scan.p;

		if (!sqltoken_skip_blank(&scan)) {
			if (!sqltoken_next(&scan, &t))
				return false;
		} else if (find_said(slice_of(from, (size_t)(scan.p - from)), value)) {
			return true;
		}
	}
	return false;
}

void
token_raise(struct wal_token *t, const struct wal_token *seen)
{
	if (t->lsn == 0 || t->system_id != seen->system_id || t->timeline < seen->timeline)
		*t = *seen;
	else if (t->timeline == seen->timeline && t->lsn < seen->lsn)
		t->lsn = seen->lsn;
}

/* ---- timelines ---- */

/* "0/3000148" */
static bool
take_position(struct slice text, uint64_t *out)
{
	uint64_t high = 0, low = 0;
	struct slice first = slice_cut(&text, '/');

	if ((!slice_is(first, "0") && !take_hex(&first, '\0', UINT32_MAX, &high)) ||
	    (!slice_is(text, "0") && !take_hex(&text, '\0', UINT32_MAX, &low)))
		return false;
	*out = high << 32 | low;
	return true;
}

/* A word, with the blanks in front of it. */
static struct slice
take_word(struct slice *line)
{
	struct slice word = slice_trim(*line);
	size_t n = 0;

	while (n < word.n && word.p[n] != ' ' && word.p[n] != '\t')
		n++;
	*line = slice_skip(word, n);
	return slice_of(word.p, n);
}

bool
timeline_ends_read(struct timeline_ends *e, uint32_t of, struct slice file)
{
	*e = (struct timeline_ends){ .of = of };
	while (file.n > 0) {
		struct slice line = slice_cut(&file, '\n'), word = take_word(&line);
		int64_t timeline;
		uint64_t lsn;

		if (word.n == 0 || word.p[0] == '#')
			continue;
		if (!text_to_int(word, 1, (int64_t)of - 1, &timeline) ||
		    !take_position(take_word(&line), &lsn)) {
			*e = (struct timeline_ends){ 0 };
			return false;
		}
		if (e->n == TIMELINE_ENDS)
			memmove(e->ends, e->ends + 1, --e->n * sizeof(e->ends[0]));
		e->ends[e->n].timeline = (uint32_t)timeline;
		e->ends[e->n++].lsn = lsn;
	}
	return true;
}

enum token_verdict
token_judge(const struct wal_token *t, uint64_t system_id, uint32_t timeline,
	    const struct timeline_ends *e)
{
	if (t->system_id != system_id)
		return TOKEN_FOREIGN;
	if (t->timeline == timeline && timeline != 0)
		return TOKEN_STANDS;
	for (unsigned i = 0; e->of == timeline && i < e->n; i++) {
		if (e->ends[i].timeline == t->timeline)
			return t->lsn <= e->ends[i].lsn ? TOKEN_STANDS : TOKEN_LOST;
	}
	return TOKEN_UNKNOWN;
}
