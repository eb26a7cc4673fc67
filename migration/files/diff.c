/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/diff.h"

#include <stdlib.h>

#include "base/mem.h"

/* Beyond this many lines on either side between the first difference and the last one, they are
 * not paired: all went and all came. */
#define PAIR_MAX  400
#define SUM_SHOWN 12

struct lines {
	struct slice *v;
	size_t n;
};

struct printer {
	struct buf *out;
	unsigned left, dropped;
};

static struct lines
cut(struct slice text)
{
	struct lines l = { 0 };
	size_t room = 0;

	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (l.n == room)
			l.v = xreallocarray(l.v, room = room * 2 + 64, sizeof(*l.v));
		l.v[l.n++] = line;
	}
	return l;
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void
print(struct printer *p, char sign, struct slice line)
{
	if (p->left == 0) {
		p->dropped++;
		return;
	}
	p->left--;
	if (p->out->n > 0)
		buf_u8(p->out, '\n');
	buf_u8(p->out, (uint8_t)sign);
	buf_slice(p->out, line);
}

/* table[i][k]: the longest common subsequence of a from i on and b from k on. */
static unsigned short *
make_table(const struct lines *a, const struct lines *b)
{
	size_t w = b->n + 1;
	unsigned short *t = xcalloc((a->n + 1) * w, sizeof(*t));

	for (size_t i = a->n; i-- > 0;)
		for (size_t k = b->n; k-- > 0;) {
			unsigned short down = t[(i + 1) * w + k], right = t[i * w + k + 1];

			if (same(a->v[i], b->v[k]))
				t[i * w + k] = (unsigned short)(t[(i + 1) * w + k + 1] + 1);
			else
				t[i * w + k] = down > right ? down : right;
		}
	return t;
}

static void
print_pairs(struct printer *p, const struct lines *a, const struct lines *b)
{
	size_t i = 0, k = 0, w = b->n + 1;
	unsigned short *t = a->n <= PAIR_MAX && b->n <= PAIR_MAX ? make_table(a, b) : NULL;

	while (i < a->n || k < b->n) {
		if (t != NULL && i < a->n && k < b->n && same(a->v[i], b->v[k])) {
			i++;
			k++;
		} else if (i < a->n &&
			   (k == b->n || t == NULL || t[(i + 1) * w + k] >= t[i * w + k + 1])) {
			print(p, '-', a->v[i++]);
		} else {
			print(p, '+', b->v[k++]);
		}
	}
	free(t);
}

/* Without the first n; of no lines there is not even an address. */
static struct lines
behind(const struct lines *l, size_t n)
{
	return (struct lines){ n > 0 ? l->v + n : l->v, l->n - n };
}

void
diff_lines(struct buf *out, struct slice was, struct slice is, unsigned lines)
{
	struct lines a = cut(was), b = cut(is), x, y;
	struct printer p = { .out = out, .left = lines };
	size_t front = 0;

	while (front < a.n && front < b.n && same(a.v[front], b.v[front]))
		front++;
	x = behind(&a, front);
	y = behind(&b, front);
	while (x.n > 0 && y.n > 0 && same(x.v[x.n - 1], y.v[y.n - 1])) {
		x.n--;
		y.n--;
	}
	print_pairs(&p, &x, &y);
	if (p.dropped > 0)
		buf_printf(out, "\n… and %u lines more", p.dropped);
	free(a.v);
	free(b.v);
}

void
diff_sums(struct buf *out, struct slice was, struct slice is, unsigned lines)
{
	unsigned shown = 0;

	for (unsigned i = 1; was.n > 0 || is.n > 0; i++) {
		struct slice a = slice_cut(&was, ' '), b = slice_cut(&is, ' ');

		if (same(a, b))
			continue;
		if (shown++ == lines) {
			buf_str(out, "\n…");
			return;
		}
		if (out->n > 0)
			buf_u8(out, '\n');
		buf_printf(out, "statement %u: %.*s -> %.*s", i,
			   (int)(a.n < SUM_SHOWN ? a.n : SUM_SHOWN), a.n > 0 ? a.p : "",
			   (int)(b.n < SUM_SHOWN ? b.n : SUM_SHOWN), b.n > 0 ? b.p : "");
		if (a.n == 0)
			buf_str(out, " (new)");
		else if (b.n == 0)
			buf_str(out, "(gone)");
	}
}
