/* SPDX-License-Identifier: PostgreSQL
 *
 * Small texts that migrations read, the same bytes as each of them: hours, values of options, names
 * of files, a difference of two files (cut at the first byte 1), pg_dump's table of contents,
 * CockroachDB's localities and tables, a step's arguments. What is kept is read again as the same;
 * an order is one.
 */
#include "config.h"

#include "migration/window.h"

#include <string.h>

#include "base/mem.h"
#include "migration/distribute/dist_args.h"
#include "migration/files/diff.h"
#include "migration/files/digest.h"
#include "migration/files/names.h"
#include "migration/move/dump.h"
#include "migration/options.h"
#include "migration/regions/catalog.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 4096

static void
check_window(const char *text)
{
	struct window w = { 0 }, again = { 0 };
	struct buf once = { 0 }, twice = { 0 };
	int64_t opens;

	if (!window_parse(text, &w))
		return;
	window_put(&w, &once);
	FUZZ_ASSERT(window_parse(buf_text(&once), &again));
	window_put(&again, &twice);
	FUZZ_ASSERT(strcmp(buf_text(&once), buf_text(&twice)) == 0);
	opens = window_opens(&w, 1700000000);
	FUZZ_ASSERT(opens >= 1700000000 && opens <= 1700000000 + 8 * 86400);
	FUZZ_ASSERT(window_opens(&w, opens) == opens);
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_options(const char *text)
{
	struct err e = { 0 };

	for (const struct migration_option *o = migration_options; o->name != NULL; o++) {
		char *kept = migration_option_check(o, text, &e), *again;

		if (kept == NULL) {
			FUZZ_ASSERT(strcmp(e.sqlstate, "22023") == 0 && e.msg[0] != '\0');
			continue;
		}
		again = migration_option_check(o, kept, &e);
		FUZZ_ASSERT(again != NULL && strcmp(again, kept) == 0);
		free(again);
		free(kept);
	}
}

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

/* Three names: the text cut at blanks. */
static void
check_names(const char *text)
{
	struct slice rest = slice_str(text);
	char *names[3];

	for (int i = 0; i < 3; i++) {
		struct slice s = slice_cut(&rest, ' ');

		names[i] = s.n > 0 ? xstrndup(s.p, s.n) : xstrdup("");
		(void)names_version(names[i]);
		FUZZ_ASSERT(!names_is_migration(names[i]) || !names_is_undo(names[i]));
	}
	for (int i = 0; i < 3; i++) {
		int k = (i + 1) % 3, m = (i + 2) % 3;
		int c = sign(names_compare(names[i], names[k]));

		FUZZ_ASSERT(c == -sign(names_compare(names[k], names[i])));
		FUZZ_ASSERT((c == 0) == (strcmp(names[i], names[k]) == 0));
		if (c < 0 && names_compare(names[k], names[m]) < 0)
			FUZZ_ASSERT(names_compare(names[i], names[m]) < 0);
		(void)names_is_undo_of(names[i], names[k]);
	}
	for (int i = 0; i < 3; i++)
		free(names[i]);
}

static void
check_diff(struct slice in)
{
	struct slice is = in, was = slice_cut(&is, '\1');
	char one[DIGEST_TEXT], other[DIGEST_TEXT];
	struct buf b = { 0 };

	digest_text(was, one);
	digest_text(is, other);
	diff_lines(&b, was, is, 5);
	FUZZ_ASSERT(strcmp(one, other) != 0 || b.n == 0);
	buf_clear(&b);
	diff_sums(&b, was, is, 5);
	buf_fini(&b);
}

static void
check_dump(const char *text)
{
	const char *at = text, *end = text + strlen(text);
	struct buf script = { 0 };
	struct dump_entry entry;
	size_t n = strlen(text);

	while (dump_next(&at, &entry)) {
		FUZZ_ASSERT(entry.line >= text && entry.line + entry.length <= end);
		FUZZ_ASSERT(at > entry.line && at <= end);
		FUZZ_ASSERT(strlen(entry.type) < sizeof(entry.type));
	}
	buf_str(&script, text);
	dump_plain(&script);
	FUZZ_ASSERT(script.n == n);
	buf_fini(&script);
}

static void
check_catalog(const char *text)
{
	struct regions_catalog c = { 0 };
	struct regions_table *t = regions_catalog_add_table(&c, "public", "t", text);
	struct table_home home = { 0 }, again = { 0 };

	home_parse(text, &home);
	home_parse(text, &again);
	FUZZ_ASSERT(home_is_same(&home, &again));
	home_fini(&home);
	home_fini(&again);
	t->create = xstrdup(text);
	regions_table_find_partitions(t);
	for (size_t i = 0; i < t->npartitioned; i++)
		FUZZ_ASSERT(strstr(text, t->partitioned[i].text) != NULL);
	(void)regions_column_is_hidden(text, "a");
	(void)regions_catalog_table(&c, text);
	regions_catalog_fini(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dist_args args = { 0 };
	struct err e = { 0 };
	char *text;

	if (size > INPUT_MAX)
		return 0;
	check_diff(slice_of((const char *)data, size));
	text = size > 0 ? xstrndup((const char *)data, size) : xstrdup("");
	check_window(text);
	check_options(text);
	check_names(text);
	check_dump(text);
	check_catalog(text);
	if (dist_args_parse(&args, text, &e) == 0)
		dist_args_fini(&args);
	else
		FUZZ_ASSERT(e.msg[0] != '\0');
	free(text);
	return 0;
}
