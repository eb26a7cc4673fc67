/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/saslprep.h"

#include <string.h>

#include <stringprep.h>

#include "base/bug.h"

#define PROFILE_ROWS 32

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

/* Five compatibility ideographs have become others since Unicode 3.2, in which there was a mistake
 * (Unicode Corrigendum 4); the library has the mistake still. */
#define CORRECTED 5
static const Stringprep_table_element corrected[] = {
	{ 0x2f868, 0x2f868, { 0x36fc } },  { 0x2f874, 0x2f874, { 0x5f53 } },
	{ 0x2f91f, 0x2f91f, { 0x243ab } }, { 0x2f95f, 0x2f95f, { 0x7aee } },
	{ 0x2f9bf, 0x2f9bf, { 0x45d7 } },  { 0, 0, { 0 } },
};

/* RFC 4013 normalizes, and looks then at what is prohibited. PostgreSQL has it the other way round
 * (pg_saslprep()), so that some texts are prepared here that the RFC would refuse: with it, what is
 * normalized goes last. */
static void
make_profile(Stringprep_profile to[PROFILE_ROWS])
{
	static const Stringprep_profile last[] = {
		{ STRINGPREP_MAP_TABLE, 0, corrected, CORRECTED },
		{ STRINGPREP_NFKC, 0, NULL, 0 },
	};
	size_t n = 0;

	for (const Stringprep_profile *row = stringprep_saslprep; row->operation != 0; row++) {
		BUG_ON(n + 3 > PROFILE_ROWS);
		if (row->operation != STRINGPREP_NFKC)
			to[n++] = *row;
	}
	to[n++] = last[0];
	to[n++] = last[1];
	to[n] = (Stringprep_profile){ 0 };
}

/* Prepare the text at p, which has room for `size` bytes. False where the profile does not take it.
 */
static bool
prepare(char *p, size_t size)
{
	Stringprep_profile profile[PROFILE_ROWS];

	make_profile(profile);
	return stringprep(p, size, STRINGPREP_NO_UNASSIGNED, profile) == STRINGPREP_OK &&
	       p[0] != '\0';
}

void
saslprep_put(struct buf *b, struct slice password)
{
	size_t room = SASLPREP_ROOM(password.n);
	char *p = buf_reserve(b, room);

	if (p == NULL)
		return;
	if (password.n > 0)
		memcpy(p, password.p, password.n);
	p[password.n] = '\0';
	if (is_ascii(password) || !is_utf8(password) || !prepare(p, room))
		buf_slice(b, password);
	else
		b->n += strlen(p);
}
