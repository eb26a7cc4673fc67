/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/names.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits at *p without zeros in front; *p goes behind them. */
static struct slice
take_number(const char **p)
{
	const char *from;

	while (**p == '0' && is_digit((*p)[1]))
		(*p)++;
	from = *p;
	while (is_digit(**p))
		(*p)++;
	return slice_of(from, (size_t)(*p - from));
}

int
names_compare(const char *a, const char *b)
{
	const char *p = a, *q = b;

	while (*p != '\0' && *q != '\0') {
		if (is_digit(*p) && is_digit(*q)) {
			struct slice m = take_number(&p), n = take_number(&q);
			int c = m.n == n.n ? memcmp(m.p, n.p, m.n) : m.n < n.n ? -1 : 1;

			if (c != 0)
				return c;
		} else if (*p != *q) {
			return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
		} else {
			p++;
			q++;
		}
	}
	if (*p != *q)
		return *p == '\0' ? -1 : 1;
	return strcmp(a, b); /* 1.sql and 01.sql */
}

struct slice
names_version(const char *name)
{
	const char *from = name, *p;

	if (*from == 'V' || *from == 'v' || *from == 'U' || *from == 'u')
		from++;
	for (p = from; is_digit(*p) || ((*p == '.' || *p == '_') && p > from && is_digit(p[1]));)
		p++;
	return slice_of(from, (size_t)(p - from));
}

bool
names_same_version(struct slice a, struct slice b)
{
	while (a.n > 0 && b.n > 0) {
		while (a.n > 1 && *a.p == '0' && is_digit(a.p[1]))
			a = slice_skip(a, 1);
		while (b.n > 1 && *b.p == '0' && is_digit(b.p[1]))
			b = slice_skip(b, 1);
		for (; a.n > 0 && b.n > 0 && is_digit(*a.p) && *a.p == *b.p;) {
			a = slice_skip(a, 1);
			b = slice_skip(b, 1);
		}
		if ((a.n > 0 && is_digit(*a.p)) || (b.n > 0 && is_digit(*b.p)))
			return false;
		a = slice_skip(a, a.n > 0);
		b = slice_skip(b, b.n > 0);
	}
	return a.n == 0 && b.n == 0;
}

/* The name without that ending; n == 0: it has another one. */
static struct slice
without(const char *name, const char *ending)
{
	struct slice s = slice_str(name);
	size_t n = strlen(ending);

	if (s.n <= n || strncasecmp(s.p + s.n - n, ending, n) != 0)
		return slice_of(NULL, 0);
	s.n -= n;
	return s;
}

static bool
is_flyway_undo(const char *name)
{
	struct slice version = names_version(name);

	return *name == 'U' && version.n > 0 && strncmp(version.p + version.n, "__", 2) == 0;
}

bool
names_is_undo(const char *name)
{
	return without(name, ".undo.sql").n > 0 || without(name, ".down.sql").n > 0 ||
	       (is_flyway_undo(name) && without(name, ".sql").n > 0);
}

bool
names_is_migration(const char *name)
{
	return *name != '.' && without(name, ".sql").n > 0 && !names_is_undo(name);
}

static bool
same(struct slice a, struct slice b)
{
	return a.n > 0 && a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

bool
names_is_undo_of(const char *undo, const char *name)
{
	struct slice s = without(name, ".up.sql");

	if (s.n == 0)
		s = without(name, ".sql");
	if (same(s, without(undo, ".undo.sql")) || same(s, without(undo, ".down.sql")))
		return true;
	return *name == 'V' && is_flyway_undo(undo) &&
	       names_same_version(names_version(undo), names_version(name));
}
