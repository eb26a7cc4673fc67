/* SPDX-License-Identifier: PostgreSQL
 *
 * Passwords out of any bytes: what comes out fits the room that was promised, is what went in where
 * that is ASCII, and stays as it is when it is prepared again.
 */
#include "config.h"

#include "protocol/saslprep.h"

#include "tests/fuzz/fuzz.h"

static void
prepare(struct buf *out, struct slice password)
{
	*out = (struct buf){ .cap = SASLPREP_ROOM(password.n) };
	saslprep_put(out, password);
	FUZZ_ASSERT(!out->failed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice password = slice_of((const char *)data, size);
	struct buf once, twice;
	bool ascii = true;

	for (size_t i = 0; i < size; i++)
		ascii = ascii && data[i] < 0x80;
	prepare(&once, password);
	FUZZ_ASSERT((once.n == 0) == (size == 0));
	if (ascii)
		FUZZ_ASSERT(once.n == size && (size == 0 || memcmp(once.p, data, size) == 0));
	prepare(&twice, buf_view(&once));
	FUZZ_ASSERT(twice.n == once.n && (twice.n == 0 || memcmp(twice.p, once.p, once.n) == 0));
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
