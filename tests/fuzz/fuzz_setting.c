/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of a query. What is found stands in the text, in order, and its words are whole; blanks
 * in front change nothing; and every statement that is found by itself says the same again.
 */
#include "config.h"

#include "protocol/setting.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

static void
put_setting(struct buf *b, const struct setting *s)
{
	FUZZ_ASSERT(s->name.n <= SETTING_TEXT_MAX && s->value.n <= SETTING_TEXT_MAX);
	buf_printf(b, "%d %u:", (int)s->verb, s->is_local);
	if (s->verb != SETTING_RESET_ALL)
		buf_printf(b, "%u %.*s ", s->name.parameter, s->name.parameter != 0 ? 0 : s->name.n,
			   s->name.text);
	if (s->verb == SETTING_SET)
		buf_printf(b, "%u %.*s ", s->value.parameter,
			   s->value.parameter != 0 ? 0 : s->value.n, s->value.text);
}

/* All that the text says; `part` looks at what stands by itself. */
static void
read_all(struct slice sql, struct buf *b, struct slice *last)
{
	struct setting_scan scan;
	struct setting s = { 0 };
	const char *from = sql.p;

	setting_begin(&scan, sql);
	while (setting_next(&scan, &s)) {
		put_setting(b, &s);
		FUZZ_ASSERT(s.statement.p >= from && s.statement.n > 0);
		FUZZ_ASSERT(s.statement.p + s.statement.n <= sql.p + sql.n);
		from = s.statement.p;
		*last = s.statement;
		if (s.verb == SETTING_SHOW)
			FUZZ_ASSERT((s.statement.p[0] | 0x20) == 's');
	}
}

static void
check(struct slice sql)
{
	struct slice last = { 0 }, again = { 0 };
	struct buf one = { 0 }, two = { 0 }, text = { 0 };

	read_all(sql, &one, &last);
	FUZZ_ASSERT(one.n == 0 || !setting_is_silent(sql));
	buf_str(&text, " \t/* ; */--\n");
	buf_slice(&text, sql);
	read_all(buf_view(&text), &two, &again);
	FUZZ_ASSERT(one.n == two.n && (one.n == 0 || memcmp(one.p, two.p, one.n) == 0));
	if (last.n > 0) {
		buf_clear(&two);
		read_all(last, &two, &again);
		FUZZ_ASSERT(two.n > 0 && again.n == last.n);
	}
	buf_fini(&one);
	buf_fini(&two);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice sql = slice_of((const char *)data, size);
	struct buf longer = { .cap = 64 * 1024 };

	check(sql);
	fuzz_stretch(sql, &longer);
	if (longer.n > 0)
		check(buf_view(&longer));
	buf_fini(&longer);
	return 0;
}
