/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/b64.h"

#include "base/hot.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

HOT void
b64_put(struct buf *b, const void *p, size_t n)
{
	const uint8_t *in = p;
	char *to = n > 0 ? buf_reserve(b, B64_LENGTH(n)) : NULL;

	if (to == NULL)
		return;
	b->n += B64_LENGTH(n);
	for (; n >= 3; n -= 3, in += 3, to += 4) {
		to[0] = letters[in[0] >> 2];
		to[1] = letters[(in[0] & 3) << 4 | in[1] >> 4];
		to[2] = letters[(in[1] & 15) << 2 | in[2] >> 6];
		to[3] = letters[in[2] & 63];
	}
	if (n == 0)
		return;
	to[0] = letters[in[0] >> 2];
	to[1] = letters[(in[0] & 3) << 4 | (n == 2 ? in[1] >> 4 : 0)];
	to[2] = n == 2 ? letters[(in[1] & 15) << 2] : '=';
	to[3] = '=';
}

/* Up to four letters without their padding, as 6-bit groups from the top of 24 bits. */
static bool
group(const char *p, size_t n, uint32_t *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		const char *at = i < n ? memchr(letters, p[i], sizeof(letters) - 1) : letters;

		if (at == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(at - letters);
	}
	*out = bits;
	return true;
}

HOT bool
b64_decode(struct slice text, uint8_t *to, size_t size, size_t *n)
{
	size_t pad = 0, length;

	if (text.n % 4 != 0)
		return false;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	length = text.n / 4 * 3 - pad;
	if (length > size)
		return false;
	for (size_t i = 0, at = 0; i < text.n; i += 4) {
		size_t used = i + 4 == text.n ? 4 - pad : 4;
		uint32_t bits;

		if (!group(text.p + i, used, &bits))
			return false;
		for (size_t k = 0; k < used - 1; k++, bits = (bits << 8) & 0xffffff)
			to[at++] = (uint8_t)(bits >> 16);
		if (bits != 0 && used < 4)
			return false;
	}
	*n = length;
	return true;
}
