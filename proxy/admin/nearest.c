/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/nearest.h"

#define LETTERS_MAX 40

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, one row of the table at a time. */
unsigned
nearest_distance(struct slice a, struct slice b)
{
	unsigned row[LETTERS_MAX + 1], longer = (unsigned)(a.n > b.n ? a.n : b.n);

	if (a.n == 0 || b.n == 0 || a.n > LETTERS_MAX || b.n > LETTERS_MAX)
		return NEAREST_NONE;
	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 0; i < a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.n; j++) {
			unsigned replaced = diagonal + (lower(a.p[i]) != lower(b.p[j]));

			diagonal = row[j + 1];
			row[j + 1] = least(row[j + 1] + 1, row[j] + 1, replaced);
		}
	}
	return row[b.n] * 3 <= longer ? row[b.n] : NEAREST_NONE;
}
