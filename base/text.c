/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"

HOT bool
text_copy(char *to, size_t size, struct slice s)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
	return n == s.n;
}

bool
text_append(char *to, size_t size, size_t *n, struct slice s)
{
	if (*n > size || s.n > size - *n)
		return false;
	if (s.n > 0)
		memcpy(to + *n, s.p, s.n);
	*n += s.n;
	return true;
}

bool
text_to_int(struct slice s, int64_t min, int64_t max, int64_t *out)
{
	char text[32], *end;
	long long v;

	if (s.n == 0 || !text_copy(text, sizeof(text), s) || isspace((unsigned char)text[0]))
		return false;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end != text + s.n || v < min || v > max)
		return false;
	*out = v;
	return true;
}

/* strtod, which reads the C locale's numbers because nothing here ever calls setlocale(); *rest
 * gets what stands behind the number. */
static bool
scan_double(struct slice s, double *out, struct slice *rest)
{
	char text[64], *end;
	double v;

	if (s.n == 0 || !text_copy(text, sizeof(text), s))
		return false;
	if (strspn(text, "+-0123456789.") == 0)
		return false;
	v = strtod(text, &end);
	if (end == text || !isfinite(v) || strpbrk(text, "xXpP") != NULL)
		return false;
	*out = v;
	*rest = slice_skip(s, (size_t)(end - text));
	return true;
}

bool
text_to_double(struct slice s, double *out)
{
	struct slice rest;
	double v;

	if (!scan_double(s, &v, &rest) || rest.n != 0)
		return false;
	*out = v;
	return true;
}

struct unit {
	const char *name;
	int64_t factor;
};

static bool
to_units(struct slice s, const struct unit *units, int64_t bare, int64_t *out)
{
	struct slice rest;
	double v;

	if (!scan_double(s, &v, &rest))
		return false;
	rest = slice_trim(rest);
	int64_t factor = rest.n == 0 ? bare : 0;
	for (const struct unit *u = units; factor == 0 && u->name != NULL; u++) {
		if (slice_is_nocase(rest, u->name))
			factor = u->factor;
	}
	v *= (double)factor;
	if (factor == 0 || v > 9e17 || v < -9e17)
		return false;
	*out = (int64_t)llround(v);
	return true;
}

/* Largest first; what stands behind the 1 is read only. */
static const struct unit time_units[] = {
	{ "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
	{ "min", 60 * USEC_PER_SEC },  { "s", USEC_PER_SEC },
	{ "ms", USEC_PER_MSEC },       { "us", 1 },
	{ "sec", USEC_PER_SEC },       { NULL, 0 },
};

static const struct unit byte_units[] = {
	{ "GB", 1 << 30 }, { "MB", 1024 * 1024 }, { "kB", 1024 }, { "B", 1 }, { NULL, 0 },
};

static void
put_units(struct buf *b, const struct unit *u, int64_t v)
{
	if (v == 0) {
		buf_str(b, "0");
		return;
	}
	while (v % u->factor != 0)
		u++;
	buf_printf(b, "%" PRId64 "%s", v / u->factor, u->name);
}

bool
text_to_usec(struct slice s, int64_t *out)
{
	return to_units(s, time_units, USEC_PER_SEC, out);
}

bool
text_to_bytes(struct slice s, int64_t *out)
{
	return to_units(s, byte_units, 1, out);
}

bool
text_to_bool(struct slice s, bool *out)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (slice_is_nocase(s, words[i])) {
			*out = i % 2 == 1;
			return true;
		}
	}
	return false;
}

void
text_put_usec(struct buf *b, int64_t usec)
{
	put_units(b, time_units, usec);
}

void
text_put_bytes(struct buf *b, int64_t bytes)
{
	put_units(b, byte_units, bytes);
}

void
text_put_safe(struct buf *b, struct slice s, size_t max)
{
	bool cut = s.n > max, quote = s.n == 0;

	if (cut)
		s.n = max;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		quote = quote || c <= ' ' || c == '"' || c == '=' || c == 127;
	}
	if (quote)
		buf_u8(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < ' ' || c == 127)
			buf_printf(b, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else
			buf_u8(b, c);
	}
	if (cut)
		buf_str(b, "…");
	if (quote)
		buf_u8(b, '"');
}

int
text_hex_digit(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool
text_is_alnum(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!isalnum((unsigned char)s.p[i]))
			return false;
	}
	return s.n > 0;
}
