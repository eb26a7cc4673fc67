/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client says outside a transaction, cut into units. A unit that reads is as long as its
 * messages are, no beginning of it is one, and what is behind it changes nothing.
 */
#include "config.h"

#include "proxy/reads/units.h"

#include "routing/classify.h"
#include "tests/fuzz/fuzz.h"

/* A verdict of a text that costs nothing, and is the same each time. */
static enum classify_reason
judge_text(void *arg, struct slice sql)
{
	(void)arg;
	return sql.n > 0 && sql.p[0] == 'w' ? CLASSIFY_CHANGES : CLASSIFY_READ;
}

static bool
judge_prepared(void *arg, struct slice name, struct slice *sql)
{
	(void)arg;
	*sql = name;
	return name.n > 0;
}

static bool
reads(const struct unit *u)
{
	return classify_is_read((enum classify_reason)u->reason);
}

static void
check(struct slice in)
{
	const struct unit_judge judge = { judge_text, judge_prepared, NULL };
	struct unit u, part;

	if (units_cut(in, &judge, &u) != PARSE_DONE || !reads(&u))
		return;
	FUZZ_ASSERT(u.n > 0 && u.n <= in.n && units_length(in) == u.n);
	FUZZ_ASSERT(units_cut(slice_of(in.p, u.n), &judge, &part) == PARSE_DONE);
	FUZZ_ASSERT(part.n == u.n && part.reason == u.reason);
	for (size_t n = 0; n < u.n; n++)
		FUZZ_ASSERT(units_cut(slice_of(in.p, n), &judge, &part) == PARSE_MORE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(slice_of((const char *)data, size));
	return 0;
}
