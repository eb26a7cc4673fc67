/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/filecopy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static struct filecopy_id
id_of(const struct stat *st)
{
	return (struct filecopy_id){ st->st_dev, st->st_ino, st->st_mtim, st->st_size };
}

static bool
same_id(const struct filecopy_id *a, const struct filecopy_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Copy what `in` holds into `out`; the file must be the same one afterwards as before. NULL, or
 * what is wrong. */
static const char *
copy_bytes(int in, int out, struct filecopy_id *id)
{
	struct stat st;
	struct filecopy_id after;
	ssize_t n;

	if (fstat(in, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	*id = id_of(&st);
	do
		n = sendfile(out, in, NULL, (size_t)1 << 30);
	while (n > 0);
	if (n < 0 || fstat(in, &st) < 0)
		return strerror(errno);
	after = id_of(&st);
	return same_id(&after, id) ? NULL : "changed while it was read";
}

int
filecopy_open(const char *kind, const char *path, struct filecopy_id *id, struct err *e)
{
	int in = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int out = in >= 0 ? memfd_create("meridian-data", MFD_CLOEXEC) : -1;
	const char *wrong = out >= 0 ? copy_bytes(in, out, id) : strerror(errno);

	if (in >= 0)
		close(in);
	if (wrong == NULL)
		return out;
	if (out >= 0)
		close(out);
	return err_set(e, "", "%s file \"%s\": %s", kind, path, wrong);
}

bool
filecopy_is_replaced(const char *path, const struct filecopy_id *id)
{
	struct filecopy_id now;
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	now = id_of(&st);
	return !same_id(&now, id);
}
