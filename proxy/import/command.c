/* SPDX-License-Identifier: PostgreSQL
 *
 * The command: reads files from the disk, writes the result on stdout and the list on stderr.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/import/import.h"

static int
load_stream(FILE *f, const char *path, struct buf *text, struct err *e)
{
	size_t got = 1;

	while (got > 0 && !text->failed) {
		char *to = buf_reserve(text, 65536);

		got = to != NULL ? fread(to, 1, 65536, f) : 0;
		text->n += got;
	}
	if (ferror(f))
		return err_set(e, "", "could not read \"%s\": %s", path, strerror(errno));
	if (text->failed)
		return err_set(e, "", "\"%s\" is too large", path);
	return 0;
}

/* An included file is searched where PgBouncer searches it, in the working directory, and beside
 * the file that includes it. */
static FILE *
open_beside(const char *path, const char *from)
{
	const char *slash = from != NULL ? strrchr(from, '/') : NULL;
	FILE *f = fopen(path, "re");
	int why = errno;
	char *beside;

	if (f != NULL || slash == NULL || path[0] == '/')
		return f;
	beside = xasprintf("%.*s/%s", (int)(slash - from), from, path);
	f = fopen(beside, "re");
	free(beside);
	errno = why;
	return f;
}

static int
load_file(void *arg, const char *path, const char *from, struct buf *text, struct err *e)
{
	FILE *f = open_beside(path, from);
	int rc;

	(void)arg;
	if (f == NULL)
		return err_set(e, "", "could not open \"%s\": %s", path, strerror(errno));
	rc = load_stream(f, path, text, e);
	fclose(f);
	return rc;
}

int
import_run(const char *path)
{
	static const struct ini_source disk = { load_file, NULL };
	struct import_result r;
	struct err e = { 0 };
	int rc = import_pgbouncer(path, &disk, &r, &e);

	if (r.notes.n > 0)
		fprintf(stderr, "not carried over:\n%s", buf_text(&r.notes));
	if (rc != 0)
		fprintf(stderr, "meridian: %s\n", e.msg);
	else
		fwrite(r.conf.p, 1, r.conf.n, stdout);
	if (fflush(stdout) != 0) {
		fprintf(stderr, "meridian: %s\n", strerror(errno));
		rc = -1;
	}
	import_result_fini(&r);
	return rc == 0 ? 0 : 1;
}
