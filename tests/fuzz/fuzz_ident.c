/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of an auth_ident_file. What is refused names a line that exists; what is accepted allows
 * nothing where no map is named but the same name, and where the file is a plain one (no quotes, no
 * expressions, no other files) what a reader of fifteen lines finds in it.
 */
#include "config.h"

#include "proxy/auth/ident.h"

#include "proxy/auth/hba.h"

#include "tests/fuzz/hbafuzz.h"

#define WORDS_MAX 12

static struct slice
field(struct slice *line)
{
	size_t n = 0;

	while (line->n > 0 && strchr(" \t\r", line->p[0]) != NULL)
		*line = slice_skip(*line, 1);
	while (n < line->n && strchr(" \t\r", line->p[n]) == NULL)
		n++;
	*line = slice_skip(*line, n);
	return slice_of(line->p - n, n);
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static bool
is_plain(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (strchr("\"\\/@#,+\1", text.p[i]) != NULL)
			return false;
	}
	return memmem(text.p, text.n, "include", 7) == NULL;
}

static bool
model_allows(struct slice text, struct slice map, struct slice system, struct slice user)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');
		struct slice m = field(&line), s = field(&line), u = field(&line);

		if (m.n > 0 && same(m, map) && same(s, system) &&
		    (same(u, user) || slice_is(u, "all")))
			return true;
	}
	return false;
}

static void
ask(const struct ident *t, struct slice input, const struct slice words[3])
{
	struct slice map = words[0], system = words[1], user = words[2];
	char *name = xstrndup(map.p, map.n);
	bool allowed = ident_allows(t, name, system, user);

	FUZZ_ASSERT(!allowed || (system.n > 0 && user.n > 0 && user.n <= HBA_NAME_MAX));
	FUZZ_ASSERT(!allowed || ident_has_map(t, name));
	if (is_plain(input) && user.n <= HBA_NAME_MAX)
		FUZZ_ASSERT(allowed == model_allows(input, map, system, user));
	FUZZ_ASSERT(ident_allows(t, NULL, system, user) ==
		    (same(system, user) && user.n <= HBA_NAME_MAX));
	free(name);
}

static void
ask_all(const struct ident *t, struct slice input)
{
	struct slice words[WORDS_MAX], rest = input;
	size_t n = 0;

	while (n < WORDS_MAX && (words[n] = hbafuzz_word(&rest)).n > 0)
		n++;
	for (size_t i = 0; i + 2 < n; i++) {
		ask(t, input, &words[i]);
		ask(t, input, (struct slice[]){ words[i], words[i + 1], words[i + 1] });
		ask(t, input, (struct slice[]){ words[0], words[i + 2], words[i] });
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_of((const char *)data, size);
	struct err e = { 0 };
	struct hbafile_source source = { hbafuzz_read, hbafuzz_list, &input };
	struct ident *t;

	if (size == 0 || size > HBAFUZZ_BYTES_MAX || hbafuzz_is_costly(input))
		return 0;
	t = ident_read(&source, "a", &e);
	if (t != NULL)
		ask_all(t, input);
	else
		hbafuzz_check_error(input, &e);
	ident_unref(t);
	return 0;
}
