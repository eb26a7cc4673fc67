/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/words.h"

int
words_find(const char *const *table, struct slice word)
{
	for (int i = 0; table[i] != NULL; i++) {
		if (slice_is_nocase(word, table[i]))
			return i;
	}
	return -1;
}
