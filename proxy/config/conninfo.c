/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/config/conninfo.h"

#include <libpq-fe.h>
#include <string.h>

#include "base/buf.h"
#include "base/pgquote.h"

void
conninfo_put(struct buf *b, const char *keyword, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(b, " %s=", keyword);
	pgquote_conninfo(b, slice_str(value));
}

bool
conninfo_is_of(const char *conninfo, struct slice user)
{
	PQconninfoOption *words = conninfo != NULL ? PQconninfoParse(conninfo, NULL) : NULL;
	bool is = false;

	for (const PQconninfoOption *w = words; w != NULL && w->keyword != NULL; w++) {
		if (strcmp(w->keyword, "user") == 0 && w->val != NULL)
			is = slice_is(user, w->val);
	}
	PQconninfoFree(words);
	return is;
}

char *
conninfo_of_region(const struct conf_region *r)
{
	struct buf b = { .cap = 16384 };
	char *text;

	conninfo_put(&b, "sslmode", sslmode_words[r->sslmode]);
	conninfo_put(&b, "sslrootcert", r->sslrootcert);
	conninfo_put(&b, "sslcert", r->sslcert);
	conninfo_put(&b, "sslkey", r->sslkey);
	text = xstrndup(b.p, b.n);
	buf_fini(&b);
	return text;
}
