/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/import/ini.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/values.h"

struct reader {
	struct ini *out;
	const struct ini_source *from;
	struct err *err;
	struct buf section; /* of the last [header], in any of the files */
	const char *file;
	int line;
	int depth;
};

static int read_file(struct reader *r, const char *path);

static int
bad(const struct reader *r, const char *what, struct slice found)
{
	return err_set(r->err, "", "%s:%d: %s, found \"%s\"", r->file, r->line, what,
		       quote(found).text);
}

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_.-*", c) != NULL);
}

/* A name, bare or in double quotes (a quote in it is doubled); *rest is what follows. */
static bool
take_name(struct slice *rest, struct buf *name)
{
	if (rest->n == 0 || rest->p[0] != '"') {
		while (rest->n > 0 && is_name_byte(rest->p[0])) {
			buf_put(name, rest->p, 1);
			*rest = slice_skip(*rest, 1);
		}
		return name->n > 0;
	}
	*rest = slice_skip(*rest, 1);
	while (rest->n > 0) {
		if (rest->p[0] == '"' && (rest->n == 1 || rest->p[1] != '"'))
			break;
		*rest = slice_skip(*rest, rest->p[0] == '"' ? 1 : 0);
		buf_put(name, rest->p, 1);
		*rest = slice_skip(*rest, 1);
	}
	if (rest->n == 0 || name->n == 0)
		return false;
	*rest = slice_skip(*rest, 1);
	return true;
}

static int
read_entry(struct reader *r, struct slice line)
{
	struct ini *out = r->out;
	struct buf name = { .cap = 0 };
	struct slice value = line;
	bool good = take_name(&value, &name);

	value = slice_trim(value);
	if (!good || value.n == 0 || value.p[0] != '=') {
		buf_fini(&name);
		return bad(r, "expected \"key = value\" or \"[section]\"", line);
	}
	value = slice_trim(slice_skip(value, 1));
	if (r->section.n == 0 || out->n == INI_ENTRIES_MAX) {
		buf_fini(&name);
		return bad(r,
			   out->n == INI_ENTRIES_MAX ? "too many entries"
						     : "expected a [section] first",
			   line);
	}
	out->v = xreallocarray(out->v, out->n + 1, sizeof(*out->v));
	out->v[out->n++] = (struct ini_entry){
		.file = r->file,
		.line = r->line,
		.section = xstrdup(buf_text(&r->section)),
		.key = xstrndup(name.p, name.n),
		.value = xstrndup(value.n > 0 ? value.p : "", value.n),
	};
	buf_fini(&name);
	return 0;
}

static int
read_include(struct reader *r, struct slice line)
{
	const char *file = r->file;
	int at = r->line, rc;
	struct slice name = slice_trim(slice_skip(line, strlen("%include")));
	char *path;

	if (name.n == 0 || name.p == line.p + strlen("%include"))
		return bad(r, "expected \"%include FILE\"", line);
	if (r->depth == INI_INCLUDE_DEPTH)
		return bad(r, "files include each other too deeply", line);
	path = xstrndup(name.p, name.n);
	rc = read_file(r, path);
	free(path);
	r->file = file;
	r->line = at;
	return rc;
}

static int
read_line(struct reader *r, struct slice line)
{
	if (line.n == 0 || line.p[0] == ';' || line.p[0] == '#')
		return 0;
	if (memchr(line.p, 0, line.n) != NULL)
		return bad(r, "this is not a text file", line);
	if (line.p[0] == '[') {
		const char *end = memchr(line.p, ']', line.n);

		if (end == NULL || end == line.p + 1 ||
		    slice_skip(line, (size_t)(end - line.p) + 1).n > 0)
			return bad(r, "expected \"[section]\" and nothing behind it", line);
		buf_clear(&r->section);
		buf_put(&r->section, line.p + 1, (size_t)(end - line.p) - 1);
		return 0;
	}
	if (slice_starts(line, "%include"))
		return read_include(r, line);
	return read_entry(r, line);
}

static int
read_file(struct reader *r, const char *path)
{
	struct buf text = { .cap = INI_FILE_MAX };
	struct slice rest;
	int rc = r->from->load(r->from->arg, path, r->file, &text, r->err);

	if (rc != 0 && r->file != NULL)
		(void)err_prefix(r->err, "%s:%d", r->file, r->line);
	strlist_add(&r->out->files, path);
	r->file = r->out->files.v[r->out->files.n - 1];
	r->line = 0;
	r->depth++;
	rest = buf_view(&text);
	if (slice_starts(rest, "\xef\xbb\xbf"))
		rest = slice_skip(rest, 3);
	while (rc == 0 && rest.p != NULL && rest.n > 0) {
		r->line++;
		rc = read_line(r, slice_trim(slice_cut(&rest, '\n')));
	}
	r->depth--;
	buf_fini(&text);
	return rc;
}

int
ini_read(struct ini *out, const char *path, const struct ini_source *from, struct err *e)
{
	struct reader r = { .out = out, .from = from, .err = e };
	int rc;

	*out = (struct ini){ .n = 0 };
	rc = read_file(&r, path);
	buf_fini(&r.section);
	return rc;
}

void
ini_fini(struct ini *ini)
{
	for (size_t i = 0; i < ini->n; i++) {
		free(ini->v[i].section);
		free(ini->v[i].key);
		free(ini->v[i].value);
	}
	free(ini->v);
	strlist_fini(&ini->files);
	*ini = (struct ini){ .n = 0 };
}

const struct ini_entry *
ini_find(const struct ini *ini, const char *section, const char *key)
{
	for (size_t i = ini->n; i-- > 0;) {
		if (strcmp(ini->v[i].section, section) == 0 && strcmp(ini->v[i].key, key) == 0)
			return &ini->v[i];
	}
	return NULL;
}

/* ---- connection strings ---- */

static bool
take_value(struct slice *rest, struct buf *value)
{
	bool quoted = rest->n > 0 && rest->p[0] == '\'';

	if (quoted)
		*rest = slice_skip(*rest, 1);
	while (rest->n > 0) {
		char c = rest->p[0];

		if (!quoted && isspace((unsigned char)c))
			return true;
		if (quoted && c == '\'') {
			*rest = slice_skip(*rest, 1);
			if (rest->n == 0 || rest->p[0] != '\'')
				return rest->n == 0 || isspace((unsigned char)rest->p[0]);
		}
		buf_put(value, rest->p, 1);
		*rest = slice_skip(*rest, 1);
	}
	return !quoted;
}

static int
take_word(struct ini_words *out, struct slice *rest, struct err *e)
{
	struct buf key = { .cap = 0 }, value = { .cap = 0 };
	bool good;

	while (rest->n > 0 && is_name_byte(rest->p[0])) {
		buf_put(&key, rest->p, 1);
		*rest = slice_skip(*rest, 1);
	}
	*rest = slice_trim(*rest);
	good = key.n > 0 && rest->n > 0 && rest->p[0] == '=';
	if (good) {
		*rest = slice_trim(slice_skip(*rest, 1));
		good = take_value(rest, &value);
		*rest = slice_trim(*rest);
	}
	if (good) {
		out->v = xreallocarray(out->v, out->n + 1, sizeof(*out->v));
		out->v[out->n++] =
		    (struct ini_word){ xstrdup(buf_text(&key)), xstrdup(buf_text(&value)) };
	} else {
		(void)err_set(e, "", "expected key=value words%s%s",
			      key.n > 0 ? ", but that of this key is none: " : "",
			      key.n > 0 ? quote(buf_view(&key)).text : "");
	}
	buf_fini(&key);
	buf_fini(&value);
	return good ? 0 : -1;
}

int
ini_words_read(struct ini_words *out, struct slice text, struct err *e)
{
	struct slice rest = slice_trim(text);

	*out = (struct ini_words){ .n = 0 };
	while (rest.n > 0) {
		if (take_word(out, &rest, e) != 0)
			return -1;
	}
	return 0;
}

void
ini_words_fini(struct ini_words *words)
{
	for (size_t i = 0; i < words->n; i++) {
		free(words->v[i].key);
		free(words->v[i].value);
	}
	free(words->v);
	*words = (struct ini_words){ .n = 0 };
}

const char *
ini_word(const struct ini_words *words, const char *key)
{
	for (size_t i = words->n; i-- > 0;) {
		if (strcmp(words->v[i].key, key) == 0)
			return words->v[i].value;
	}
	return NULL;
}
