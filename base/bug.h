/* SPDX-License-Identifier: PostgreSQL
 *
 * BUG_ON(condition): our own invariant is broken; say where and abort. Never for user or network
 * input: those get an error.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdio.h>
#include <stdlib.h>

#define BUG_ON(cond)                                                                        \
	do {                                                                                \
		if (__builtin_expect(!!(cond), 0)) {                                        \
			fprintf(stderr, "meridian: BUG at %s:%d: %s\n", __FILE__, __LINE__, \
				#cond);                                                     \
			abort();                                                            \
		}                                                                           \
	} while (0)

#endif
