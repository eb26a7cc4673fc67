/* SPDX-License-Identifier: PostgreSQL */
#include <config.h>

#include "proxy/config/quote.h"

#include "base/text.h"

struct quoted
quote(struct slice s)
{
	struct buf b = { .cap = 0 };
	struct quoted out;
	struct slice safe;

	text_put_safe(&b, s, QUOTE_MAX);
	safe = buf_view(&b);
	if (safe.n > 1 && safe.p[0] == '"')
		safe = slice_of(safe.p + 1, safe.n - 2);
	text_copy(out.text, sizeof(out.text), safe);
	buf_fini(&b);
	return out;
}
