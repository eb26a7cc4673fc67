/* SPDX-License-Identifier: PostgreSQL
 *
 * Three clients that share two servers by proxy/sqlstate/statements.h, from one transaction to the
 * next, against a model of PostgreSQL (tests/unit/pg_model.h). What they say, and how all of it is
 * cut and delayed, comes from the bytes of `data`. Each client must read what a server of its own
 * would have said to the same bytes, to the byte; and nothing may be left waiting.
 */
#ifndef TESTS_UNIT_STATEMENTS_PLAY_H
#define TESTS_UNIT_STATEMENTS_PLAY_H

#include <stddef.h>
#include <stdint.h>

struct play_result {
	const char *wrong; /* what does not hold, or NULL */
	unsigned attachments, rewritten, bytes;
	unsigned waited, known, parses, errors;
};

/* `max`: statements on one server. */
struct play_result statements_play(const uint8_t *data, size_t n, unsigned max);
/* The same with random data. */
struct play_result statements_play_random(uint64_t seed, unsigned max);

#endif
