/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/parameter.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"

static char *
integer_text(const char *p, size_t n)
{
	uint64_t v = 0;
	unsigned shift = (unsigned)(64 - 8 * n);

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)p[i];
	return xasprintf("%lld", (long long)((int64_t)(v << shift) >> shift));
}

static char *
bool_text(const char *p, size_t n)
{
	(void)n;
	return xstrdup(p[0] != 0 ? "true" : "false");
}

static char *
float8_text(const char *p, size_t n)
{
	uint64_t bits = get_u64(p);
	double v;

	(void)n;
	memcpy(&v, &bits, sizeof(v));
	return xasprintf("%.17g", v);
}

static const struct {
	uint32_t oid;
	size_t size;
	char *(*print)(const char *p, size_t n);
} types[] = {
	{ 16, 1, bool_text },    { 21, 2, integer_text }, { 23, 4, integer_text },
	{ 20, 8, integer_text }, { 701, 8, float8_text },
};

char *
parameter_text(uint32_t oid, int16_t format, struct slice value, struct err *e)
{
	if (format != 0 && format != 1) {
		err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid format code: %d", format);
		return NULL;
	}
	for (size_t i = 0; format == 1 && i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i].oid != oid)
			continue;
		if (value.n == types[i].size)
			return types[i].print(value.p, value.n);
		err_set(e, "22P03", "incorrect binary data format");
		return NULL;
	}
	if (utf8_valid(value) && (value.n == 0 || memchr(value.p, '\0', value.n) == NULL))
		return xstrndup(value.n > 0 ? value.p : "", value.n);
	err_set(e, "22021", "invalid byte sequence for encoding \"UTF8\"");
	return NULL;
}
