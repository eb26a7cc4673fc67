/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values.h"

#include <ctype.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/suggest.h"
#include "base/text.h"
#include "proxy/config/config.h"
#include "proxy/config/quote.h"

typedef int (*set_fn)(const struct option *o, void *field, struct slice text, struct err *e);
typedef void (*print_fn)(const struct option *o, const void *field, bool secrets, struct buf *out);
typedef void (*field_fn)(void *field);

/* What is known of a type. `own` replaces borrowed pointers by copies, `fini` frees them; both are
 * missing where the value is flat. */
struct value_type {
	set_fn set;
	set_fn append; /* lists only; set() clears first */
	print_fn print;
	field_fn own, fini;
	void (*describe)(const struct option *o, struct buf *out);
};

static const struct value_type types[OPT_TYPE_COUNT];

static void *
field_of(const struct option *o, void *conf)
{
	return (char *)conf + o->offset;
}

/* "\"x\" is not a time; expected …". A password could be anywhere in a bad connection string. */
static int
bad_value(const struct option *o, struct slice text, struct err *e, const char *did_you_mean)
{
	struct buf b = { .cap = 0 };

	if (o->type == OPT_CONNINFO)
		buf_str(&b, "this");
	else
		buf_printf(&b, "\"%s\"", quote(text).text);
	buf_str(&b, " is not ");
	value_describe(o, &b);
	if (did_you_mean != NULL)
		buf_printf(&b, " (did you mean \"%s\"?)", did_you_mean);
	err_set(e, "22023", "%s", buf_text(&b));
	buf_fini(&b);
	return -1;
}

/* numbers */

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
		return bad_value(o, text, e, NULL);
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
		return bad_value(o, text, e, NULL);
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
			return bad_value(o, text, e, NULL);
		v = v * 8 + (text.p[i] - '0');
	}
	if (text.n == 0 || v > o->max)
		return bad_value(o, text, e, NULL);
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
		return bad_value(o, text, e, NULL);
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

/* words */

static int
bool_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	if (!text_to_bool(text, field))
		return bad_value(o, text, e, NULL);
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

static int
enum_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct suggestion near = { .word = text };

	for (int i = 0; o->words[i] != NULL; i++) {
		if (slice_is_nocase(text, o->words[i])) {
			*(int *)field = i;
			return 0;
		}
		suggest_offer(&near, o->words[i]);
	}
	return bad_value(o, text, e, near.best);
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
	for (int i = 0; o->words[i] != NULL; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", o->words[i]);
}

/* strings */

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

/* connection strings */

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
		return bad_value(o, text, e, NULL);
	return string_set(o, field, text, e);
}

/* Further lines are further words. */
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

/* libpq marks what a user would not want to see on a screen with "*". */
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
			text_put_literal(out, slice_str(w->val));
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

/* lists */

/* The next item of a list separated by commas; false where nothing is left. A comma at the end is
 * allowed, so that lists can go on in the next line. */
static bool
next_item(struct slice *rest, struct slice *item)
{
	while (rest->p != NULL) {
		bool last = rest->n == 0 || memchr(rest->p, ',', rest->n) == NULL;

		*item = slice_trim(slice_cut(rest, ','));
		if (item->n > 0 || !last)
			return true;
	}
	return false;
}

static bool
list_has(const struct strlist *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], s) == 0)
			return true;
	}
	return false;
}

static int
list_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct slice item;
	char normal[OPTION_ITEM_MAX];

	while (next_item(&text, &item)) {
		if (item.n == 0 || !o->item(item, normal))
			return bad_value(o, item, e, NULL);
		if (list_has(field, normal)) {
			err_set(e, "22023", "\"%s\" is in the list twice", quote(item).text);
			return -1;
		}
		strlist_add(field, normal);
	}
	return 0;
}

static void
list_fini(void *field)
{
	strlist_fini(field);
}

static int
list_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	list_fini(field);
	return list_append(o, field, text, e);
}

static void
list_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const struct strlist *list = field;

	(void)o;
	(void)secrets;
	for (size_t i = 0; i < list->n; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", list->v[i]);
}

static void
list_own(void *field)
{
	struct strlist from = *(struct strlist *)field, to = { 0 };

	strlist_copy(&to, &from);
	*(struct strlist *)field = to;
}

static void
list_describe(const struct option *o, struct buf *out)
{
	buf_str(out, o->expected);
}

static int
networks_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct slice item;

	while (next_item(&text, &item)) {
		if (!cidrlist_add(field, item))
			return bad_value(o, item, e, NULL);
	}
	return 0;
}

static void
networks_fini(void *field)
{
	cidrlist_fini(field);
}

static int
networks_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	networks_fini(field);
	return networks_append(o, field, text, e);
}

static void
networks_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const struct cidrlist *list = field;
	char text[ADDR_TEXT_MAX];

	(void)o;
	(void)secrets;
	for (size_t i = 0; i < list->n; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", cidr_print(&list->v[i], text));
}

static void
networks_own(void *field)
{
	struct cidrlist from = *(struct cidrlist *)field, to = { 0 };

	cidrlist_copy(&to, &from);
	*(struct cidrlist *)field = to;
}

static void
networks_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "an address block (10.0.0.0/8, 2001:db8::/32, or an address; no bits behind "
		     "the mask)");
}

/* values with a shape of their own */

static struct conf_region *
region_of_networks(const void *networks)
{
	return (struct conf_region *)((uintptr_t)networks - offsetof(struct conf_region, networks));
}

static int
origins_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct strlist *endpoints = &region_of_networks(field)->endpoints;
	char endpoint[ENDPOINT_MAX];
	struct slice item;

	while (next_item(&text, &item)) {
		if (endpoint_parse(item, endpoint))
			strlist_add(endpoints, endpoint);
		else if (!cidrlist_add(field, item))
			return bad_value(o, item, e, NULL);
	}
	return 0;
}

static void
origins_fini(void *field)
{
	strlist_fini(&region_of_networks(field)->endpoints);
	networks_fini(field);
}

static int
origins_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	origins_fini(field);
	return origins_append(o, field, text, e);
}

static void
origins_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const struct strlist *endpoints = &region_of_networks(field)->endpoints;

	networks_print(o, field, secrets, out);
	if (endpoints->n > 0 && ((const struct cidrlist *)field)->n > 0)
		buf_str(out, ", ");
	list_print(o, endpoints, secrets, out);
}

static void
origins_own(void *field)
{
	networks_own(field);
	list_own(&region_of_networks(field)->endpoints);
}

static void
origins_describe(const struct option *o, struct buf *out)
{
	networks_describe(o, out);
	buf_str(out, " or a private endpoint (vpce-ID, psc:NUMBER, azure:NUMBER)");
}

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
		return bad_value(o, text, e, NULL);
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

static struct conf_main *
main_of(const void *nlocality)
{
	return (struct conf_main *)((uintptr_t)nlocality - offsetof(struct conf_main, nlocality));
}

static int
sources_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct conf_main *m = main_of(field);
	struct slice item;

	while (next_item(&text, &item)) {
		struct suggestion near = { .word = item };
		int source = locality_source_parse(item);

		for (int i = 0; i < SOURCE_COUNT; i++)
			suggest_offer(&near, locality_source_name((enum locality_source)i));
		if (source < 0)
			return bad_value(o, item, e, near.best);
		for (size_t i = 0; i < m->nlocality; i++) {
			if (m->locality[i] == (enum locality_source)source)
				return err_set(e, "22023", "\"%s\" is in the list twice",
					       quote(item).text);
		}
		m->locality[m->nlocality++] = (enum locality_source)source;
	}
	return 0;
}

static int
sources_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	main_of(field)->nlocality = 0;
	return sources_append(o, field, text, e);
}

static void
sources_print(const struct option *o, const void *field, bool secrets, struct buf *out)
{
	const struct conf_main *m = main_of(field);

	(void)o;
	(void)secrets;
	for (size_t i = 0; i < m->nlocality; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", locality_source_name(m->locality[i]));
}

static void
sources_describe(const struct option *o, struct buf *out)
{
	(void)o;
	buf_str(out, "one of ");
	for (int i = 0; i < SOURCE_COUNT; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "",
			   locality_source_name((enum locality_source)i));
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
		return bad_value(o, text, e, NULL);
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

static const struct value_type types[OPT_TYPE_COUNT] = {
	[OPT_BOOL] = { bool_set, NULL, bool_print, NULL, NULL, bool_describe },
	[OPT_INT] = { int_set, NULL, int_print, NULL, NULL, int_describe },
	[OPT_OCTAL] = { octal_set, NULL, octal_print, NULL, NULL, octal_describe },
	[OPT_TIME] = { time_set, NULL, time_print, NULL, NULL, time_describe },
	[OPT_SIZE] = { time_set, NULL, size_print, NULL, NULL, size_describe },
	[OPT_DOUBLE] = { double_set, NULL, double_print, NULL, NULL, double_describe },
	[OPT_ENUM] = { enum_set, NULL, enum_print, NULL, NULL, enum_describe },
	[OPT_STRING] = { string_set, NULL, string_print, string_own, string_fini, string_describe },
	[OPT_CONNINFO] = { conninfo_set, conninfo_append, conninfo_print, string_own, string_fini,
			   conninfo_describe },
	[OPT_LIST] = { list_set, list_append, list_print, list_own, list_fini, list_describe },
	[OPT_NETWORKS] = { networks_set, networks_append, networks_print, networks_own,
			   networks_fini, networks_describe },
	[OPT_ORIGINS] = { origins_set, origins_append, origins_print, origins_own, origins_fini,
			  origins_describe },
	[OPT_TLV] = { tlv_set, NULL, tlv_print, NULL, NULL, tlv_describe },
	[OPT_SOURCES] = { sources_set, sources_append, sources_print, NULL, NULL,
			  sources_describe },
	[OPT_LOCATION] = { location_set, NULL, location_print, NULL, NULL, location_describe },
};

int
value_set(const struct option *o, void *conf, struct slice text, struct err *e)
{
	return types[o->type].set(o, field_of(o, conf), slice_trim(text), e);
}

bool
value_is_list(const struct option *o)
{
	return types[o->type].append != NULL;
}

int
value_append(const struct option *o, void *conf, struct slice text, struct err *e)
{
	return types[o->type].append(o, field_of(o, conf), slice_trim(text), e);
}

void
value_print(const struct option *o, const void *conf, bool secrets, struct buf *out)
{
	types[o->type].print(o, (const char *)conf + o->offset, secrets, out);
}

void
value_own(const struct option *o, void *conf)
{
	if (types[o->type].own != NULL)
		types[o->type].own(field_of(o, conf));
}

void
value_fini(const struct option *o, void *conf)
{
	if (types[o->type].fini != NULL)
		types[o->type].fini(field_of(o, conf));
}

void
value_describe(const struct option *o, struct buf *out)
{
	types[o->type].describe(o, out);
}
