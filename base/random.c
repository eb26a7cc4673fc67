/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/random.h"

#include <string.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/hot.h"

HOT void
random_take(struct random *r, void *to, size_t n)
{
	uint8_t *from;

	BUG_ON(n > RANDOM_AHEAD);
	if (r->left < n) {
		BUG_ON(getrandom(r->bytes, sizeof(r->bytes), 0) != sizeof(r->bytes));
		r->left = sizeof(r->bytes);
	}
	from = r->bytes + sizeof(r->bytes) - r->left;
	memcpy(to, from, n);
	explicit_bzero(from, n);
	r->left -= n;
}

void
random_fini(struct random *r)
{
	explicit_bzero(r, sizeof(*r));
}
