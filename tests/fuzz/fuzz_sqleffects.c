/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of a query. Names and effects agree; a blank or a comment around a text changes nothing;
 * a statement that is found by itself is found behind another one, too; and what is in a string or
 * a comment is not found at all.
 */
#include "config.h"

#include "protocol/sqleffects.h"

#include <string.h>

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

static unsigned
effects_between(const char *before, struct slice sql, const char *behind)
{
	struct buf b = { 0 };
	unsigned effects;

	buf_str(&b, before);
	buf_slice(&b, sql);
	buf_str(&b, behind);
	effects = sqleffects(buf_view(&b));
	buf_fini(&b);
	return effects;
}

static void
check_names(struct slice sql, unsigned effects)
{
	struct buf names = { 0 };
	struct slice rest, name;

	sqleffects_names(sql, &names);
	FUZZ_ASSERT(!(effects & ~(unsigned)(2 * EFFECT_SCHEMA - 1)));
	FUZZ_ASSERT(names.n == 0 || (effects & EFFECT_SETTINGS));
	FUZZ_ASSERT(names.n == 0 || names.p[names.n - 1] == '\0');
	for (rest = buf_view(&names); rest.n > 0;) {
		name = slice_cut(&rest, '\0');
		FUZZ_ASSERT(name.n > 0);
		for (size_t i = 0; i < name.n; i++)
			FUZZ_ASSERT(name.p[i] < 'A' || name.p[i] > 'Z');
		FUZZ_ASSERT(sqleffects_is_named(buf_view(&names), name));
	}
	buf_fini(&names);
}

static void
check_stretched(struct slice in)
{
	struct buf sql = { .cap = 64 * 1024 };

	fuzz_stretch(in, &sql);
	if (sql.n > 0)
		check_names(buf_view(&sql), sqleffects(buf_view(&sql)));
	buf_fini(&sql);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice sql = slice_of((const char *)data, size);
	unsigned effects = sqleffects(sql);

	check_names(sql, effects);
	check_stretched(sql);
	if (size > 10000)
		return 0;
	FUZZ_ASSERT(effects_between(" \n/* x */ -- y\n", sql, "") == effects);
	/* both readings, if there are two, begin anew behind it */
	FUZZ_ASSERT((effects_between("SELECT 1; ", sql, "") & effects) == effects);
	if (memchr(data, '\'', size) == NULL && memchr(data, '\\', size) == NULL) {
		FUZZ_ASSERT(effects_between("SELECT '", sql, "'") == 0);
		FUZZ_ASSERT(effects_between("SELECT E'", sql, "'") == 0);
	}
	if (memchr(data, '$', size) == NULL)
		FUZZ_ASSERT(effects_between("SELECT $q$", sql, "$q$") == 0);
	if (memchr(data, '\n', size) == NULL && memchr(data, '\r', size) == NULL)
		FUZZ_ASSERT(effects_between("SELECT 1 --", sql, "\n") == 0);
	return 0;
}
