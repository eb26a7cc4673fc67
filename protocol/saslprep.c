/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/saslprep.h"

#include <stdlib.h>
#include <string.h>

#include <stringprep.h>

#include "base/mem.h"

static bool
is_ascii(struct slice s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.n; i++)
		all |= (unsigned char)s.p[i];
	return all < 0x80;
}

/* The length of the UTF-8 character at p (RFC 3629: shortest form, no surrogates, up to U+10FFFF),
 * 0 where there is none. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
	/* by the first byte: the range of the second; further ones are 80..BF */
	static const struct {
		unsigned char first, last, low, high, length;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		size_t length = forms[i].length;

		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (length > n || (length > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < length; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return length;
	}
	return 0;
}

/* libidn reads what it is given as UTF-8 without looking. */
static bool
is_utf8(struct slice s)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = utf8_length((const unsigned char *)s.p + i, s.n - i);
		if (n == 0)
			return false;
	}
	return true;
}

/* NULL where the profile does not take it. */
static char *
prepare(struct slice password)
{
	char *copy = xstrndup(password.p, password.n), *prepared = NULL;
	int result = stringprep_profile(copy, &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED);

	explicit_bzero(copy, password.n);
	free(copy);
	if (result != STRINGPREP_OK || prepared[0] == '\0') {
		free(prepared);
		return NULL;
	}
	return prepared;
}

void
saslprep_put(struct buf *b, struct slice password)
{
	char *prepared = NULL;

	(void)buf_reserve(b, SASLPREP_ROOM(password.n));
	if (!is_ascii(password) && is_utf8(password))
		prepared = prepare(password);
	if (prepared == NULL) {
		buf_slice(b, password);
		return;
	}
	buf_str(b, prepared);
	explicit_bzero(prepared, strlen(prepared));
	free(prepared);
}
