/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of an auth_file. What is accepted has users that can be found by name; what is refused
 * names a line that exists and does not quote the file.
 */
#include "config.h"

#include "proxy/auth/authfile.h"

#include "tests/fuzz/fuzz.h"

/* Plain text costs a millisecond each, so inputs are short. */
#define TEXT_MAX 1024

static unsigned
lines(struct slice text)
{
	unsigned n = 0;

	for (; text.n > 0; n++)
		slice_cut(&text, '\n');
	return n;
}

/* Give every line that begins like a user to the table as a name. */
static void
check_users(const struct authfile *f, struct slice text)
{
	size_t found = 0;

	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n'), name;
		const struct authfile_user *u;

		slice_cut(&line, '"');
		name = slice_cut(&line, '"');
		u = name.n > 0 ? authfile_find(f, name) : NULL;
		if (u == NULL)
			continue;
		found++;
		FUZZ_ASSERT(u->name_len == name.n && memcmp(u->name, name.p, name.n) == 0);
		FUZZ_ASSERT(u->kind == AUTHFILE_SCRAM || authfile_why_not(u) != NULL);
		FUZZ_ASSERT(u->kind != AUTHFILE_SCRAM ||
			    (u->scram.iterations > 0 && u->scram.salt_len > 0));
		FUZZ_ASSERT(u->kind != AUTHFILE_MD5 || strlen(u->md5) == 35);
	}
	FUZZ_ASSERT(authfile_count(f) > 0 || found == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t salts[SCRAM_KEY_BYTES];
	struct slice text = slice_of((const char *)data, size);
	struct err e = { 0 };
	struct authfile *f;
	unsigned line = 0;

	if (size > TEXT_MAX)
		return 0;
	f = authfile_parse(text, "f", salts, &e);
	if (f != NULL) {
		FUZZ_ASSERT(authfile_count(f) <= lines(text));
		check_users(f, text);
	} else {
		FUZZ_ASSERT(strncmp(e.msg, "f:", 2) == 0);
		line = (unsigned)strtoul(e.msg + 2, NULL, 10);
		FUZZ_ASSERT(line >= 1 && line <= lines(text));
	}
	authfile_free(f);
	return 0;
}
