/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/conninfo.h"

#include "base/buf.h"

void
conninfo_put(struct buf *b, const char *keyword, const char *value)
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

	conninfo_put(&b, "sslmode", sslmode_name(r->sslmode));
	conninfo_put(&b, "sslrootcert", r->sslrootcert);
	conninfo_put(&b, "sslcert", r->sslcert);
	conninfo_put(&b, "sslkey", r->sslkey);
	text = xstrndup(b.p, b.n);
	buf_fini(&b);
	return text;
}
