/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/saslprep.h"

#include <string.h>

#include <stringprep.h>

#include "base/bug.h"

#define PROFILE_ROWS 32

/* Five compatibility ideographs have become others since Unicode 3.2, in which there was a mistake
 * (Unicode Corrigendum 4); the library has the mistake still. */
#define CORRECTED 5
static const Stringprep_table_element corrected[] = {
	{ 0x2f868, 0x2f868, { 0x36fc } },  { 0x2f874, 0x2f874, { 0x5f53 } },
	{ 0x2f91f, 0x2f91f, { 0x243ab } }, { 0x2f95f, 0x2f95f, { 0x7aee } },
	{ 0x2f9bf, 0x2f9bf, { 0x45d7 } },  { 0, 0, { 0 } },
};

/* Prepare the text at p, which has room for `size` bytes. False where the profile does not take it,
 * or it is no UTF-8. */
static bool
prepare(char *p, size_t size)
{
	static const Stringprep_profile last[] = {
		{ STRINGPREP_MAP_TABLE, 0, corrected, CORRECTED },
		{ STRINGPREP_NFKC, 0, NULL, 0 },
	};
	Stringprep_profile profile[PROFILE_ROWS];
	size_t n = 0;

	/* RFC 4013 normalizes, and looks then at what is prohibited. PostgreSQL has it the other
	 * way round (pg_saslprep()), so that some texts are prepared here that the RFC would
	 * refuse: with it, what is normalized goes last. */
	for (const Stringprep_profile *row = stringprep_saslprep; row->operation != 0; row++) {
		BUG_ON(n + 3 > PROFILE_ROWS);
		if (row->operation != STRINGPREP_NFKC)
			profile[n++] = *row;
	}
	profile[n++] = last[0];
	profile[n++] = last[1];
	profile[n] = (Stringprep_profile){ 0 };
	return stringprep(p, size, STRINGPREP_NO_UNASSIGNED, profile) == STRINGPREP_OK &&
	       p[0] != '\0';
}

void
saslprep_put(struct buf *b, struct slice password)
{
	size_t room = SASLPREP_ROOM(password.n);
	char *p = buf_reserve(b, room);
	unsigned char all = 0;

	if (p == NULL)
		return;
	for (size_t i = 0; i < password.n; i++)
		all |= (unsigned char)password.p[i];
	if (password.n > 0)
		memcpy(p, password.p, password.n);
	p[password.n] = '\0';
	if (all < 0x80 || strlen(p) < password.n || !prepare(p, room)) /* ASCII stays as it is */
		buf_slice(b, password);
	else
		b->n += strlen(p);
}
