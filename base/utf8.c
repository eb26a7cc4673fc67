/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/utf8.h"

#include <stdint.h>

#include "base/hot.h"

struct lead {
	uint8_t from, to;               /* first byte */
	uint8_t length;                 /* of the sequence */
	uint8_t second_from, second_to; /* what the second byte may be */
};

static const struct lead leads[] = {
	{ 0x00, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

static bool
fits(const struct lead *lead, const uint8_t *p, size_t n)
{
	if (p[0] < lead->from || p[0] > lead->to || n < lead->length)
		return false;
	if (lead->length > 1 && (p[1] < lead->second_from || p[1] > lead->second_to))
		return false;
	for (size_t i = 2; i < lead->length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

HOT size_t
utf8_sequence(struct slice s)
{
	for (size_t i = 0; s.n > 0 && i < sizeof(leads) / sizeof(leads[0]); i++)
		if (fits(&leads[i], (const uint8_t *)s.p, s.n))
			return leads[i].length;
	return 0;
}

bool
utf8_valid(struct slice s)
{
	size_t n;

	for (; s.n > 0; s = slice_skip(s, n)) {
		n = utf8_sequence(s);
		if (n == 0)
			return false;
	}
	return true;
}

bool
utf8_is_control(const char *p, size_t n)
{
	unsigned char a = (unsigned char)p[0];

	return a < ' ' || a == 127 || (n == 2 && a == 0xc2 && (unsigned char)p[1] < 0xa0);
}

HOT void
utf8_put(struct buf *b, struct slice s)
{
	while (s.n > 0) {
		size_t n = utf8_sequence(s);

		if (n == 0 || s.p[0] == '\0') {
			buf_str(b, "\xef\xbf\xbd");
			n = 1;
		} else {
			buf_put(b, s.p, n);
		}
		s = slice_skip(s, n);
	}
}
