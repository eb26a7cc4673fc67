/* SPDX-License-Identifier: PostgreSQL
 *
 * What cppcheck is told of the macros that it cannot look up, because system headers are not read
 * for it: their shape, so that it sees loops where there are loops. Compiled by nobody.
 */
#ifndef TESTS_ANALYZE_CPPCHECK_H
#define TESTS_ANALYZE_CPPCHECK_H

#define LIST_HEAD(name, type)       \
	struct name {               \
		struct type *first; \
	}
#define LIST_ENTRY(type)           \
	struct {                   \
		struct type *next; \
	}
#define TAILQ_HEAD(name, type)  LIST_HEAD(name, type)
#define TAILQ_ENTRY(type)       LIST_ENTRY(type)
#define STAILQ_HEAD(name, type) LIST_HEAD(name, type)
#define STAILQ_ENTRY(type)      LIST_ENTRY(type)
#define TAILQ_HEAD_INITIALIZER(h) \
	{                         \
		0                 \
	}
#define TAILQ_FIRST(h)                                       ((h)->first)
#define TAILQ_NEXT(v, field)                                 ((v)->field.next)
#define TAILQ_FOREACH(v, h, field)                           for ((v) = (h)->first; (v) != NULL; (v) = (v)->field.next)
#define LIST_FOREACH(v, h, field)                            TAILQ_FOREACH (v, h, field)
#define STAILQ_FOREACH(v, h, field)                          TAILQ_FOREACH (v, h, field)
#define HASH_FIND(hh, head, key, len, out)                   ((out) = uthash_find(head, key, len))
#define HASH_FIND_BYHASHVALUE(hh, head, key, len, hash, out) ((out) = uthash_find(head, key, len))
#define HASH_FIND_PTR(head, key, out)                        ((out) = uthash_find(head, key, 0))
#define HASH_ITER(hh, head, v, next)                             \
	for ((v) = (head), (next) = uthash_next(v); (v) != NULL; \
	     (v) = (next), (next) = uthash_next(v))
#define json_array_foreach(array, i, v) \
	for ((i) = 0; (i) < json_array_size(array) && ((v) = json_array_get(array, i)); (i)++)
#define json_object_keylen_foreach(object, key, len, v)               \
	for ((key) = json_first(object, &(len), &(v)); (key) != NULL; \
	     (key) = json_next(key, &(len), &(v)))

#endif
