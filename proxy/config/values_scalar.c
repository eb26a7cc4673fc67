/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/pgquote.h"
#include "base/suggest.h"
#include "base/text.h"
#include "proxy/config/quote.h"

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
int_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	int64_t v;

	if (!read_number(o, text, &v))
		return value_bad(o, text, e, NULL);
	*(int *)field = (int)v;
	return 0;
}

static void
int_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	int v = *(const int *)field;

	(void)secrets;
	if (v == 0 && o->zero != NULL)
		buf_str(out, o->zero);
	else
		buf_printf(out, "%d", v);
}

static void
int_describe(const struct option *o, struct buf *out)
{
	buf_printf(out, "a whole number from %" PRId64 " to %" PRId64, o->min, o->max);
	if (o->zero != NULL)
		buf_printf(out, " or %s", o->zero);
}

static int
time_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	int64_t v;

	if (!read_number(o, text, &v))
		return value_bad(o, text, e, NULL);
	*(int64_t *)field = v;
	return 0;
}

static void
time_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	int64_t v = *(const int64_t *)field;

	(void)secrets;
	if (v == 0 && o->zero != NULL)
		buf_str(out, o->zero);
	else
		text_put_usec(out, v);
}

static void
time_describe(const struct option *o, struct buf *out)
{
	buf_str(out, "a time from ");
	text_put_usec(out, o->min);
	buf_str(out, " to ");
	text_put_usec(out, o->max);
	if (o->zero != NULL)
		buf_printf(out, " or %s", o->zero);
	buf_str(out, " (units us, ms, s, min, h, d; none: seconds)");
}

static void
size_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	(void)o;
	(void)secrets;
	text_put_bytes(out, *(const int64_t *)field);
}

static void
size_describe(const struct option *o, struct buf *out)
{
	buf_str(out, "a number of bytes from ");
	text_put_bytes(out, o->min);
	buf_str(out, " to ");
	text_put_bytes(out, o->max);
	buf_str(out, " (units B, kB, MB, GB; none: bytes)");
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
octal_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	(void)o;
	(void)secrets;
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
double_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	(void)o;
	(void)secrets;
	buf_printf(out, "%.10g", *(const double *)field);
}

static void
double_describe(const struct option *o, struct buf *out)
{
	buf_printf(out, "a number from %" PRId64 " to %" PRId64, o->min, o->max);
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
bool_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	(void)o;
	(void)secrets;
	buf_str(out, *(const bool *)field ? "on" : "off");
}

static void
bool_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "on or off");
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
enum_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	(void)secrets;
	buf_str(out, o->words[*(const int *)field]);
}

static void
enum_describe(const struct option *o, struct buf *out)
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
string_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const char *s = *(char *const *)field;

	(void)o;
	(void)secrets;
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

static void
string_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "a text");
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
conninfo_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const char *s = *(char *const *)field, *blank = "";
	PQconninfoOption *words;

	if (s == NULL || secrets) {
		string_print(o, field, secrets, out);
		return;
	}
	words = PQconninfoParse(s, NULL);
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

const struct value_type value_bool = {
	.set = bool_set,
	.print = bool_print,
	.describe = bool_describe,
};

const struct value_type value_int = {
	.set = int_set,
	.print = int_print,
	.describe = int_describe,
};

const struct value_type value_octal = {
	.set = octal_set,
	.print = octal_print,
	.describe = octal_describe,
};

const struct value_type value_time = {
	.set = time_set,
	.print = time_print,
	.describe = time_describe,
};

const struct value_type value_size = {
	.set = time_set,
	.print = size_print,
	.describe = size_describe,
};

const struct value_type value_double = {
	.set = double_set,
	.print = double_print,
	.describe = double_describe,
};

const struct value_type value_enum = {
	.set = enum_set,
	.print = enum_print,
	.describe = enum_describe,
};

const struct value_type value_string = {
	.set = string_set,
	.print = string_print,
	.own = string_own,
	.fini = string_fini,
	.describe = string_describe,
};

const struct value_type value_conninfo = {
	.set = conninfo_set,
	.append = conninfo_append,
	.print = conninfo_print,
	.own = string_own,
	.fini = string_fini,
	.describe = conninfo_describe,
};
