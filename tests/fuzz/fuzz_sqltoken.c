/* SPDX-License-Identifier: PostgreSQL
 *
 * Any bytes as a text of SQL, by both of our lexers: tokens stand in the text, one behind the
 * other, and the text ends. What was written as a string or a name is read as that. And a statement
 * that drops a prepared one drops it however the name is spelled.
 */
#include "config.h"

#include "protocol/sqltoken.h"

#include <string.h>

#include "base/pgquote.h"
#include "base/utf8.h"
#include "protocol/console_lexer.h"
#include "protocol/deallocate.h"
#include "tests/fuzz/fuzz.h"

static void
check_scan(struct slice sql, bool escapes)
{
	struct sqltoken_scan scan = sqltoken_begin(sql);
	const char *from = sql.p;
	struct sqltoken t;

	scan.escapes = escapes;
	while (sqltoken_next(&scan, &t)) {
		char value[8];
		size_t n;

		FUZZ_ASSERT(t.from >= from && scan.p > t.from && scan.p <= scan.end);
		FUZZ_ASSERT(t.text.p >= t.from && t.text.p + t.text.n <= scan.p);
		FUZZ_ASSERT(t.text.n > 0 || t.kind == SQLTOKEN_NAME || t.kind == SQLTOKEN_STRING);
		if (t.kind != SQLTOKEN_MARK) {
			n = sqltoken_value(&t, value, sizeof(value));
			FUZZ_ASSERT(n == SIZE_MAX || n <= t.text.n);
			FUZZ_ASSERT(n != SIZE_MAX || !t.exact ||
				    memchr(t.text.p, '\0', t.text.n) != NULL);
		}
		from = scan.p;
	}
	FUZZ_ASSERT(scan.endless == NULL || (scan.endless >= sql.p && scan.endless < scan.end));
	FUZZ_ASSERT(scan.p == scan.end && !sqltoken_next(&scan, &t));
}

static void
check_lexer(struct slice text)
{
	struct lexer l = { text };
	struct err e = { 0 };
	struct token t;
	size_t left = text.n + 1;
	int result;

	while ((result = lexer_next(&l, &t, &e)) == 0 && t.kind != TOKEN_END) {
		struct buf value = { 0 };

		FUZZ_ASSERT(l.rest.n < left && t.text.n > 0);
		FUZZ_ASSERT(t.text.p >= text.p && t.text.p + t.text.n <= text.p + text.n);
		FUZZ_ASSERT(t.kind != TOKEN_PARAM || (t.param >= 1 && t.param <= LEXER_PARAM_MAX));
		left = l.rest.n;
		if ((t.kind == TOKEN_WORD || t.kind == TOKEN_NAME || t.kind == TOKEN_STRING) &&
		    token_value(&t, &value, &e) == 0)
			FUZZ_ASSERT(value.n <= t.text.n);
		buf_fini(&value);
	}
	FUZZ_ASSERT(result == 0 || strcmp(e.sqlstate, "42601") == 0);
}

/* One token and nothing else, whose value is the text. */
static void
check_written(const struct buf *written, struct slice text)
{
	struct lexer l = { buf_view(written) };
	struct buf value = { 0 };
	struct err e = { 0 };
	struct token t, end;

	FUZZ_ASSERT(lexer_next(&l, &t, &e) == 0 && token_value(&t, &value, &e) == 0);
	FUZZ_ASSERT(value.n == text.n && (text.n == 0 || memcmp(value.p, text.p, text.n) == 0));
	FUZZ_ASSERT(lexer_next(&l, &end, &e) == 0 && end.kind == TOKEN_END);
	buf_fini(&value);
}

static void
check_quoted(struct slice text)
{
	struct buf b = { 0 };

	pgquote_literal(&b, text);
	check_written(&b, text);
	buf_clear(&b);
	pgquote_ident(&b, text);
	if (text.n > 0)
		check_written(&b, text);
	buf_fini(&b);
}

static void
check_deallocate(struct slice sql)
{
	struct deallocate d = { .n = 77 }, again;
	enum deallocate_what what = deallocate_read(sql, &d);
	struct buf b = { 0 };

	FUZZ_ASSERT(what == DEALLOCATE_ONE ? d.n <= DEALLOCATE_NAME_MAX : d.n == 77);
	if (what == DEALLOCATE_ONE) {
		buf_str(&b, " deallocate PREPARE ");
		pgquote_ident(&b, slice_of(d.name, d.n));
		buf_str(&b, " ; ");
		if (deallocate_read(buf_view(&b), &again) == DEALLOCATE_ONE)
			FUZZ_ASSERT(again.n == d.n && memcmp(again.name, d.name, d.n) == 0);
		else /* "all" */
			FUZZ_ASSERT(d.n == 3 && memcmp(d.name, "all", 3) == 0);
	}
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct buf longer = { .cap = 64 * 1024 };

	check_scan(in, false);
	check_scan(in, true);
	check_lexer(in);
	check_deallocate(in);
	fuzz_stretch(in, &longer);
	check_deallocate(buf_view(&longer));
	buf_fini(&longer);
	if (size < 1000 && utf8_valid(in) && memchr(data, '\0', size) == NULL)
		check_quoted(in);
	return 0;
}
