/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include <ctype.h>

#include "base/text.h"
#include "proxy/config/config.h"

/* A number as C writes it, or off. */
static bool
read_type(struct slice text, int64_t *out)
{
	*out = 0;
	if (slice_is_nocase(text, "off"))
		return true;
	if (text.n != 4 || text.p[0] != '0' || (text.p[1] | 0x20) != 'x')
		return text_to_int(text, 1, 255, out);
	for (size_t i = 2; i < 4; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = memchr(digits, tolower((unsigned char)text.p[i]), 16);

		if (at == NULL)
			return false;
		*out = *out * 16 + (at - digits);
	}
	return *out > 0;
}

static int
tlv_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	int64_t v;

	if (!read_type(text, &v) || (v != 0 && !tlvs_type_is_free((unsigned)v)))
		return value_bad(o, text, e, NULL);
	*(int *)field = (int)v;
	return 0;
}

static void
tlv_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	int v = *(const int *)field;

	(void)o;
	(void)secrets;
	if (v == 0)
		buf_str(out, "off");
	else
		buf_printf(out, "0x%02x", (unsigned)v);
}

static void
tlv_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "a type from 0xe1 to 0xf7, 0xea and 0xee excepted (they are those of clouds), "
		     "or off");
}

static struct conf_region *
region_of(const void *has_location)
{
	return (struct conf_region *)((uintptr_t)has_location -
				      offsetof(struct conf_region, has_location));
}

static int
location_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct conf_region *r = region_of(field);
	struct slice rest = text, first = slice_trim(slice_cut(&rest, ','));
	double lat, lon;

	if (text.n == 0) {
		r->has_location = false;
		return 0;
	}
	if (!text_to_double(first, &lat) || !text_to_double(slice_trim(rest), &lon) || lat < -90 ||
	    lat > 90 || lon < -180 || lon > 180)
		return value_bad(o, text, e, NULL);
	r->has_location = true;
	r->lat = lat;
	r->lon = lon;
	return 0;
}

static void
location_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const struct conf_region *r = region_of(field);

	(void)o;
	(void)secrets;
	if (r->has_location)
		buf_printf(out, "%.10g, %.10g", r->lat, r->lon);
}

static void
location_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "a latitude and a longitude in degrees (48.85, 2.35)");
}

const struct value_type value_tlv = {
	.set = tlv_set,
	.print = tlv_print,
	.describe = tlv_describe,
};

const struct value_type value_location = {
	.set = location_set,
	.print = location_print,
	.describe = location_describe,
};
