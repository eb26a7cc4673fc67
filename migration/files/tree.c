/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "migration/files/names.h"

static int
say_errno(struct err *e, const char *what)
{
	const char *sqlstate = errno == ENOENT ? "58P01" : errno == EACCES ? "42501" : "58030";

	return err_set(e, sqlstate, "%s: %s", what, strerror(errno));
}

/* ---- one text ---- */

int
sqltext_set(struct sqltext *out, const char *name, struct slice text, struct err *e)
{
	memset(out, 0, sizeof(*out));
	if (slice_starts(text, "\xef\xbb\xbf"))
		text = slice_skip(text, 3);
	if (!utf8_valid(text)) {
		err_set(e, "22021", "%s: not in UTF-8", name);
		return err_hint(e, "Files are sent as UTF-8; convert it, as with iconv(1).");
	}
	out->name = xstrdup(name);
	out->text = xstrndup(text.n > 0 ? text.p : "", text.n);
	out->size = text.n;
	digest_text(text, out->sum);
	if (split_script(slice_of(out->text, out->size), &out->script, e) < 0) {
		sqltext_fini(out);
		return err_prefix(e, "%s", name);
	}
	return 0;
}

void
sqltext_fini(struct sqltext *t)
{
	script_fini(&t->script);
	free(t->name);
	free(t->text);
	memset(t, 0, sizeof(*t));
}

void
sqlfile_fini(struct sqlfile *f)
{
	sqltext_fini(&f->up);
	sqltext_fini(&f->undo);
}

static int
read_bytes(int fd, const char *name, char **out, size_t *size, struct err *e)
{
	struct stat st;
	size_t n = 0;
	char *p;

	if (fstat(fd, &st) < 0)
		return say_errno(e, name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, "58P01", "%s: not a regular file", name);
	if (st.st_size > (off_t)SPLIT_BYTES_MAX)
		return err_set(e, "54000", "%s: more than %zu bytes", name, SPLIT_BYTES_MAX);
	p = xmalloc((size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);

		if (got < 0) {
			free(p);
			return say_errno(e, name);
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*out = p;
	*size = n;
	return 0;
}

static int
read_text(int dirfd, const char *name, struct sqltext *out, struct err *e)
{
	char *p = NULL;
	size_t n = 0;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

	if (fd < 0)
		return say_errno(e, name);
	rc = read_bytes(fd, name, &p, &n, e);
	close(fd);
	if (rc < 0)
		return -1;
	rc = sqltext_set(out, name, slice_of(p, n), e);
	free(p);
	return rc;
}

/* ---- the directory ---- */

static int
by_name(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return names_compare(*x, *y);
}

/* Names are kept in databases, as text. */
static bool
are_text(const struct strlist *names)
{
	for (size_t i = 0; i < names->n; i++)
		if (!utf8_valid(slice_str(names->v[i])))
			return false;
	return true;
}

static int
list_names(int dirfd, struct strlist *ups, struct strlist *undos, struct err *e)
{
	int fd = dup(dirfd);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return say_errno(e, "the directory of the files");
	}
	while ((entry = readdir(d)) != NULL && ups->n <= TREE_FILES_MAX &&
	       undos->n <= TREE_FILES_MAX) {
		if (names_is_migration(entry->d_name))
			strlist_add(ups, entry->d_name);
		else if (names_is_undo(entry->d_name))
			strlist_add(undos, entry->d_name);
	}
	closedir(d);
	if (ups->n > TREE_FILES_MAX || undos->n > TREE_FILES_MAX)
		return err_set(e, "54000", "more than %d files", TREE_FILES_MAX);
	if (!are_text(ups) || !are_text(undos)) {
		err_set(e, "22021", "the name of a file is not in UTF-8");
		return err_hint(e, "Rename it; ls -b shows which one it is.");
	}
	if (ups->n > 0)
		qsort(ups->v, ups->n, sizeof(*ups->v), by_name);
	return 0;
}

/* The file that its comment names, or that has the right name. */
static int
read_undo(int dirfd, const struct strlist *undos, struct sqlfile *f, struct err *e)
{
	const struct script *s = &f->up.script;
	const char *found = NULL;
	char *said = s->undo.n > 0 ? xstrndup(s->undo.p, s->undo.n) : NULL;
	int rc = 0;

	f->undo_none = s->undo_none;
	if (said != NULL && strchr(said, '/') != NULL)
		rc = err_set(e, "22023", "%s: the undo file is not in the same directory: %s",
			     f->up.name, said);
	else if (said != NULL && strcmp(said, f->up.name) == 0)
		rc = err_set(e, "22023", "%s: it names itself as what takes it back", said);
	for (size_t i = 0; said == NULL && found == NULL && i < undos->n; i++)
		if (names_is_undo_of(undos->v[i], f->up.name))
			found = undos->v[i];
	if (said != NULL)
		found = said;
	if (rc == 0 && found != NULL && !f->undo_none)
		rc = read_text(dirfd, found, &f->undo, e);
	free(said);
	return rc < 0 ? err_prefix(e, "what takes %s back", f->up.name) : 0;
}

static int
read_files(int dirfd, const struct strlist *ups, const struct strlist *undos, struct tree *out,
	   struct err *e)
{
	size_t bytes = 0;

	out->v = xcalloc(ups->n + 1, sizeof(*out->v));
	for (size_t i = 0; i < ups->n; i++) {
		struct sqlfile *f = &out->v[out->n];

		if (read_text(dirfd, ups->v[i], &f->up, e) < 0)
			return -1;
		out->n++;
		if (read_undo(dirfd, undos, f, e) < 0)
			return -1;
		bytes += f->up.size + f->undo.size;
		if (bytes > TREE_BYTES_MAX)
			return err_set(e, "54000", "the files are more than %zu bytes together",
				       TREE_BYTES_MAX);
	}
	return 0;
}

/* A file that a comment names as an undo file is no migration, whatever it is called. */
static void
drop_named_undos(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct sqlfile *other =
		    t->v[i].undo.name != NULL ? tree_find(t, t->v[i].undo.name) : NULL;

		if (other == NULL)
			continue;
		sqlfile_fini(other);
		t->n--;
		memmove(other, other + 1, (size_t)(t->v + t->n - other) * sizeof(*other));
		i = (size_t)-1; /* from the beginning: they have moved */
	}
}

int
tree_read(const char *dir, struct tree *out, struct err *e)
{
	struct strlist ups = { 0 }, undos = { 0 };
	int fd, rc;

	memset(out, 0, sizeof(*out));
	if (dir[0] != '/') {
		err_set(e, "22023", "not an absolute path: %s", dir);
		return err_hint(e, "Say where the directory is on the host of the proxy.");
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return say_errno(e, dir);
	rc = list_names(fd, &ups, &undos, e);
	if (rc == 0)
		rc = read_files(fd, &ups, &undos, out, e);
	if (rc == 0)
		drop_named_undos(out);
	else
		tree_fini(out);
	close(fd);
	strlist_fini(&ups);
	strlist_fini(&undos);
	return rc;
}

void
tree_fini(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		sqlfile_fini(&t->v[i]);
	free(t->v);
	memset(t, 0, sizeof(*t));
}

struct sqlfile *
tree_find(const struct tree *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].up.name, name) == 0)
			return &t->v[i];
	return NULL;
}
