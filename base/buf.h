/* SPDX-License-Identifier: PostgreSQL
 *
 * struct buf: growable bytes with a hard cap (INV-4), and the builder of everything we write to a
 * wire. Integers go out in network byte order. A write that would pass the cap, or for which there
 * is no memory, sets `failed`, which sticks: build the whole thing, then ask once.
 *
 * All zero with a cap is a valid empty buffer; nothing is allocated until the first byte.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
	char *p;
	size_t n;         /* bytes in use */
	size_t cap;       /* never more than this; 0 means BUF_CAP_DEFAULT */
	size_t size : 63; /* bytes allocated */
	bool failed : 1;
};

#define BUF_CAP_DEFAULT ((size_t)1 << 30)

void buf_init(struct buf *b, size_t cap);
/* Give the memory back; the buffer is empty and usable again. */
void buf_fini(struct buf *b);
/* Forget the contents, keep the memory. */
void buf_clear(struct buf *b);
/* Drop the first n bytes. Gives the memory back when nothing is left. */
void buf_drop(struct buf *b, size_t n);
/* Room for n more bytes, or NULL (and failed). The caller adds what it wrote to b->n. */
char *buf_reserve(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *p, size_t n);
void buf_slice(struct buf *b, struct slice s);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
/* The string and its terminating NUL. */
void buf_cstr(struct buf *b, const char *s);
/* Text without a terminating NUL. */
void buf_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* A terminated view of the contents (the NUL is not counted in n); "" where that failed. */
const char *buf_text(struct buf *b);
/* The same, the caller's to free; the buf is finished. */
char *buf_take_text(struct buf *b);

/* Begin a protocol message: its type byte and four bytes of length to be filled in by
 * buf_message_end(), which takes what buf_message() returned. type 0 leaves the byte out (startup
 * packets). */
size_t buf_message(struct buf *b, char type);
void buf_message_end(struct buf *b, size_t at);

static inline struct slice
buf_view(const struct buf *b)
{
	return slice_of(b->p, b->n);
}

/* Read integers in network byte order; the caller has checked that the bytes are there. */
static inline uint16_t
get_u16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t
get_u32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t
get_u64(const void *p)
{
	const uint8_t *b = p;

	return (uint64_t)get_u32(b) << 32 | get_u32(b + 4);
}

static inline void
put_u32(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 24);
	b[1] = (uint8_t)(v >> 16);
	b[2] = (uint8_t)(v >> 8);
	b[3] = (uint8_t)v;
}

#endif
