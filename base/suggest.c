/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "base/suggest.h"

#include <ctype.h>

#define SUGGEST_MAX 40

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Optimal string alignment distance of two words of at most SUGGEST_MAX bytes. */
static unsigned
distance(struct slice a, struct slice b)
{
	unsigned d[SUGGEST_MAX + 1][SUGGEST_MAX + 1];

	for (unsigned i = 0; i <= a.n; i++)
		d[i][0] = i;
	for (unsigned j = 0; j <= b.n; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		for (size_t j = 1; j <= b.n; j++) {
			int x = tolower((unsigned char)a.p[i - 1]);
			int y = tolower((unsigned char)b.p[j - 1]);

			d[i][j] =
			    min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b.p[j - 2]) &&
			    y == tolower((unsigned char)a.p[i - 2]))
				d[i][j] = min3(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
		}
	}
	return d[a.n][b.n];
}

void
suggest_offer(struct suggestion *s, const char *known)
{
	struct slice k = slice_str(known);
	unsigned d, limit;

	if (s->word.n == 0 || s->word.n > SUGGEST_MAX || k.n > SUGGEST_MAX)
		return;
	d = distance(s->word, k);
	/* a third of the word may be wrong */
	limit = (unsigned)(k.n > s->word.n ? k.n : s->word.n) / 3;
	if (limit == 0)
		limit = 1;
	if (d <= limit && (s->best == NULL || d < s->distance)) {
		s->best = known;
		s->distance = d;
	}
}
