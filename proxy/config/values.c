/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include "proxy/config/quote.h"

static const struct value_type *const types[OPT_TYPE_COUNT] = {
	[OPT_BOOL] = &value_bool,         [OPT_INT] = &value_int,
	[OPT_OCTAL] = &value_octal,       [OPT_TIME] = &value_time,
	[OPT_SIZE] = &value_size,         [OPT_DOUBLE] = &value_double,
	[OPT_ENUM] = &value_enum,         [OPT_STRING] = &value_string,
	[OPT_CONNINFO] = &value_conninfo, [OPT_LIST] = &value_list,
	[OPT_NETWORKS] = &value_networks, [OPT_ORIGINS] = &value_origins,
	[OPT_TLV] = &value_tlv,           [OPT_SOURCES] = &value_sources,
	[OPT_LOCATION] = &value_location,
};

static void *
field_of(const struct option *o, void *conf)
{
	return (char *)conf + o->offset;
}

int
value_bad(const struct option *o, struct slice text, struct err *e, const char *did_you_mean)
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

int
value_set(const struct option *o, void *conf, struct slice text, struct err *e)
{
	return types[o->type]->set(o, field_of(o, conf), slice_trim(text), e);
}

bool
value_is_list(const struct option *o)
{
	return types[o->type]->append != NULL;
}

int
value_append(const struct option *o, void *conf, struct slice text, struct err *e)
{
	return types[o->type]->append(o, field_of(o, conf), slice_trim(text), e);
}

void
value_print(const struct option *o, const void *conf, bool secrets, struct buf *out)
{
	types[o->type]->print(o, (const char *)conf + o->offset, secrets, out);
}

void
value_own(const struct option *o, void *conf)
{
	if (types[o->type]->own != NULL)
		types[o->type]->own(field_of(o, conf));
}

void
value_fini(const struct option *o, void *conf)
{
	if (types[o->type]->fini != NULL)
		types[o->type]->fini(field_of(o, conf));
}

void
value_describe(const struct option *o, struct buf *out)
{
	types[o->type]->describe(o, out);
}
