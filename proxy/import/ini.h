/* SPDX-License-Identifier: PostgreSQL
 *
 * The syntax of PgBouncer's configuration file (pgbouncer.ini(5)): sections, "key = value" up to
 * the end of the line, whole-line comments (; and #), names in double quotes, %include. Also that
 * of its connection strings: key=value words, with values in single quotes where they need them.
 * Text in, lists out: it does not know what an option means. The caller says where files come from,
 * so that tests need none.
 */
#ifndef PROXY_IMPORT_INI_H
#define PROXY_IMPORT_INI_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

#define INI_FILE_MAX      ((size_t)4 << 20)
#define INI_INCLUDE_DEPTH 10
#define INI_ENTRIES_MAX   100000

struct ini_entry {
	const char *file; /* the list `files` owns it */
	int line;
	char *section, *key, *value;
};

struct ini {
	struct strlist files;
	struct ini_entry *v;
	size_t n;
};

/* Append a file's text to *text; `from` is the file that includes it, or NULL. */
typedef int (*ini_load_fn)(void *arg, const char *path, const char *from, struct buf *text,
			   struct err *e);

struct ini_source {
	ini_load_fn load;
	void *arg;
};

/* Reads a file and those that it includes, in that order. -1 and *e, which names file and line;
 * *out must be freed in any case. */
int ini_read(struct ini *out, const char *path, const struct ini_source *from,
	     struct err *e) MUST_CHECK;
void ini_fini(struct ini *ini);

/* The last entry of that name, which is the one that counts. NULL: there is none. */
const struct ini_entry *ini_find(const struct ini *ini, const char *section, const char *key);

/* One word of a connection string. */
struct ini_word {
	char *key, *value;
};

struct ini_words {
	struct ini_word *v;
	size_t n;
};

/* -1 and *e (without file and line): it is no connection string; *out must be freed in any case. A
 * message never quotes a value, which may be a password (INV-20). */
int ini_words_read(struct ini_words *out, struct slice text, struct err *e) MUST_CHECK;
void ini_words_fini(struct ini_words *words);
/* The value of the last word of that name, or NULL. */
const char *ini_word(const struct ini_words *words, const char *key);

#endif
