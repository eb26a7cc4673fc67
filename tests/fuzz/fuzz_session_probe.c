/* SPDX-License-Identifier: PostgreSQL
 *
 * The answer of a server to the question what a session has left on it. The first four bytes say
 * what is suspected, the next two how many bytes of names follow, as texts would have named them;
 * the rest is the answer, any bytes. What is concluded is always something, and leaks nothing; the
 * question is text that any encoding has. Names may be long (fuzz_stretch()).
 */
#include "config.h"

#include "proxy/sqlstate/session_probe.h"

#include <string.h>

#include "protocol/sqleffects.h"
#include "proxy/sqlstate/vars.h"
#include "tests/fuzz/fuzz.h"

static struct vars *
with(struct vars *take, const char *name, const char *value)
{
	struct vars *more = vars_with(take, slice_str(name), slice_str(value));

	vars_unref(take);
	return more;
}

static void
check_question(const struct session_question *q)
{
	struct buf sql = { 0 };

	if (session_probe_is_wanted(q)) {
		session_probe_put_query(&sql, q);
		FUZZ_ASSERT(!sql.failed);
		for (size_t i = 0; i < sql.n; i++)
			FUZZ_ASSERT(sql.p[i] != '\0' && (sql.p[i] & 0x80) == 0);
	}
	buf_fini(&sql);
}

static void
check_vars(const struct vars *v)
{
	struct vars_item item;

	for (size_t at = 0; v != NULL && vars_next(v, &at, &item);) {
		FUZZ_ASSERT(item.name.n > 0 && memchr(item.name.p, '\0', item.name.n) == NULL);
		FUZZ_ASSERT(item.value.n == 0 || memchr(item.value.p, '\0', item.value.n) == NULL);
	}
}

static void
check_answer(const struct session_question *q, struct slice answer)
{
	struct session_findings out = { 0 }, guess = { 0 };
	int result = session_probe_read(answer, q, &out);

	session_probe_infer(q, &guess);
	FUZZ_ASSERT(out.session != NULL && (result == 0 || result == -1));
	if (result != 0)
		FUZZ_ASSERT(out.session == guess.session && out.server == guess.server &&
			    out.pins == guess.pins);
	check_vars(out.session);
	check_vars(out.server);
	FUZZ_ASSERT(out.pins < 2 * PIN_UNSURE && (out.pins == 0 || pin_name(out.pins)[0] != '\0'));
	session_probe_fini(&out);
	session_probe_fini(&guess);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vars_table *t = vars_table_new();
	struct slice in = slice_of((const char *)data, size), names;
	struct session_question q = { .user = SLICE_LITERAL("app") };
	struct buf gathered = { .cap = SQLEFFECTS_NAMES_MAX }, longer = { .cap = 64 * 1024 };

	if (size < 6) {
		vars_table_free(t);
		return 0;
	}
	q.effects = get_u16(data) & (2 * EFFECT_MEANING - 1);
	q.pins = get_u16(data + 2) & (2 * PIN_UNSURE - 1);
	q.startup = with(vars_empty(t), "app.tenant", "5");
	q.session = with(vars_ref(q.startup), "datestyle", "ISO, MDY");
	q.server = data[2] & 0x80 ? NULL : vars_ref(q.session);
	in = slice_skip(in, 6);
	names = slice_of(in.p, in.n < get_u16(data + 4) ? in.n : get_u16(data + 4));
	in = slice_skip(in, names.n);
	sqleffects_names(names, &gathered);
	fuzz_stretch(names, &longer);
	sqleffects_names(buf_view(&longer), &gathered);
	q.names = buf_view(&gathered);
	check_question(&q);
	check_answer(&q, in);
	buf_fini(&gathered);
	buf_fini(&longer);
	vars_unref(q.startup);
	vars_unref(q.session);
	vars_unref(q.server);
	FUZZ_ASSERT(vars_table_count(t) <= 1);
	vars_table_free(t);
	return 0;
}
