/* SPDX-License-Identifier: PostgreSQL
 *
 * Whether a text only reads, by what a catalog says of names: lines in front of the text, up to a
 * NUL. Names that are safe make no text write, and names that are not make none read.
 */
#include "config.h"

#include "routing/classify.h"

#include "routing/classify_catalog.h"
#include "tests/fuzz/fuzz.h"

static bool
reads(struct slice sql, const struct classify_catalog *catalog)
{
	struct classify c;

	classify(sql, catalog, &c);
	FUZZ_ASSERT(c.reason < CLASSIFY_REASON_COUNT && strlen(c.what) < sizeof(c.what));
	return classify_is_read(c.reason);
}

/* Of the rows that begin with one of these letters. */
static struct classify_catalog *
catalog_of(struct slice rows, const char *letters)
{
	struct classify_catalog *c = classify_catalog_new();

	while (rows.n > 0) {
		struct slice row = slice_cut(&rows, '\n');

		if (row.n > 0 && row.p[0] != '\0' && strchr(letters, row.p[0]) != NULL)
			classify_catalog_add(c, row);
	}
	classify_catalog_finish(c);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice sql = slice_of((const char *)data, size), rows = slice_cut(&sql, '\0');
	struct classify_catalog *none = catalog_of(rows, ""), *safe = catalog_of(rows, "fot");
	struct classify_catalog *unsafe = catalog_of(rows, "FOT");
	bool is_read = reads(sql, NULL);

	FUZZ_ASSERT(reads(sql, none) == is_read);
	FUZZ_ASSERT(!is_read || reads(sql, safe));
	FUZZ_ASSERT(is_read || !reads(sql, unsafe));
	FUZZ_ASSERT(classify_catalog_equal(safe, safe));
	classify_catalog_free(none);
	classify_catalog_free(safe);
	classify_catalog_free(unsafe);
	return 0;
}
