/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/deallocate.h"

#include <string.h>

#include "base/hot.h"
#include "protocol/sqltoken.h"

/* The name as the server sees it. */
static bool
read_name(const struct sqltoken *t, struct deallocate *d)
{
	size_t n = sqltoken_value(t, d->name, DEALLOCATE_NAME_MAX);

	if (n == 0 || n == SIZE_MAX)
		return false;
	d->n = n < DEALLOCATE_NAME_MAX ? n : DEALLOCATE_NAME_MAX;
	for (size_t i = 0; t->kind == SQLTOKEN_WORD && i < d->n; i++) {
		if (d->name[i] >= 'A' && d->name[i] <= 'Z')
			d->name[i] = (char)(d->name[i] | 0x20);
	}
	return true;
}

/* Nothing follows but one semicolon. */
static bool
is_at_end(struct sqltoken_scan *s)
{
	struct sqltoken t;

	if (sqltoken_next(s, &t) && (!sqltoken_is_mark(&t, ';') || sqltoken_next(s, &t)))
		return false;
	return s->endless == NULL;
}

HOT enum deallocate_what
deallocate_read(struct slice sql, struct deallocate *out)
{
	struct sqltoken_scan s = sqltoken_begin(sql);
	struct deallocate d;
	struct sqltoken t;
	bool is_discard;

	/* most texts begin with another word */
	if (sql.n == 0 || ((sqltoken_kind_of(*sql.p) & SQLBYTE_LETTER) && (*sql.p | 0x20) != 'd'))
		return DEALLOCATE_NOTHING;
	if (!sqltoken_next(&s, &t))
		return DEALLOCATE_NOTHING;
	is_discard = sqltoken_is_word(&t, "discard");
	if ((!is_discard && !sqltoken_is_word(&t, "deallocate")) || !sqltoken_next(&s, &t))
		return DEALLOCATE_NOTHING;
	if (!is_discard && sqltoken_is_word(&t, "prepare") && !sqltoken_next(&s, &t))
		return DEALLOCATE_NOTHING;
	if (sqltoken_is_word(&t, "all"))
		return is_at_end(&s) ? DEALLOCATE_ALL : DEALLOCATE_NOTHING;
	if (is_discard || (t.kind != SQLTOKEN_WORD && t.kind != SQLTOKEN_NAME) ||
	    !read_name(&t, &d) || !is_at_end(&s))
		return DEALLOCATE_NOTHING;
	*out = d;
	return DEALLOCATE_ONE;
}
