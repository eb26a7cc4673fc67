/* SPDX-License-Identifier: PostgreSQL
 *
 * What a server has yet to answer: chunks of one control byte (top bit: from the server; the rest:
 * length) and that many bytes. What is awaited does not depend on how the chunks are cut, and the
 * answers that are made up in the server's place answer all of it.
 */
#include "config.h"

#include "protocol/awaited.h"

#include <string.h>

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"

static void
run(struct awaited *a, struct slice in, size_t step)
{
	awaited_begin(a);
	while (in.n > 0) {
		bool server;
		struct slice chunk = fuzz_chunk(&in, &server);

		for (; chunk.n > 0; chunk = slice_skip(chunk, step)) {
			size_t n = chunk.n < step ? chunk.n : step;

			if (server)
				awaited_server(a, chunk.p, n);
			else
				awaited_client(a, chunk.p, n);
			FUZZ_ASSERT(a->n <= AWAITED_MAX);
			FUZZ_ASSERT(a->client.have < FRAME_HEAD_BYTES || a->lost);
			FUZZ_ASSERT(a->server.have < FRAME_HEAD_BYTES || a->lost);
		}
	}
}

static void
check_answers(const struct awaited *a)
{
	struct awaited copy = *a;
	struct buf out = { 0 };

	/* between two messages of the server's, as whoever asks for this has made sure */
	copy.server = (struct awaited_side){ 0 };
	if (awaited_put_commit(&copy, &out)) {
		FUZZ_ASSERT(out.n > 0 && !out.failed);
		awaited_server(&copy, out.p, out.n);
		FUZZ_ASSERT(copy.n == 0 && !copy.lost);
		FUZZ_ASSERT(copy.server.left == 0 && copy.server.have == 0);
	} else {
		FUZZ_ASSERT(out.n == 0);
	}
	buf_fini(&out);
}

static bool
same(const struct awaited *a, const struct awaited *b)
{
	return a->lost == b->lost && a->n == b->n && memcmp(a->types, b->types, a->n) == 0 &&
	       a->client.left == b->client.left && a->client.have == b->client.have &&
	       a->server.left == b->server.left && a->server.have == b->server.have;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 3, 7 };
	struct slice in = slice_of((const char *)data, size);
	struct awaited whole, cut;

	run(&whole, in, 128);
	check_answers(&whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		run(&cut, in, steps[i]);
		FUZZ_ASSERT(same(&cut, &whole));
	}
	return 0;
}
