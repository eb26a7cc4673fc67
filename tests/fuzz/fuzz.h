/* SPDX-License-Identifier: PostgreSQL
 *
 * What every fuzz target includes. A target defines LLVMFuzzerTestOneInput() and asserts properties
 * (round trips, bounds, the same result however the input is cut), not only the absence of crashes.
 * With --enable-fuzzer it is linked with the engine; otherwise with replay.c, which feeds it the
 * files of its corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold; said in the words of the condition. */
#define FUZZ_ASSERT(cond)                                                                         \
	do {                                                                                      \
		if (!(cond)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

/* The next chunk of a conversation, cut from `in`: one control byte (top bit: from the server; the
 * rest: the length) and that many bytes, or what is left. `in` is not empty. */
static inline struct slice
fuzz_chunk(struct slice *in, bool *from_server)
{
	unsigned char control = (unsigned char)in->p[0];
	struct slice chunk = slice_skip(*in, 1);

	if (chunk.n > (control & 0x7fu))
		chunk.n = control & 0x7fu;
	*from_server = (control & 0x80) != 0;
	*in = slice_skip(*in, 1 + chunk.n);
	return chunk;
}

#endif
