/* SPDX-License-Identifier: PostgreSQL
 *
 * Tokens, comments with tokens, and history files. A token that is read is written as one that is
 * read alike, and no longer than it may be; what a history says of ends is of timelines in front of
 * its own.
 */
#include "config.h"

#include "routing/token.h"
#include "tests/fuzz/fuzz.h"

static void
check_token(struct slice in)
{
	struct buf b = { .cap = 128 };
	struct wal_token t, again;

	if (!token_parse(in, &t))
		return;
	FUZZ_ASSERT(t.system_id != 0 && t.timeline != 0 && t.lsn != 0);
	token_put(&b, &t);
	FUZZ_ASSERT(b.n == in.n && b.n < TOKEN_TEXT_MAX);
	FUZZ_ASSERT(token_parse(buf_view(&b), &again));
	FUZZ_ASSERT(again.system_id == t.system_id && again.timeline == t.timeline &&
		    again.lsn == t.lsn);
	buf_fini(&b);
}

static void
check_comment(struct slice in)
{
	struct slice value;

	if (!token_in_comment(in, &value))
		return;
	FUZZ_ASSERT(value.p >= in.p && value.n <= in.n && value.p + value.n <= in.p + in.n);
	FUZZ_ASSERT(memchr(value.p, '\'', value.n) == NULL);
}

static void
check_history(struct slice in)
{
	struct timeline_ends e;
	struct wal_token t = { .system_id = 1, .timeline = 1, .lsn = 1 };

	if (!timeline_ends_read(&e, 7, in)) {
		FUZZ_ASSERT(e.of == 0 && e.n == 0);
		return;
	}
	FUZZ_ASSERT(e.of == 7 && e.n <= TIMELINE_ENDS);
	for (unsigned i = 0; i < e.n; i++)
		FUZZ_ASSERT(e.ends[i].timeline >= 1 && e.ends[i].timeline < 7);
	(void)token_judge(&t, 1, 7, &e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);

	check_token(in);
	check_comment(in);
	check_history(in);
	return 0;
}
