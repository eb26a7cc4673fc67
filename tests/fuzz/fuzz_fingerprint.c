/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of a query. Its fingerprint is bounded, and is not changed by a comment in front; what
 * stands in a string does not get into it, and another constant makes no difference.
 */
#include "config.h"

#include "protocol/fingerprint.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

static void
put_between(const char *before, struct slice sql, const char *behind, struct buf *out)
{
	struct buf b = { 0 };

	buf_str(&b, before);
	buf_slice(&b, sql);
	buf_str(&b, behind);
	(void)fingerprint_put(buf_view(&b), false, out);
	buf_fini(&b);
}

static void
check_tables(struct slice text)
{
	struct buf tables = { 0 };

	fingerprint_put_tables(text, &tables);
	FUZZ_ASSERT(tables.n <= 2 * text.n + 2);
	buf_fini(&tables);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice sql = slice_of((const char *)data, size);
	struct buf text = { 0 }, other = { 0 };

	(void)fingerprint_put(sql, false, &text);
	FUZZ_ASSERT(text.n <= FINGERPRINT_MAX);
	check_tables(buf_view(&text));
	put_between(" \n/* x */ -- y\n", sql, "", &other);
	FUZZ_ASSERT(other.n == text.n && (text.n == 0 || memcmp(other.p, text.p, text.n) == 0));
	buf_clear(&other);
	if (memchr(data, '\'', size) == NULL && memchr(data, '\\', size) == NULL) {
		put_between("SELECT '", sql, "'", &other);
		FUZZ_ASSERT(slice_is(buf_view(&other), "select ?"));
		buf_clear(&other);
	}
	if (memchr(data, '$', size) == NULL) {
		put_between("SELECT $q$", sql, "$q$", &other);
		FUZZ_ASSERT(slice_is(buf_view(&other), "select ?"));
	}
	buf_fini(&text);
	buf_fini(&other);
	return 0;
}
