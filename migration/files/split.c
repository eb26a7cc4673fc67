/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/split.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocol/sqltoken.h"

struct splitter {
	struct sqltoken_scan in;
	const char *counted; /* lines up to here are in `line` */
	unsigned line;
	struct script *out;
	struct script_statement next; /* text.p == NULL: none has begun */
	const char *last;             /* the end of its last token */
	unsigned depth;               /* of parentheses */
	unsigned atomic;              /* of BEGIN ATOMIC and CASE */
	unsigned nwords;
	char
	    words[4]; /* first letters of its first words, as CREATE OR REPLACE FUNCTION has them */
	bool was_begin; /* the last word was BEGIN */
};

static unsigned
line_at(struct splitter *s, const char *at)
{
	for (; s->counted < at; s->counted++)
		s->line += *s->counted == '\n';
	return s->line;
}

static int
complain(struct splitter *s, const char *at, struct err *e, const char *what)
{
	return err_set(e, "42601", "line %u: %s", line_at(s, at), what);
}

/* ---- what comments say ---- */

enum directive { DO_NO_TRANSACTION, DO_UNDO, DO_ALONE, DO_DONE_WHEN, DO_LINT_OK };

static const struct {
	const char *word;
	enum directive what;
	bool of_file;
	bool has_value;
} directives[] = {
	{ "no-transaction", DO_NO_TRANSACTION, true, false },
	{ "undo", DO_UNDO, true, true },
	{ "alone", DO_ALONE, false, false },
	{ "done-when", DO_DONE_WHEN, false, true },
	{ "lint-ok", DO_LINT_OK, false, true },
};

static void
obey(struct splitter *s, enum directive what, struct slice value)
{
	switch (what) {
	case DO_NO_TRANSACTION:
		s->out->no_transaction = true;
		break;
	case DO_UNDO:
		s->out->undo_none = slice_is_nocase(value, "none");
		s->out->undo = s->out->undo_none ? slice_of(NULL, 0) : value;
		break;
	case DO_ALONE:
		s->next.is_alone = true;
		break;
	case DO_DONE_WHEN:
		s->next.done_when = value;
		break;
	case DO_LINT_OK:
		s->next.lint_ok = value;
		break;
	}
}

/* A comment of the line's rest, which says something to us only in front of a statement. */
static int
take_line_comment(struct splitter *s, struct slice comment, struct err *e)
{
	struct slice text = slice_trim(slice_skip(comment, 2)), word, value;
	size_t n = 0;

	if (s->next.text.p != NULL || !slice_starts(text, "meridian:"))
		return 0;
	text = slice_skip(text, strlen("meridian:"));
	word = slice_trim(text);
	while (n < word.n && word.p[n] != ' ' && word.p[n] != '\t')
		n++;
	value = slice_trim(slice_skip(word, n));
	word.n = n;
	for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
		if (!slice_is_nocase(word, directives[i].word))
			continue;
		if (directives[i].has_value != (value.n > 0))
			return complain(s, text.p, e,
					value.n > 0 ? "this comment takes nothing behind its word"
						    : "this comment lacks its value");
		if (directives[i].of_file && s->out->n > 0)
			return complain(s, text.p, e,
					"this comment belongs in front of the first statement");
		obey(s, directives[i].what, value);
		return 0;
	}
	complain(s, text.p, e, "there is no such comment for Meridian");
	return err_hint(e, "There are no-transaction, undo, alone, done-when and lint-ok.");
}

/* ---- tokens ---- */

static int
complain_endless(struct splitter *s, struct err *e)
{
	const char *from = s->in.endless;
	bool is_prefixed = (*from | 0x20) == 'u'; /* U&'…', U&"…" */

	switch (is_prefixed ? from[2] : *from) {
	case '/':
		return complain(s, from, e, "the comment that begins here has no end");
	case '$':
		return complain(s, from, e, "the dollar-quoted string that begins here has no end");
	case '"':
		return complain(s, from, e, "the quoted name that begins here has no end");
	default:
		return complain(s, from, e, "the string that begins here has no end");
	}
}

/* A body between BEGIN ATOMIC and END has semicolons of its own. */
static void
look_for_body(struct splitter *s, struct slice word)
{
	const char *w = s->words;

	if (s->depth > 0)
		return;
	if (s->nwords < sizeof(s->words))
		s->words[s->nwords++] = (char)(word.p[0] | 0x20);
	/* CREATE [OR REPLACE] FUNCTION or PROCEDURE */
	if (!(w[0] == 'c' && (w[1] == 'f' || w[1] == 'p' ||
			      (w[1] == 'o' && w[2] == 'r' && (w[3] == 'f' || w[3] == 'p')))))
		return;
	if (s->atomic == 0)
		s->atomic = s->was_begin && slice_is_nocase(word, "atomic");
	else if (slice_is_nocase(word, "case"))
		s->atomic++;
	else if (slice_is_nocase(word, "end"))
		s->atomic--;
	s->was_begin = slice_is_nocase(word, "begin");
}

static int
take_token(struct splitter *s, const struct sqltoken *t, struct err *e)
{
	if (t->kind == SQLTOKEN_WORD)
		look_for_body(s, t->text);
	if (t->kind != SQLTOKEN_MARK)
		return 0;
	if (*t->from == '\\') {
		complain(s, t->from, e, "psql's own commands cannot be carried out here");
		return err_hint(e, "Write it as SQL, or run this file with psql.");
	}
	if (*t->from == '\0')
		return complain(s, t->from, e, "there is a zero byte");
	if (t->mark == '(' || t->mark == '[')
		s->depth++;
	else if ((t->mark == ')' || t->mark == ']') && s->depth > 0)
		s->depth--;
	return 0;
}

/* ---- statements ---- */

static int
end_statement(struct splitter *s, struct err *e)
{
	struct script *out = s->out;

	if (s->next.text.p == NULL)
		return 0;
	if (out->n == SPLIT_STATEMENTS_MAX)
		return err_set(e, "54000", "more than %d statements", SPLIT_STATEMENTS_MAX);
	if ((out->n & (out->n - 1)) == 0) /* a power of two: the array is full */
		out->v = xreallocarray(out->v, out->n > 0 ? out->n * 2 : 1, sizeof(*out->v));
	s->next.text.n = (size_t)(s->last - s->next.text.p);
	out->v[out->n++] = s->next;
	memset(&s->next, 0, sizeof(s->next));
	memset(s->words, 0, sizeof(s->words));
	s->depth = s->atomic = s->nwords = 0;
	s->was_begin = false;
	return 0;
}

static int
take_piece(struct splitter *s, struct err *e)
{
	const char *from = s->in.p;
	struct sqltoken t;

	if (sqltoken_skip_blank(&s->in)) {
		if (s->in.endless != NULL)
			return complain_endless(s, e);
		return *from == '-'
			   ? take_line_comment(s, slice_of(from, (size_t)(s->in.p - from)), e)
			   : 0;
	}
	(void)sqltoken_next(&s->in, &t);
	if (s->in.endless != NULL)
		return complain_endless(s, e);
	if (sqltoken_is_mark(&t, ';') && s->depth == 0 && s->atomic == 0)
		return end_statement(s, e);
	if (take_token(s, &t, e) < 0)
		return -1;
	if (s->next.text.p == NULL) {
		s->next.text.p = from;
		s->next.line = line_at(s, from);
	}
	s->last = s->in.p;
	return 0;
}

int
split_script(struct slice text, struct script *out, struct err *e)
{
	struct splitter s = {
		.in = sqltoken_begin(text),
		.counted = text.p,
		.line = 1,
		.out = out,
	};

	memset(out, 0, sizeof(*out));
	if (text.n > SPLIT_BYTES_MAX)
		return err_set(e, "54000", "more than %zu bytes", SPLIT_BYTES_MAX);
	while (s.in.p < s.in.end)
		if (take_piece(&s, e) < 0)
			goto bad;
	if (s.next.text.p != NULL && s.depth > 0) {
		complain(&s, s.next.text.p, e, "a parenthesis of this statement is not closed");
		goto bad;
	}
	if (s.next.text.p != NULL && s.atomic > 0) {
		complain(&s, s.next.text.p, e, "the body of this statement has no END");
		goto bad;
	}
	if (end_statement(&s, e) < 0)
		goto bad;
	return 0;
bad:
	script_fini(out);
	return -1;
}

void
script_fini(struct script *s)
{
	free(s->v);
	memset(s, 0, sizeof(*s));
}

bool
statement_allows(const struct script_statement *st, const char *rule)
{
	struct slice rest = st->lint_ok;

	while (rest.n > 0)
		if (slice_is_nocase(slice_trim(slice_cut(&rest, ',')), rule))
			return true;
	return false;
}
