/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/ident.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/snapshot.h"
#include "base/text.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/hbafile.h"
#include "proxy/auth/hbaregex.h"

struct name {
	char *text;
	bool is_regex, is_all;
	regex_t regex; /* what follows the / */
};

struct entry {
	char *map;
	struct name system, user;
	const char *hole; /* where \1 is in the user's text, or NULL */
};

struct ident {
	struct refcount refs;
	struct entry *v;
	size_t n;
};

static void
name_fini(struct name *name)
{
	if (name->is_regex)
		regfree(&name->regex);
	free(name->text);
}

static int
name_init(struct name *name, const struct hbafile_token *t, struct err *e)
{
	*name = (struct name){ .text = xstrdup(t->text) };
	if (t->text[0] != '/')
		return 0;
	if (hbaregex_compile(t->text + 1, &name->regex, e) != 0)
		return -1;
	name->is_regex = true;
	return 0;
}

static int
take_line(void *arg, const struct hbafile_line *line, struct err *e)
{
	struct ident *ident = arg;
	const struct hbafile_token *t;
	struct entry *entry;

	if (line->n != 3)
		return err_set(e, "F0000",
			       "expected three fields (map, system user, database user), found %zu",
			       line->n);
	for (size_t i = 0; i < line->n; i++) {
		if (line->v[i].n != 1)
			return err_set(e, "F0000", "expected one value in field %zu, found %zu",
				       i + 1, line->v[i].n);
	}
	ident->v = xreallocarray(ident->v, ident->n + 1, sizeof(*ident->v));
	entry = &ident->v[ident->n++];
	*entry = (struct entry){ .map = xstrdup(line->v[0].v[0].text) };
	if (name_init(&entry->system, &line->v[1].v[0], e) != 0 ||
	    name_init(&entry->user, &line->v[2].v[0], e) != 0)
		return -1;
	t = &line->v[2].v[0];
	if (!t->quoted && t->text[0] == '+')
		return err_set(e, "F0000",
			       "\"%s\": a proxy does not know who is a member of a role", t->text);
	entry->user.is_all = hbafile_is_keyword(t, "all");
	if (!entry->system.is_regex || entry->user.is_regex)
		return 0;
	entry->hole = strstr(entry->user.text, "\\1");
	if (entry->hole != NULL && entry->system.regex.re_nsub == 0)
		return err_set(e, "F0000",
			       "regular expression \"%s\" has no subexpressions as requested by "
			       "backreference in \"%s\"",
			       entry->system.text + 1, t->text);
	return 0;
}

struct ident *
ident_read(const struct hbafile_source *source, const char *path, struct err *e)
{
	struct ident *t = xcalloc(1, sizeof(*t));

	refcount_init(&t->refs);
	if (hbafile_read(source, path, take_line, t, e) == 0)
		return t;
	ident_unref(t);
	return NULL;
}

struct ident *
ident_load(const char *path, struct err *e)
{
	struct ident *t = ident_read(&hbafile_disk, path, e);

	if (t == NULL)
		err_prefix(e, "auth_ident_file");
	return t;
}

REFCOUNT_REF(ident_ref, struct ident)

void
ident_unref(struct ident *t)
{
	if (t == NULL || !refcount_put(&t->refs))
		return;
	for (size_t i = 0; i < t->n; i++) {
		name_fini(&t->v[i].system);
		name_fini(&t->v[i].user);
		free(t->v[i].map);
	}
	free(t->v);
	free(t);
}

size_t
ident_count(const struct ident *t)
{
	return t->n;
}

bool
ident_has_map(const struct ident *t, const char *map)
{
	for (size_t i = 0; t != NULL && i < t->n; i++) {
		if (strcmp(t->v[i].map, map) == 0)
			return true;
	}
	return false;
}

/* ---- comparing: both names are terminated copies, since a client's may be of any length ---- */

struct names {
	char system[IDENT_NAME_MAX + 1];
	char user[HBA_NAME_MAX + 1];
};

/* Whether the user's text with \1 filled in is the user's name; the result is compared as a plain
 * name. */
static bool
fits_filled(const struct entry *entry, const struct names *names, const regmatch_t *bracket)
{
	const char *user = entry->user.text;
	struct slice head = slice_of(user, (size_t)(entry->hole - user));
	struct slice tail = slice_str(entry->hole + 2);
	struct slice said = slice_of(NULL, 0), have = slice_str(names->user);

	if (bracket->rm_so >= 0)
		said = slice_of(names->system + bracket->rm_so,
				(size_t)(bracket->rm_eo - bracket->rm_so));
	if (have.n != head.n + said.n + tail.n)
		return false;
	return memcmp(have.p, head.p, head.n) == 0 &&
	       (said.n == 0 || memcmp(have.p + head.n, said.p, said.n) == 0) &&
	       memcmp(have.p + head.n + said.n, tail.p, tail.n) == 0;
}

static bool
fits_user(const struct entry *entry, const struct names *names)
{
	const struct name *user = &entry->user;

	if (user->is_all)
		return true;
	if (user->is_regex)
		return regexec(&user->regex, names->user, 0, NULL, 0) == 0;
	return strcmp(user->text, names->user) == 0;
}

static bool
fits(const struct entry *entry, const struct names *names)
{
	regmatch_t match[2] = { { -1, -1 }, { -1, -1 } };

	if (!entry->system.is_regex)
		return strcmp(entry->system.text, names->system) == 0 && fits_user(entry, names);
	if (regexec(&entry->system.regex, names->system, 2, match, 0) != 0)
		return false;
	return entry->hole != NULL ? fits_filled(entry, names, &match[1]) : fits_user(entry, names);
}

/* Refuses a name with a zero byte: the C library would read less of it than the certificate's
 * issuer has written. */
static bool
copy_name(char *to, size_t size, struct slice name)
{
	return name.n > 0 && memchr(name.p, '\0', name.n) == NULL && text_copy(to, size, name);
}

bool
ident_allows(const struct ident *t, const char *map, struct slice system, struct slice user)
{
	struct names names;

	if (!copy_name(names.system, sizeof(names.system), system) ||
	    !copy_name(names.user, sizeof(names.user), user))
		return false;
	if (map == NULL)
		return strcmp(names.system, names.user) == 0;
	for (size_t i = 0; t != NULL && i < t->n; i++) {
		if (strcmp(t->v[i].map, map) == 0 && fits(&t->v[i], &names))
			return true;
	}
	return false;
}
