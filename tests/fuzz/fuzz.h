/* SPDX-License-Identifier: PostgreSQL
 *
 * What every fuzz target includes. A target defines LLVMFuzzerTestOneInput() and asserts properties
 * (round trips, bounds, the same result however the input is cut), not only the absence of crashes.
 * With --enable-fuzzer it is linked with the engine; otherwise with replay.c, which feeds it the
 * files of its corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold; said in the words of the condition. */
#define FUZZ_ASSERT(cond)                                                                         \
	do {                                                                                      \
		if (!(cond)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

#endif
