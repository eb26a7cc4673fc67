/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"

HOT void
buf_init(struct buf *b, size_t cap)
{
	*b = (struct buf){ .cap = cap };
}

HOT void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .cap = b->cap };
}

HOT void
buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

HOT void
buf_drop(struct buf *b, size_t n)
{
	BUG_ON(n > b->n);
	if (n == b->n) {
		buf_fini(b);
		return;
	}
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}

HOT char *
buf_reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap != 0 ? b->cap : BUF_CAP_DEFAULT;
	size_t size = b->size;
	char *p;

	if (b->failed || n > cap || b->n > cap - n) {
		b->failed = true;
		return NULL;
	}
	if (n == 0)
		n = 1; /* an empty buffer has no place to point to */
	if (b->n + n <= size)
		return b->p + b->n;
	while (size < b->n + n)
		size = size < 64 ? 64 : size * 2;
	if (size > cap)
		size = cap;
	p = realloc(b->p, size);
	if (p == NULL) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->size = size & (SIZE_MAX >> 1);
	return b->p + b->n;
}

/* Most that is put is small and finds room: with n known, this is a comparison and a store. */
static HOT_INLINE void
append(struct buf *b, const void *p, size_t n)
{
	size_t cap = b->cap != 0 ? b->cap : BUF_CAP_DEFAULT;

	if (UNLIKELY(b->failed || b->size > cap || n > b->size - b->n) && buf_reserve(b, n) == NULL)
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

HOT void
buf_put(struct buf *b, const void *p, size_t n)
{
	if (n > 0)
		append(b, p, n);
}

HOT void
buf_slice(struct buf *b, struct slice s)
{
	if (s.n > 0)
		append(b, s.p, s.n);
}

HOT void
buf_u8(struct buf *b, uint8_t v)
{
	append(b, &v, 1);
}

HOT void
buf_u16(struct buf *b, uint16_t v)
{
	uint8_t bytes[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	append(b, bytes, sizeof(bytes));
}

HOT void
buf_u32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	put_u32(bytes, v);
	append(b, bytes, sizeof(bytes));
}

void
buf_u64(struct buf *b, uint64_t v)
{
	buf_u32(b, (uint32_t)(v >> 32));
	buf_u32(b, (uint32_t)v);
}

HOT void
buf_cstr(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s) + 1);
}

HOT void
buf_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

HOT void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

HOT void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *to;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || (to = buf_reserve(b, (size_t)n + 1)) == NULL) {
		b->failed = true;
		return;
	}
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

const char *
buf_text(struct buf *b)
{
	char *to = buf_reserve(b, 1);

	if (to == NULL)
		return "";
	*to = '\0';
	return b->p;
}

char *
buf_take_text(struct buf *b)
{
	char *text = xstrdup(buf_text(b));

	buf_fini(b);
	return text;
}

HOT size_t
buf_message(struct buf *b, char type)
{
	size_t at;

	if (type != 0)
		buf_u8(b, (uint8_t)type);
	at = b->n;
	buf_u32(b, 0);
	return at;
}

HOT void
buf_message_end(struct buf *b, size_t at)
{
	if (b->failed)
		return;
	BUG_ON(at + 4 > b->n);
	put_u32(b->p + at, (uint32_t)(b->n - at));
}
