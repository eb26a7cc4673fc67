/* SPDX-License-Identifier: PostgreSQL
 *
 * Files in memory for the readers of hba_file and auth_ident_file: a list of names and texts, which
 * ends with a NULL name.
 */
#ifndef TESTS_UNIT_HBAFILES_H
#define TESTS_UNIT_HBAFILES_H

#include <string.h>

#include "proxy/auth/hbafile.h"

struct hbafiles {
	const char *name, *text;
};

static inline int
hbafiles_read(void *arg, const char *path, struct buf *to, struct err *e)
{
	for (const struct hbafiles *f = arg; f->name != NULL; f++) {
		if (strcmp(f->name, path) == 0) {
			buf_str(to, f->text);
			return 0;
		}
	}
	return err_set(e, HBAFILE_ABSENT, "could not open file \"%s\"", path);
}

/* The last parts of the names in a directory, in the order of the list. */
static inline int
hbafiles_list(void *arg, const char *path, struct strlist *to, struct err *e)
{
	size_t n = strlen(path), found = to->n;

	for (const struct hbafiles *f = arg; f->name != NULL; f++) {
		if (strncmp(f->name, path, n) == 0 && f->name[n] == '/')
			strlist_add(to, f->name + n + 1);
	}
	if (to->n == found)
		return err_set(e, "58030", "could not open directory \"%s\"", path);
	return 0;
}

static inline struct hbafile_source
hbafiles_source(const struct hbafiles *files)
{
	return (struct hbafile_source){ hbafiles_read, hbafiles_list, (void *)(uintptr_t)files };
}

#endif
