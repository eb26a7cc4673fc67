/* SPDX-License-Identifier: PostgreSQL
 *
 * First byte: the size of the pieces that the rest is read in. What comes out is the same as from
 * the whole, never more than what went in, and never behind what was consumed.
 */
#include "config.h"

#include "protocol/ws.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

static void
check(struct ws_took *t, enum parse r, size_t n)
{
	FUZZ_ASSERT(t->used <= n && t->got <= t->used);
	FUZZ_ASSERT(r != PARSE_MORE || t->used == n);
	FUZZ_ASSERT((r == PARSE_BAD) == (t->fault != NULL));
	FUZZ_ASSERT((t->ping != NULL) == (r == PARSE_DONE && t->control == WS_PING));
	FUZZ_ASSERT(t->ping == NULL || t->ping->n <= WS_CONTROL_MAX);
	FUZZ_ASSERT(r != PARSE_BAD ||
		    (t->code == WS_CODE_PROTOCOL || t->code == WS_CODE_UNACCEPTABLE));
}

/* The payload and what stands between it, in pieces; where it turned bad, that too. */
static void
take_all(struct slice in, size_t piece, struct buf *out)
{
	struct ws_in ws = { 0 };
	enum parse r = PARSE_MORE;

	for (size_t at = 0; at < in.n && r != PARSE_BAD; at += piece) {
		size_t n = in.n - at < piece ? in.n - at : piece, used = 0, got = 0;
		char *mine = malloc(n);
		struct ws_took t;

		FUZZ_ASSERT(mine != NULL);
		memcpy(mine, in.p + at, n);
		do {
			r = ws_take(&ws, mine + got, mine + used, n - used, &t);
			check(&t, r, n - used);
			buf_put(out, mine + got, t.got);
			if (r == PARSE_DONE)
				buf_u8(out, (uint8_t)t.control);
			if (r != PARSE_MORE)
				buf_u16(out, (uint16_t)t.code);
			if (t.ping != NULL)
				buf_put(out, t.ping->p, t.ping->n);
			free(t.ping);
			used += t.used;
			got += t.got;
		} while (r == PARSE_DONE);
		free(mine);
	}
	ws_in_fini(&ws);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { .cap = 4 << 20 }, pieces = { .cap = 4 << 20 };
	struct slice in = slice_of((const char *)data, size);

	if (size < 2)
		return 0;
	in = slice_skip(in, 1);
	take_all(in, in.n, &whole);
	take_all(in, (size_t)data[0] % 32 + 1, &pieces);
	FUZZ_ASSERT(whole.n == pieces.n);
	FUZZ_ASSERT(whole.n == 0 || memcmp(whole.p, pieces.p, whole.n) == 0);
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
