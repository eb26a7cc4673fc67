/* SPDX-License-Identifier: PostgreSQL
 *
 * Any bytes as a pgbouncer.ini; behind a byte 1 stands the file that it can include. What is
 * imported is a configuration that we can read, every line of the list names its place, and a
 * refusal does, too. The same bytes are a connection string, which a message never quotes.
 */
#include "config.h"

#include "proxy/import/import.h"

#include <string.h>

#include "base/log.h"
#include "proxy/config/config.h"
#include "proxy/config/parse.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 8192

static int
load(void *arg, const char *path, const char *from, struct buf *text, struct err *e)
{
	struct slice rest = *(struct slice *)arg, first = slice_cut(&rest, '\1');

	(void)from;
	if (strcmp(path, "p.ini") == 0)
		buf_slice(text, first);
	else if (strcmp(path, "more.ini") == 0)
		buf_slice(text, rest);
	else
		return err_set(e, "58030", "could not open it");
	return 0;
}

static void
check_place(struct slice line)
{
	FUZZ_ASSERT(slice_starts(line, "p.ini:") || slice_starts(line, "more.ini:"));
}

static void
check_imported(struct import_result *r)
{
	struct slice notes = buf_view(&r->notes);
	struct config *c = config_new();
	struct origins origins = { 0 };
	struct err e = { 0 };
	size_t n = 0;

	for (; notes.n > 0; n++)
		check_place(slice_cut(&notes, '\n'));
	FUZZ_ASSERT(n == r->nnotes && !r->conf.failed && !r->notes.failed);
	FUZZ_ASSERT(config_parse(c, buf_view(&r->conf), "m.conf", &origins, &e) == 0);
	origins_fini(&origins);
	config_unref(c);
}

static void
check_words(struct slice in)
{
	struct ini_words words;
	struct err e = { 0 };

	if (ini_words_read(&words, in, &e) == 0) {
		for (size_t i = 0; i < words.n; i++)
			FUZZ_ASSERT(words.v[i].key[0] != '\0' &&
				    ini_word(&words, words.v[i].key) != NULL);
	} else {
		FUZZ_ASSERT(e.msg[0] != '\0');
	}
	ini_words_fini(&words);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct ini_source from = { load, &in };
	struct import_result r;
	struct err e = { 0 };

	if (size > INPUT_MAX)
		return 0;
	log_set_level(LOG_LEVEL_FATAL);
	check_words(in);
	if (import_pgbouncer("p.ini", &from, &r, &e) == 0)
		check_imported(&r);
	else
		FUZZ_ASSERT(e.msg[0] != '\0');
	import_result_fini(&r);
	return 0;
}
