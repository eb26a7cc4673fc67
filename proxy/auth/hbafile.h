/* SPDX-License-Identifier: PostgreSQL
 *
 * What pg_hba.conf and pg_ident.conf have in common (PostgreSQL documentation, "The pg_hba.conf
 * File"): records of one line, continued on the next by a backslash at the end; fields between
 * blanks, tokens between commas; double quotes, doubled inside quotes; # begins a comment; a token
 * @file stands for the tokens of that file; include, include_if_exists and include_dir. A file name
 * without a leading / is relative to the file that contains it.
 *
 * It does not know what the fields mean. At most HBAFILE_DEPTH files inside each other and
 * HBAFILE_BYTES_MAX bytes in all are read, so that files which include each other end.
 */
#ifndef PROXY_AUTH_HBAFILE_H
#define PROXY_AUTH_HBAFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

#define HBAFILE_DEPTH     10
#define HBAFILE_BYTES_MAX ((size_t)4 << 20)
/* The SQLSTATE for a file that does not exist, which include_if_exists ignores. */
#define HBAFILE_ABSENT "58P01"

struct hbafile_token {
	char *text;
	bool quoted; /* it began with a double quote, so it is no keyword */
};

struct hbafile_field {
	struct hbafile_token *v; /* at least one */
	size_t n;
};

struct hbafile_line {
	const char *file;
	unsigned number;
	struct hbafile_field *v; /* at least one */
	size_t n;
};

/* Where files come from: the disk, or a test. Each function returns -1 and *e on failure. */
struct hbafile_source {
	int (*read)(void *arg, const char *path, struct buf *to, struct err *e);
	/* the names in a directory, in no order */
	int (*list)(void *arg, const char *path, struct strlist *to, struct err *e);
	void *arg;
};

extern const struct hbafile_source hbafile_disk;

/* Called for every record, in order; it may keep no pointer into the record. -1 and *e, which
 * begins with file and line, on the first error; an error of the callback is reported by -1 too. */
typedef int (*hbafile_fn)(void *arg, const struct hbafile_line *line, struct err *e);
int hbafile_read(const struct hbafile_source *source, const char *path, hbafile_fn take, void *arg,
		 struct err *e) MUST_CHECK;

bool hbafile_is_keyword(const struct hbafile_token *t, const char *word);
/* Append the text as a token that reads as this text; `plain`: it must not be read as a keyword. */
void hbafile_put(struct buf *b, const char *text, bool plain);

#endif
