/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hbafile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
	const struct hbafile_source *source;
	hbafile_fn take;
	void *arg;
	size_t bytes; /* read so far; a file counts each time it is read */
};

/* One file that is being read. */
struct file {
	struct reading *reading;
	const char *path;
	unsigned depth;
	struct buf text, joined;
	struct slice rest; /* of the text */
	unsigned line;     /* number of the last line read … */
	unsigned record;   /* … and of the first line of its record */
};

static int complain(const struct file *f, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
complain(const struct file *f, struct err *e, const char *fmt, ...)
{
	struct buf b = { .cap = 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	err_set(e, "F0000", "%s:%u: %s", f->path, f->record, buf_text(&b));
	buf_fini(&b);
	return -1;
}

/* ---- opening ---- */

/* `from` is the file that mentions `path`. */
static char *
resolve(const char *from, const char *path)
{
	const char *slash = strrchr(from, '/');

	if (path[0] == '/' || slash == NULL)
		return xstrdup(path);
	return xasprintf("%.*s/%s", (int)(slash - from), from, path);
}

static int
read_text(struct file *f, struct err *e)
{
	struct reading *r = f->reading;

	if (f->depth > HBAFILE_DEPTH)
		return err_set(e, "F0000",
			       "could not open file \"%s\": maximum nesting depth exceeded",
			       f->path);
	if (r->source->read(r->source->arg, f->path, &f->text, e) != 0)
		return -1;
	r->bytes += f->text.n;
	if (f->text.failed || r->bytes > HBAFILE_BYTES_MAX)
		return err_set(e, "54000", "with file \"%s\" more than %zu MB would be read",
			       f->path, HBAFILE_BYTES_MAX >> 20);
	return 0;
}

/* `from` is the file that names this one, or NULL. */
static int
file_open(struct file *f, struct reading *reading, const char *path, const struct file *from,
	  struct err *e)
{
	*f = (struct file){ .reading = reading, .path = path };
	f->depth = from != NULL ? from->depth + 1 : 0;
	f->text.cap = f->joined.cap = HBAFILE_BYTES_MAX + 1;
	if (read_text(f, e) != 0)
		return from != NULL ? err_prefix(e, "%s:%u", from->path, from->record) : -1;
	f->rest = buf_view(&f->text);
	return 0;
}

static void
file_fini(struct file *f)
{
	buf_fini(&f->text);
	buf_fini(&f->joined);
}

static struct slice
cut_line(struct file *f)
{
	struct slice line = slice_cut(&f->rest, '\n');

	f->line++;
	while (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool
goes_on(struct slice line)
{
	return line.n > 0 && line.p[line.n - 1] == '\\';
}

/* The next record, its lines joined. False: there is none. */
static bool
next_record(struct file *f, struct slice *out)
{
	if (f->rest.n == 0)
		return false;
	f->record = f->line + 1;
	*out = cut_line(f);
	if (!goes_on(*out))
		return true;
	buf_clear(&f->joined);
	while (goes_on(*out)) {
		buf_put(&f->joined, out->p, out->n - 1);
		*out = f->rest.n > 0 ? cut_line(f) : slice_of(NULL, 0);
	}
	buf_slice(&f->joined, *out);
	*out = buf_view(&f->joined);
	return true;
}

/* ---- tokens ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Take the next token off *rest; *comma: another of the same field follows. MORE: there is none. */
static enum parse
take_token(struct slice *rest, struct buf *text, bool *quoted, bool *comma)
{
	bool inside = false, any = false;
	size_t i = 0;

	*quoted = *comma = false;
	while (rest->n > 0 && (is_blank(rest->p[0]) || rest->p[0] == ','))
		*rest = slice_skip(*rest, 1);
	for (; i < rest->n && (inside || !is_blank(rest->p[i])); i++) {
		char c = rest->p[i];

		if (!inside && (c == '#' || c == ','))
			break;
		if (c != '"') {
			buf_u8(text, (uint8_t)c);
		} else if (inside && i + 1 < rest->n && rest->p[i + 1] == '"') {
			buf_u8(text, '"');
			i++;
		} else {
			*quoted = *quoted || text->n == 0;
			inside = !inside;
		}
		any = true;
	}
	if (inside)
		return PARSE_BAD;
	if (i < rest->n && rest->p[i] == '#')
		i = rest->n;
	*comma = i < rest->n && rest->p[i] == ',';
	*rest = slice_skip(*rest, i);
	return any ? PARSE_DONE : PARSE_MORE;
}

static int take_tokens(struct file *f, struct slice *rest, struct hbafile_field *to, bool *any,
		       struct err *e);

/* @file: all tokens of that file, across its lines and fields. */
static int
take_list(const struct file *f, const char *path, struct hbafile_field *to, struct err *e)
{
	char *resolved = resolve(f->path, path);
	struct file list;
	struct slice record;
	int rc = file_open(&list, f->reading, resolved, f, e);
	bool any = true;

	while (rc == 0 && next_record(&list, &record)) {
		for (any = true; rc == 0 && any;)
			rc = take_tokens(&list, &record, to, &any, e);
	}
	file_fini(&list);
	free(resolved);
	return rc;
}

/* The tokens of one field; *any: there was one, even if it was an empty list. */
static int
take_tokens(struct file *f, struct slice *rest, struct hbafile_field *to, bool *any, struct err *e)
{
	struct buf text = { .cap = HBAFILE_BYTES_MAX };
	bool quoted, comma = true;
	int rc = 0;

	*any = false;
	while (rc == 0 && comma) {
		enum parse found;

		buf_clear(&text);
		found = take_token(rest, &text, &quoted, &comma);
		if (found == PARSE_BAD)
			rc = complain(f, e, "no closing double quote in the line");
		if (found != PARSE_DONE)
			break;
		*any = true;
		if (memchr(buf_text(&text), '\0', text.n) != NULL) {
			rc = complain(f, e, "a zero byte: this is not a text file");
		} else if (text.failed) {
			rc = complain(f, e, "out of memory");
		} else if (!quoted && text.n > 1 && text.p[0] == '@') {
			rc = take_list(f, buf_text(&text) + 1, to, e);
		} else {
			to->v = xreallocarray(to->v, to->n + 1, sizeof(*to->v));
			to->v[to->n++] = (struct hbafile_token){ xstrndup(text.p, text.n), quoted };
		}
	}
	buf_fini(&text);
	return rc;
}

static int
take_fields(struct file *f, struct slice record, struct hbafile_line *line, struct err *e)
{
	bool any = true;

	*line = (struct hbafile_line){ .file = f->path, .number = f->record };
	while (any) {
		struct hbafile_field field = { NULL, 0 };
		int rc = take_tokens(f, &record, &field, &any, e);

		line->v = xreallocarray(line->v, line->n + 1, sizeof(*line->v));
		line->v[line->n++] = field;
		if (rc != 0)
			return -1;
	}
	free(line->v[--line->n].v); /* the last field turned out to be empty */
	return 0;
}

/* ---- records that include other files ---- */

static int read_records(struct reading *r, const char *path, const struct file *from,
			struct err *e);

static int
include(const struct file *f, const char *path, struct err *e)
{
	return read_records(f->reading, path, f, e);
}

static int
include_if_exists(const struct file *f, const char *path, struct err *e)
{
	struct buf probe = { .cap = HBAFILE_BYTES_MAX + 1 };
	const struct hbafile_source *source = f->reading->source;
	int rc = source->read(source->arg, path, &probe, e);
	bool absent = rc != 0 && strcmp(e->sqlstate, HBAFILE_ABSENT) == 0;

	buf_fini(&probe);
	return absent ? 0 : include(f, path, e);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files *.conf, in the byte order of their names. */
static int
include_dir(const struct file *f, const char *path, struct err *e)
{
	const struct hbafile_source *source = f->reading->source;
	struct strlist names = { NULL, 0 };
	int rc = source->list(source->arg, path, &names, e);

	if (rc != 0)
		err_prefix(e, "%s:%u", f->path, f->record);
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), compare);
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		size_t n = strlen(names.v[i]);
		char *file;

		if (n <= 5 || names.v[i][0] == '.' || strcmp(names.v[i] + n - 5, ".conf") != 0)
			continue;
		file = xasprintf("%s/%s", path, names.v[i]);
		rc = include(f, file, e);
		free(file);
	}
	strlist_fini(&names);
	return rc;
}

static const struct {
	const char *word;
	int (*read)(const struct file *f, const char *path, struct err *e);
} includes[] = {
	{ "include", include },
	{ "include_if_exists", include_if_exists },
	{ "include_dir", include_dir },
};

/* 1: the record includes other files, which were read. */
static int
take_include(const struct file *f, const struct hbafile_line *line, struct err *e)
{
	for (size_t i = 0; i < sizeof(includes) / sizeof(includes[0]); i++) {
		char *path;
		int rc;

		if (line->v[0].n != 1 || !hbafile_is_keyword(&line->v[0].v[0], includes[i].word))
			continue;
		if (line->n != 2 || line->v[1].n != 1)
			return complain(f, e, "expected one file name behind \"%s\"",
					includes[i].word);
		path = resolve(f->path, line->v[1].v[0].text);
		rc = includes[i].read(f, path, e);
		free(path);
		return rc == 0 ? 1 : -1;
	}
	return 0;
}

static int
take_record(struct file *f, struct slice record, struct err *e)
{
	struct hbafile_line line;
	int rc = take_fields(f, record, &line, e);

	if (rc == 0 && line.n > 0)
		rc = take_include(f, &line, e);
	if (rc == 0 && line.n > 0 && f->reading->take(f->reading->arg, &line, e) != 0)
		rc = err_prefix(e, "%s:%u", f->path, f->record);
	for (size_t i = 0; i < line.n; i++) {
		for (size_t j = 0; j < line.v[i].n; j++)
			free(line.v[i].v[j].text);
		free(line.v[i].v);
	}
	free(line.v);
	return rc < 0 ? -1 : 0;
}

static int
read_records(struct reading *r, const char *path, const struct file *from, struct err *e)
{
	struct file f;
	struct slice record;
	int rc = file_open(&f, r, path, from, e);

	while (rc == 0 && next_record(&f, &record))
		rc = take_record(&f, record, e);
	file_fini(&f);
	return rc;
}

int
hbafile_read(const struct hbafile_source *source, const char *path, hbafile_fn take, void *arg,
	     struct err *e)
{
	struct reading r = { .source = source, .take = take, .arg = arg };

	return read_records(&r, path, NULL, e);
}

bool
hbafile_is_keyword(const struct hbafile_token *t, const char *word)
{
	return !t->quoted && strcmp(t->text, word) == 0;
}

void
hbafile_put(struct buf *b, const char *text, bool plain)
{
	if (!plain && text[0] != '\0' && strpbrk(text, " \t\r,#\"\\") == NULL) {
		buf_str(b, text);
		return;
	}
	buf_u8(b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_u8(b, '"');
		buf_u8(b, (uint8_t)*text);
	}
	buf_u8(b, '"');
}

/* ---- the disk ---- */

static int
open_regular(const char *path, struct err *e)
{
	/* O_NONBLOCK: opening a named pipe must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_set(e, errno == ENOENT ? HBAFILE_ABSENT : "58030",
			       "could not open file \"%s\": %m", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(e, "58030", "\"%s\" is not a regular file", path);
}

static int
disk_read(void *arg, const char *path, struct buf *to, struct err *e)
{
	int fd = open_regular(path, e);
	ssize_t got = 1;

	(void)arg;
	if (fd < 0)
		return -1;
	while (got > 0) {
		char *at = buf_reserve(to, 8192);

		if (at == NULL)
			break; /* the caller reports that it is too large */
		got = read(fd, at, 8192);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			to->n += (size_t)got;
	}
	if (got < 0)
		err_set(e, "58030", "could not read file \"%s\": %m", path);
	close(fd);
	return got < 0 ? -1 : 0;
}

static int
disk_list(void *arg, const char *path, struct strlist *to, struct err *e)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	(void)arg;
	if (dir == NULL)
		return err_set(e, "58030", "could not open directory \"%s\": %m", path);
	while ((entry = readdir(dir)) != NULL)
		strlist_add(to, entry->d_name);
	closedir(dir);
	return 0;
}

const struct hbafile_source hbafile_disk = { disk_read, disk_list, NULL };
