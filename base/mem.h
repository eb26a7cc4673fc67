/* SPDX-License-Identifier: PostgreSQL
 *
 * Memory whose size we chose ourselves: running out of it aborts. What a peer sized is capped
 * first and goes through struct buf, which fails without ending the process (INV-4).
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
/* Array of n elements of `size` bytes; the overflow of n * size aborts. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
/* Copy n bytes and terminate them. */
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* printf into memory of the caller's. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* A growable list of strings that it owns. All zero is the empty list. */
struct strlist {
	char **v;
	size_t n;
};

void strlist_add(struct strlist *list, const char *s);
/* Unless it is there already. */
void strlist_add_once(struct strlist *list, const char *s);
bool strlist_has(const struct strlist *list, const char *s);
void strlist_add_slice(struct strlist *list, const char *p, size_t n);
void strlist_copy(struct strlist *to, const struct strlist *from);
void strlist_fini(struct strlist *list);

#endif
