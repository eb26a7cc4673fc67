/* SPDX-License-Identifier: PostgreSQL
 *
 * Random bytes of the kernel, for one thread: some are kept ahead, so that a login's nonce and keys
 * cost no system call each. What has been given out is gone from here.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_AHEAD 256

struct random {
	size_t left; /* the last so many of them are unused */
	uint8_t bytes[RANDOM_AHEAD];
};

/* Fill n bytes, at most RANDOM_AHEAD. Begins with all zeros. */
void random_take(struct random *r, void *to, size_t n);
void random_fini(struct random *r);

#endif
