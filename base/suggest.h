/* SPDX-License-Identifier: PostgreSQL
 *
 * "Did you mean …?": the known word nearest to a misspelt one, by edit distance (insert, delete,
 * replace, swap neighbours), case ignored.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include "base/slice.h"

/* All zero but `word` to begin with; then offer every known word and read `best`. */
struct suggestion {
	struct slice word;
	const char *best; /* NULL: nothing comes near */
	unsigned distance;
};

void suggest_offer(struct suggestion *s, const char *known);

#endif
