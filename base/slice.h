/* SPDX-License-Identifier: PostgreSQL
 *
 * Borrowed bytes: a pointer and a length, never NUL-terminated, never owned. A slice is valid
 * until the callee that received it returns, unless a header says more.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *p;
	size_t n;
};

/* What every parser of ours returns; it never touches its output on PARSE_MORE. */
enum parse { PARSE_DONE, PARSE_MORE, PARSE_BAD };

#define MUST_CHECK       __attribute__((warn_unused_result))
#define SLICE_LITERAL(s) ((struct slice){ (s), sizeof(s) - 1 })

static inline struct slice
slice_of(const char *p, size_t n)
{
	return (struct slice){ p, n };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool
slice_is(struct slice a, const char *s)
{
	return a.n == strlen(s) && (a.n == 0 || memcmp(a.p, s, a.n) == 0);
}

static inline bool
slice_is_nocase(struct slice a, const char *s)
{
	return a.n == strlen(s) && (a.n == 0 || strncasecmp(a.p, s, a.n) == 0);
}

static inline bool
slice_same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_same_nocase(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_starts(struct slice a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

/* Drop the first n bytes (all of them where there are fewer). */
static inline struct slice
slice_skip(struct slice a, size_t n)
{
	if (n > a.n)
		n = a.n;
	return (struct slice){ n > 0 ? a.p + n : a.p, a.n - n }; /* NULL + 0 is undefined in C */
}

/* Drop blanks (space, tab, CR, LF) at both ends. */
static inline struct slice
slice_trim(struct slice a)
{
	while (a.n > 0 && strchr(" \t\r\n", a.p[0]) != NULL && a.p[0] != '\0')
		a.p++, a.n--;
	while (a.n > 0 && strchr(" \t\r\n", a.p[a.n - 1]) != NULL && a.p[a.n - 1] != '\0')
		a.n--;
	return a;
}

/* Cut *rest at the first `sep`: returns what stands before it and leaves what stands after it.
 * Without a separator the whole rest is returned and *rest becomes empty with p == NULL. */
static inline struct slice
slice_cut(struct slice *rest, char sep)
{
	const char *at = rest->n > 0 ? memchr(rest->p, sep, rest->n) : NULL;
	struct slice head = *rest;

	if (at == NULL) {
		*rest = (struct slice){ NULL, 0 };
		return head;
	}
	head.n = (size_t)(at - head.p);
	*rest = slice_skip(*rest, head.n + 1);
	return head;
}

#endif
