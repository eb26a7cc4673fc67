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

#include "base/buf.h"
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

/* A short input for a long one, so that the ends of fixed arrays are within reach: a byte of 1 to 8
 * becomes that many letters. Nothing is written where there is no such byte. */
static inline void
fuzz_stretch(struct slice in, struct buf *out)
{
	static const uint16_t letters[] = { 15, 62, 63, 127, 128, 254, 255, 4090 };
	bool any = false;

	for (size_t i = 0; i < in.n; i++)
		any = any || ((uint8_t)in.p[i] >= 1 && (uint8_t)in.p[i] <= 8);
	for (size_t i = 0; any && i < in.n; i++) {
		uint8_t c = (uint8_t)in.p[i];

		for (unsigned n = c >= 1 && c <= 8 ? letters[c - 1] : 0; n > 0; n--)
			buf_u8(out, 'a');
		if (c < 1 || c > 8)
			buf_u8(out, c);
	}
}

#endif
