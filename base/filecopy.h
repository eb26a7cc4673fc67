/* SPDX-License-Identifier: PostgreSQL
 *
 * Data files that are used for as long as the process lives: which version of a file that is, and a
 * copy of it in memory of our own. A mapping would vanish from under its readers (SIGBUS) where the
 * operator truncates or overwrites the file in place, and a page that is not in memory yet would
 * make a lookup wait for a disk. Knows nothing of what is in a file.
 */
#ifndef BASE_FILECOPY_H
#define BASE_FILECOPY_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

/* What tells one version of a file from another. */
struct filecopy_id {
	dev_t dev;
	ino_t ino;
	struct timespec mtime;
	off_t size;
};

/* A descriptor of a copy in memory (memfd), to be closed by the caller, and in *id what was copied;
 * or -1 and *e, which calls it a file of `kind` ("geoip"). Only regular files are taken, and only
 * where they do not change meanwhile. */
int filecopy_open(const char *kind, const char *path, struct filecopy_id *id, struct err *e)
    __attribute__((warn_unused_result));

/* Whether there is now another version under the name. One that is gone is no other version. */
bool filecopy_is_replaced(const char *path, const struct filecopy_id *id);

#endif
