/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include <ctype.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/pgquote.h"
#include "base/suggest.h"
#include "base/text.h"
#include "proxy/config/config.h"

/* ---- numbers ---- */

static bool
read_number(const struct option *o, struct slice text, int64_t *out)
{
	if (o->zero != NULL && slice_is_nocase(text, o->zero)) {
		*out = 0;
		return true;
	}
	if (o->type == OPT_TIME)
		return text_to_usec(text, out) && *out >= o->min && *out <= o->max;
	if (o->type == OPT_SIZE)
		return text_to_bytes(text, out) && *out >= o->min && *out <= o->max;
	return text_to_int(text, o->min, o->max, out);
}

static int
number_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	int64_t v;

	if (!read_number(o, text, &v))
		return value_bad(o, text, e, NULL);
	if (o->type == OPT_INT)
		*(int *)field = (int)v;
	else
		*(int64_t *)field = v;
	return 0;
}

static void
put_number(const struct option *o, int64_t v, struct buf *out)
{
	if (o->type == OPT_TIME)
		text_put_usec(out, v);
	else if (o->type == OPT_SIZE)
		text_put_bytes(out, v);
	else
		buf_printf(out, "%" PRId64, v);
}

static void
number_print(const struct option *o, const void *field, struct buf *out)
{
	int64_t v = o->type == OPT_INT ? *(const int *)field : *(const int64_t *)field;

	if (v == 0 && o->zero != NULL)
		buf_str(out, o->zero);
	else
		put_number(o, v, out);
}

static void
number_describe(const struct option *o, struct buf *out)
{
	static const struct {
		const char *what, *units;
	} kinds[] = {
		[OPT_INT] = { "a whole number", "" },
		[OPT_DOUBLE] = { "a number", "" },
		[OPT_TIME] = { "a time", " (units us, ms, s, min, h, d; none: seconds)" },
		[OPT_SIZE] = { "a number of bytes", " (units B, kB, MB, GB; none: bytes)" },
	};

	buf_printf(out, "%s from ", kinds[o->type].what);
	put_number(o, o->min, out);
	buf_str(out, " to ");
	put_number(o, o->max, out);
	if (o->zero != NULL)
		buf_printf(out, " or %s", o->zero);
	buf_str(out, kinds[o->type].units);
}

static int
octal_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	int v = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '7' || v > o->max)
			return value_bad(o, text, e, NULL);
		v = v * 8 + (text.p[i] - '0');
	}
	if (text.n == 0 || v > o->max)
		return value_bad(o, text, e, NULL);
	*(int *)field = v;
	return 0;
}

static void
octal_print(const struct option *o, const void *field, struct buf *out)
{
	(void)o;
	buf_printf(out, "%04o", (unsigned)*(const int *)field);
}

static void
octal_describe(const struct option *o, struct buf *out)
{
	buf_printf(out, "an octal number from 0 to %04o", (unsigned)o->max);
}

static int
double_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	double v;

	if (!text_to_double(text, &v) || v < (double)o->min || v > (double)o->max)
		return value_bad(o, text, e, NULL);
	*(double *)field = v;
	return 0;
}

static void
double_print(const struct option *o, const void *field, struct buf *out)
{
	(void)o;
	buf_printf(out, "%.10g", *(const double *)field);
}

/* ---- words ---- */

static int
bool_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	if (!text_to_bool(text, field))
		return value_bad(o, text, e, NULL);
	return 0;
}

static void
bool_print(const struct option *o, const void *field, struct buf *out)
{
	(void)o;
	buf_str(out, *(const bool *)field ? "on" : "off");
}

static bool
has_word(const struct option *o, int i)
{
	return o->words[i] != NULL && (o->nwords == 0 || i < o->nwords);
}

static int
enum_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct suggestion near = { .word = text };

	for (int i = 0; has_word(o, i); i++) {
		if (slice_is_nocase(text, o->words[i])) {
			*(int *)field = i;
			return 0;
		}
		suggest_offer(&near, o->words[i]);
	}
	return value_bad(o, text, e, near.best);
}

static void
enum_print(const struct option *o, const void *field, struct buf *out)
{
	buf_str(out, o->words[*(const int *)field]);
}

void
value_describe_words(const struct option *o, struct buf *out)
{
	buf_str(out, o->words[1] != NULL ? "one of " : "");
	for (int i = 0; has_word(o, i); i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", o->words[i]);
}

/* ---- strings ---- */

static int
string_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	char **s = field;

	(void)o;
	(void)e;
	free(*s);
	*s = text.n > 0 ? xstrndup(text.p, text.n) : NULL;
	return 0;
}

static void
string_print(const struct option *o, const void *field, struct buf *out)
{
	const char *s = *(char *const *)field;

	(void)o;
	if (s != NULL)
		buf_str(out, s);
}

static void
string_own(void *field)
{
	char **s = field;

	if (*s != NULL)
		*s = xstrdup(*s);
}

static void
string_fini(void *field)
{
	char **s = field;

	free(*s);
	*s = NULL;
}

/* ---- connection strings ---- */

static bool
conninfo_is_good(const PQconninfoOption *words)
{
	static const char *const refused[] = { "host", "hostaddr", "port" };

	for (const PQconninfoOption *w = words; w->keyword != NULL; w++) {
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
			if (w->val != NULL && strcmp(w->keyword, refused[i]) == 0)
				return false;
		}
	}
	return true;
}

static int
conninfo_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	char *s = xstrndup(text.p, text.n);
	PQconninfoOption *words = PQconninfoParse(s, NULL);
	bool good = words != NULL && (o->with_host || conninfo_is_good(words));

	PQconninfoFree(words);
	free(s);
	if (!good)
		return value_bad(o, text, e, NULL);
	return string_set(o, field, text, e);
}

/* Further lines hold further words. */
static int
conninfo_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	char **s = field;
	char *joined =
	    xasprintf("%s%s%.*s", *s != NULL ? *s : "", *s != NULL ? " " : "", (int)text.n, text.p);
	int rc = conninfo_set(o, field, slice_str(joined), e);

	free(joined);
	return rc;
}

/* Masks the options that libpq marks with "*", which are not to be shown on a screen. */
static void
conninfo_show(const struct option *o, const void *field, struct buf *out)
{
	const char *s = *(char *const *)field, *blank = "";
	PQconninfoOption *words = s != NULL ? PQconninfoParse(s, NULL) : NULL;

	(void)o;
	for (const PQconninfoOption *w = words; w != NULL && w->keyword != NULL; w++) {
		if (w->val == NULL)
			continue;
		buf_printf(out, "%s%s=", blank, w->keyword);
		if (w->dispchar[0] == '*')
			buf_str(out, "********");
		else if (w->val[0] == '\0' || strpbrk(w->val, " '\\") != NULL)
			pgquote_conninfo(out, slice_str(w->val));
		else
			buf_str(out, w->val);
		blank = " ";
	}
	PQconninfoFree(words);
}

static void
conninfo_describe(const struct option *o, struct buf *out)
{
	buf_printf(out, "a list of libpq's keyword=value words%s",
		   o->with_host ? "" : " without host and port");
}

/* ---- types of TLV, places ---- */

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
tlv_print(const struct option *o, const void *field, struct buf *out)
{
	int v = *(const int *)field;

	(void)o;
	if (v == 0)
		buf_str(out, "off");
	else
		buf_printf(out, "0x%02x", (unsigned)v);
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
location_print(const struct option *o, const void *field, struct buf *out)
{
	const struct conf_region *r = region_of(field);

	(void)o;
	if (r->has_location)
		buf_printf(out, "%.10g, %.10g", r->lat, r->lon);
}

const struct value_type value_bool = {
	.set = bool_set,
	.print = bool_print,
	.description = "on or off",
};

const struct value_type value_number = {
	.set = number_set,
	.print = number_print,
	.describe = number_describe,
};

const struct value_type value_octal = {
	.set = octal_set,
	.print = octal_print,
	.describe = octal_describe,
};

const struct value_type value_double = {
	.set = double_set,
	.print = double_print,
	.describe = number_describe,
};

const struct value_type value_enum = {
	.set = enum_set,
	.print = enum_print,
	.describe = value_describe_words,
};

const struct value_type value_string = {
	.set = string_set,
	.print = string_print,
	.own = string_own,
	.fini = string_fini,
	.description = "a text",
};

const struct value_type value_conninfo = {
	.set = conninfo_set,
	.append = conninfo_append,
	.print = string_print,
	.show = conninfo_show,
	.own = string_own,
	.fini = string_fini,
	.describe = conninfo_describe,
};

const struct value_type value_tlv = {
	.set = tlv_set,
	.print = tlv_print,
	.description = "a type from 0xe1 to 0xf7, 0xea and 0xee excepted (they are those of "
		       "clouds), or off",
};

const struct value_type value_location = {
	.set = location_set,
	.print = location_print,
	.description = "a latitude and a longitude in degrees (48.85, 2.35)",
};
