/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hot.h"

__attribute__((cold, noreturn)) static void
out_of_memory(void)
{
	static const char text[] = "meridian: out of memory\n";

	(void)!fwrite(text, 1, sizeof(text) - 1, stderr);
	abort();
}

/* What is small comes from what the thread has just given back (glibc's malloc() has a cache for
 * that up to this size), which calloc() passes by. */
#define CACHED_MAX ((size_t)1024)

HOT void *
xcalloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		out_of_memory();
	p = bytes > CACHED_MAX ? calloc(1, bytes) : malloc(bytes > 0 ? bytes : 1);
	if (p == NULL)
		out_of_memory();
	if (bytes <= CACHED_MAX) {
		__asm__("" : "+r"(p)); /* or the compiler makes a calloc() of the two again */
		memset(p, 0, bytes);
	}
	return p;
}

HOT void *
xmalloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

HOT void *
xreallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		out_of_memory();
	p = realloc(p, bytes > 0 ? bytes : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return p;
}

void
strlist_add(struct strlist *list, const char *s)
{
	strlist_add_slice(list, s, strlen(s));
}

void
strlist_add_slice(struct strlist *list, const char *p, size_t n)
{
	list->v = xreallocarray(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = xstrndup(p, n);
}

bool
strlist_has(const struct strlist *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], s) == 0)
			return true;
	return false;
}

void
strlist_add_once(struct strlist *list, const char *s)
{
	if (!strlist_has(list, s))
		strlist_add(list, s);
}

void
strlist_copy(struct strlist *to, const struct strlist *from)
{
	for (size_t i = 0; i < from->n; i++)
		strlist_add(to, from->v[i]);
}

void
strlist_fini(struct strlist *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct strlist){ NULL, 0 };
}
