/* SPDX-License-Identifier: PostgreSQL
 *
 * What follows CREATE MIGRATION. What is accepted can be written down again, and the copy is read
 * as the same text; what is refused says why.
 */
#include "config.h"

#include "migration/grammar.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

/* The input is also a list of options, and the name of a table. */
static void
read_parts(struct slice input)
{
	struct strlist options, values;
	struct spec_name name;
	struct err e = { 0 };

	if (spec_parse_options(input, &options, &values, &e) == 0) {
		FUZZ_ASSERT(options.n == values.n && options.n > 0);
		strlist_fini(&options);
		strlist_fini(&values);
	}
	if (spec_parse_name(input, &name, &e) == 0) {
		FUZZ_ASSERT(name.table != NULL && name.table[0] != '\0');
		spec_name_fini(&name);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_of((const char *)data, size);
	struct buf once = { 0 }, twice = { 0 };
	struct err e = { 0 };
	struct spec s;

	read_parts(input);
	if (spec_parse(input, &s, &e) != 0) {
		FUZZ_ASSERT(e.msg[0] != '\0' && strlen(e.sqlstate) == 5);
		return 0;
	}
	spec_put(&s, &once);
	spec_fini(&s);
	FUZZ_ASSERT(spec_parse(buf_view(&once), &s, &e) == 0);
	spec_put(&s, &twice);
	spec_fini(&s);
	FUZZ_ASSERT(once.n == twice.n && memcmp(once.p, twice.p, once.n) == 0);
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
