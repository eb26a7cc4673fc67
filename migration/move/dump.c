/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pgquote.h"
#include "migration/kind.h"
#include "migration/move/move.h"
#include "migration/move/tools.h"

#define SQLSTATE_IO "58030"

static int
temporary_file(char *path, size_t size, struct err *e)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (dir == NULL || strlen(dir) + sizeof("/meridian-XXXXXX") > size)
		dir = "/tmp";
	snprintf(path, size, "%.40s/meridian-XXXXXX", dir);
	fd = mkstemp(path);
	if (fd < 0)
		return err_set(e, SQLSTATE_IO, "%s: %s", path, strerror(errno));
	return fd;
}

int
dump_make(struct job *j, struct dump *d, struct err *e)
{
	char *program = tool_of_job(j, "pg_dump", e), *conninfo;
	int fd, rc;

	memset(d, 0, sizeof(*d));
	if (program == NULL)
		return -1;
	d->restore = tool_of_job(j, "pg_restore", e);
	fd = d->restore != NULL ? temporary_file(d->path, sizeof(d->path), e) : -1;
	if (fd < 0) {
		free(program);
		dump_fini(d);
		return -1;
	}
	close(fd);
	conninfo = job_conninfo(j, MOVE_SOURCE, NULL);
	const char *const argv[] = { program,
				     "--format=custom",
				     "--schema-only",
				     "--no-publications",
				     "--no-subscriptions",
				     "--exclude-schema=meridian",
				     "--lock-wait-timeout=10s",
				     "--file",
				     d->path,
				     NULL };
	rc = tool_run(j, argv, conninfo, NULL, e);
	free(conninfo);
	free(program);
	if (rc != 0)
		dump_fini(d);
	return rc;
}

void
dump_fini(struct dump *d)
{
	if (d->path[0] != '\0')
		unlink(d->path);
	free(d->restore);
	memset(d, 0, sizeof(*d));
}

/* ---- the table of contents ---- */

bool
dump_next(const char **at, struct dump_entry *out)
{
	while (**at != '\0') {
		const char *line = *at, *end = strchrnul(line, '\n');
		int taken = 0;

		*at = *end == '\n' ? end + 1 : end;
		if (sscanf(line, "%*d; %u %u %n", &out->classid, &out->oid, &taken) != 2 ||
		    taken == 0 || line + taken >= end)
			continue;
		out->line = line;
		out->length = (size_t)(end - line);
		/* Types are words in capitals; the schema or "-" follows. */
		size_t n = 0;
		for (const char *p = line + taken; p < end && n + 1 < sizeof(out->type) &&
						   ((*p >= 'A' && *p <= 'Z') || *p == ' ');
		     p++)
			out->type[n++] = *p;
		while (n > 0 && out->type[n - 1] == ' ')
			n--;
		out->type[n] = '\0';
		return true;
	}
	return false;
}

static bool
is_ours(const struct dump_entry *entry)
{
	return (strcmp(entry->type, "TRIGGER") == 0 &&
		memmem(entry->line, entry->length, " meridian_fence ", 16) != NULL) ||
	       (strcmp(entry->type, "EVENT TRIGGER") == 0 &&
		memmem(entry->line, entry->length, " meridian_", 10) != NULL);
}

int
dump_contents(struct job *j, const struct dump *d, const char *section, struct buf *out,
	      struct err *e)
{
	char *option = xasprintf("--section=%s", section);
	const char *const argv[] = { d->restore, "--list", option, d->path, NULL };
	struct buf all = { .cap = 0 };
	int rc = tool_run(j, argv, NULL, &all, e);
	struct dump_entry entry;
	const char *at;

	if (rc == 0) {
		at = buf_text(&all);
		while (dump_next(&at, &entry)) {
			if (is_ours(&entry))
				continue;
			buf_put(out, entry.line, entry.length);
			buf_u8(out, '\n');
		}
	}
	buf_fini(&all);
	free(option);
	return rc;
}

/* ---- restoring ---- */

static void
blank_line(char *at, const char *end)
{
	while (at < end && *at != '\n')
		*at++ = ' ';
}

void
dump_plain(struct buf *script)
{
	char *at = script->n > 0 ? memmem(script->p, script->n, "\\restrict ", 10) : NULL;
	char *end, *end_of_line, closing[96];
	int n;

	if (at == NULL || (at != script->p && at[-1] != '\n'))
		return;
	end = script->p + script->n;
	end_of_line = memchr(at, '\n', (size_t)(end - at));
	if (end_of_line == NULL)
		end_of_line = end;
	n = snprintf(closing, sizeof(closing), "\n\\unrestrict %.*s", (int)(end_of_line - at - 10),
		     at + 10);
	blank_line(at, end);
	at = n > 0 && (size_t)n < sizeof(closing)
		 ? memmem(at, (size_t)(end - at), closing, (size_t)n)
		 : NULL;
	if (at != NULL)
		blank_line(at + 1, end);
}

/* A file with the lines of a table of contents. */
static int
list_file(const char *contents, char *path, size_t size, struct err *e)
{
	int fd = temporary_file(path, size, e);
	size_t n = strlen(contents);

	if (fd < 0)
		return -1;
	while (n > 0) {
		ssize_t w = write(fd, contents, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			break;
		contents += w;
		n -= (size_t)w;
	}
	close(fd);
	if (n == 0)
		return 0;
	unlink(path);
	return err_set(e, SQLSTATE_IO, "%s: %s", path, strerror(errno));
}

int
dump_sql(struct job *j, const struct dump *d, const char *contents, struct buf *out, struct err *e)
{
	char list[64];
	int rc;

	if (list_file(contents, list, sizeof(list), e) != 0)
		return -1;
	const char *const argv[] = { d->restore, "--no-tablespaces", "--use-list",
				     list,       "--file=-",         d->path,
				     NULL };
	rc = tool_run(j, argv, NULL, out, e);
	unlink(list);
	if (rc == 0) {
		buf_text(out);
		dump_plain(out);
	}
	return rc;
}

int
dump_restore(struct job *j, const struct dump *d, const char *contents, int workers, struct err *e)
{
	char list[64], *jobs, *conninfo, *dbname;
	int rc;
	struct buf b = { .cap = 0 };

	if (list_file(contents, list, sizeof(list), e) != 0)
		return -1;
	jobs = xasprintf("--jobs=%d", workers > 0 ? workers : 1);
	conninfo = job_conninfo(j, MOVE_TARGET, NULL);
	/* --dbname takes a conninfo: a name that looks like one is a name all the same, and our
	 * password goes nowhere else. */
	buf_str(&b, "dbname=");
	pgquote_conninfo(&b, slice_str(job_dbname(j, MOVE_TARGET)));
	dbname = buf_take_text(&b);
	const char *const argv[] = { d->restore,        "--no-tablespaces",
				     "--exit-on-error", jobs,
				     "--use-list",      list,
				     "--dbname",        dbname,
				     d->path,           NULL };
	rc = tool_run(j, argv, conninfo, NULL, e);
	free(conninfo);
	free(dbname);
	free(jobs);
	unlink(list);
	return rc;
}
