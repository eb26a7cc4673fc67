/* SPDX-License-Identifier: PostgreSQL
 *
 * What pg_hba.conf and pg_ident.conf have in common (PostgreSQL documentation, "The pg_hba.conf
 * File"): records of one line, a backslash at its end goes on in the next; fields between blanks,
 * tokens between commas; double quotes, doubled inside quotes; # begins a comment; a token @file
 * stands for the tokens of that file; include, include_if_exists and include_dir. A name without a
 * leading / is taken to be relative to the file that it stands in.
 *
 * Knows nothing of what the fields mean. At most HBAFILE_DEPTH files inside each other and
 * HBAFILE_BYTES_MAX bytes in all, so that files which include each other end.
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
/* The SQLSTATE of "there is no such file", which include_if_exists forgives. */
#define HBAFILE_ABSENT "58P01"

struct hbafile_token {
	char *text;
	bool quoted; /* began with a double quote: no keyword */
};

struct hbafile_field {
	struct hbafile_token *v; /* one at least */
	size_t n;
};

struct hbafile_line {
	const char *file;
	unsigned number;
	struct hbafile_field *v; /* one at least */
	size_t n;
};

/* Where files come from: the disk, or a test. Each returns -1 and *e. */
struct hbafile_source {
	int (*read)(void *arg, const char *path, struct buf *to, struct err *e);
	/* the names in a directory, in no order */
	int (*list)(void *arg, const char *path, struct strlist *to, struct err *e);
	void *arg;
};

extern const struct hbafile_source hbafile_disk;

/* Give every record to `take`, in order, which may keep nothing of it. -1 and *e, which begins with
 * file and line, on the first error, be it one of `take` (of which -1 is the word for it). */
typedef int (*hbafile_fn)(void *arg, const struct hbafile_line *line, struct err *e);
int hbafile_read(const struct hbafile_source *source, const char *path, hbafile_fn take, void *arg,
		 struct err *e) MUST_CHECK;

bool hbafile_is_keyword(const struct hbafile_token *t, const char *word);
/* Append as a token that is read as this text; `plain`: it shall be no keyword. */
void hbafile_put(struct buf *b, const char *text, bool plain);

#endif
