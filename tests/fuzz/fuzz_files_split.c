/* SPDX-License-Identifier: PostgreSQL
 *
 * A file of SQL cut into statements: each stands in the text, behind the one before; each, cut by
 * itself, is one statement and the same one; what is made of them is read as them again. And
 * whatever a statement says, it can be judged.
 */
#include "config.h"

#include "migration/files/split.h"

#include "base/buf.h"
#include "migration/files/lint.h"
#include "migration/files/stmt.h"
#include "tests/fuzz/fuzz.h"

static void
look(void *to, const struct lint_finding *f)
{
	(void)to;
	FUZZ_ASSERT(f->text.n > 0 && f->rule[0] != '\0');
}

static void
check_statement(struct lint *l, const struct script_statement *st)
{
	struct script again;
	struct err e = { 0 };
	struct stmt s;

	FUZZ_ASSERT(split_script(st->text, &again, &e) == 0);
	FUZZ_ASSERT(again.n == 1 && again.v[0].text.p == st->text.p &&
		    again.v[0].text.n == st->text.n);
	script_fini(&again);
	stmt_read(st->text, &s);
	FUZZ_ASSERT(s.name.n <= st->text.n && s.table.n <= st->text.n);
	lint_statement(l, st, true);
	(void)lint_way(st->text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	struct script s, again;
	struct lint l = { .found = look };
	struct buf b = { 0 };
	struct err e = { 0 };
	const char *from = text.p;

	if (split_script(text, &s, &e) < 0) {
		FUZZ_ASSERT(e.msg[0] != '\0' && s.v == NULL);
		return 0;
	}
	for (size_t i = 0; i < s.n; i++) {
		FUZZ_ASSERT(s.v[i].text.n > 0 && s.v[i].text.p >= from);
		from = s.v[i].text.p + s.v[i].text.n;
		FUZZ_ASSERT(from <= text.p + text.n);
		check_statement(&l, &s.v[i]);
		buf_slice(&b, s.v[i].text);
		buf_str(&b, "\n;\n");
	}
	FUZZ_ASSERT(split_script(buf_view(&b), &again, &e) == 0 && again.n == s.n);
	for (size_t i = 0; i < s.n; i++)
		FUZZ_ASSERT(again.v[i].text.n == s.v[i].text.n &&
			    memcmp(again.v[i].text.p, s.v[i].text.p, s.v[i].text.n) == 0);
	script_fini(&again);
	script_fini(&s);
	lint_fini(&l);
	buf_fini(&b);
	return 0;
}
