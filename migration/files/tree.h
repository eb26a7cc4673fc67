/* SPDX-License-Identifier: PostgreSQL
 *
 * The files of a migration as they lie in their directory now, read, cut into statements and
 * ordered by name, each with what takes it back. Reads regular files only, of SPLIT_BYTES_MAX at
 * most each and TREE_BYTES_MAX together; says what is wrong with a file rather than leave it out.
 */
#ifndef MIGRATION_FILES_TREE_H
#define MIGRATION_FILES_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "migration/files/digest.h"
#include "migration/files/split.h"

#define TREE_FILES_MAX 10000
#define TREE_BYTES_MAX ((size_t)256 << 20)

/* A text of SQL and where it came from; owns both. */
struct sqltext {
	char *name; /* NULL: there is none */
	char *text;
	size_t size;
	char sum[DIGEST_TEXT];
	struct script script; /* points into text */
};

struct sqlfile {
	struct sqltext up;
	struct sqltext undo; /* name NULL: there is none */
	bool undo_none;      /* … and none is needed */
};

struct tree {
	struct sqlfile *v; /* in order */
	size_t n;
};

/* -1 and *e: the directory cannot be read (58P01, 42501 …), a file is no UTF-8 text (22021), a
 * statement has no end (42601), what a comment names is not there. */
int tree_read(const char *dir, struct tree *out, struct err *e) MUST_CHECK;
void tree_fini(struct tree *t);
struct sqlfile *tree_find(const struct tree *t, const char *name);

/* From a text that was kept elsewhere; copies. */
int sqltext_set(struct sqltext *out, const char *name, struct slice text, struct err *e) MUST_CHECK;
void sqltext_fini(struct sqltext *t);
void sqlfile_fini(struct sqlfile *f);

#endif
