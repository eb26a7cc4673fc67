/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/conninfo.h"

#include "base/buf.h"

/* Append " keyword='value'" as libpq reads it: quotes and backslashes are escaped. */
static void
put_word(struct buf *b, const char *keyword, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(b, " %s='", keyword);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			buf_u8(b, '\\');
		buf_u8(b, (uint8_t)*value);
	}
	buf_u8(b, '\'');
}

char *
conninfo_of_region(const struct conf_region *r)
{
	struct buf b = { .cap = 16384 };
	char *text;

	put_word(&b, "sslmode", sslmode_name(r->sslmode));
	put_word(&b, "sslrootcert", r->sslrootcert);
	put_word(&b, "sslcert", r->sslcert);
	put_word(&b, "sslkey", r->sslkey);
	text = xstrndup(b.p, b.n);
	buf_fini(&b);
	return text;
}
