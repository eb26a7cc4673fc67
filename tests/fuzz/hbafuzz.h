/* SPDX-License-Identifier: PostgreSQL
 *
 * What the targets of hba_file and auth_ident_file share: the input is one file, or several with a
 * byte 1 between them; the first is "a", the others "b", "c" and so on, and "d" is a directory,
 * too.
 */
#ifndef TESTS_FUZZ_HBAFUZZ_H
#define TESTS_FUZZ_HBAFUZZ_H

#include <string.h>

#include "proxy/auth/hbafile.h"

#include "tests/fuzz/fuzz.h"

#define HBAFUZZ_BYTES_MAX 1024
#define HBAFUZZ_BETWEEN   '\1'

static inline struct slice
hbafuzz_file(struct slice input, unsigned n)
{
	struct slice file = slice_cut(&input, HBAFUZZ_BETWEEN);

	while (n-- > 0)
		file = slice_cut(&input, HBAFUZZ_BETWEEN);
	return file;
}

static inline int
hbafuzz_read(void *arg, const char *path, struct buf *to, struct err *e)
{
	const struct slice *input = arg;
	struct slice file;

	if (path[0] < 'a' || path[0] > 'z' || path[1] != '\0')
		return err_set(e, HBAFILE_ABSENT, "could not open file \"%s\"", path);
	file = hbafuzz_file(*input, (unsigned)(path[0] - 'a'));
	if (file.p == NULL)
		return err_set(e, HBAFILE_ABSENT, "could not open file \"%s\"", path);
	buf_slice(to, file);
	return 0;
}

static inline int
hbafuzz_list(void *arg, const char *path, struct strlist *to, struct err *e)
{
	(void)arg;
	if (strcmp(path, "d") != 0)
		return err_set(e, "58030", "could not open directory \"%s\"", path);
	strlist_add(to, "b.conf");
	return 0;
}

/* Whether the C library's regular expressions would be what is tried: repetitions and references
 * back cost it any amount of memory and time, and whoever writes the file is trusted with them. */
static inline bool
hbafuzz_is_costly(struct slice input)
{
	if (memchr(input.p, '/', input.n) == NULL)
		return false;
	for (size_t i = 0; i < input.n; i++) {
		if (strchr("{*+?", input.p[i]) != NULL || (input.p[i] & 0x80) != 0)
			return true;
		if (input.p[i] == '\\' && i + 1 < input.n && input.p[i + 1] >= '1' &&
		    input.p[i + 1] <= '9' && memchr(input.p, '(', input.n) == NULL)
			return true;
	}
	return false;
}

/* "file:line: …" names a line that there is; only the first file can be missing by itself. */
static inline void
hbafuzz_check_error(struct slice input, const struct err *e)
{
	unsigned lines = 0;
	unsigned long line;
	char *end;

	FUZZ_ASSERT(e->msg[0] >= 'a' && e->msg[0] <= 'z' && e->msg[1] == ':');
	line = strtoul(e->msg + 2, &end, 10);
	FUZZ_ASSERT(*end == ':');
	for (struct slice file = hbafuzz_file(input, (unsigned)(e->msg[0] - 'a')); file.n > 0;
	     lines++)
		slice_cut(&file, '\n');
	FUZZ_ASSERT(line >= 1 && line <= lines);
}

/* The next word of the input, whatever it is. */
static inline struct slice
hbafuzz_word(struct slice *rest)
{
	size_t n = 0;

	while (rest->n > 0 && strchr(" \t\n\r,\"\1", rest->p[0]) != NULL)
		*rest = slice_skip(*rest, 1);
	while (n < rest->n && strchr(" \t\n\r,\"\1", rest->p[n]) == NULL)
		n++;
	*rest = slice_skip(*rest, n);
	return slice_of(rest->n > 0 || n > 0 ? rest->p - n : "", n);
}

#endif
