/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include "base/text.h"

static const struct value_type *const types[OPT_TYPE_COUNT] = {
	[OPT_BOOL] = &value_bool,         [OPT_INT] = &value_number,
	[OPT_OCTAL] = &value_octal,       [OPT_TIME] = &value_number,
	[OPT_SIZE] = &value_number,       [OPT_DOUBLE] = &value_double,
	[OPT_ENUM] = &value_enum,         [OPT_STRING] = &value_string,
	[OPT_CONNINFO] = &value_conninfo, [OPT_LIST] = &value_list,
	[OPT_NETWORKS] = &value_networks, [OPT_ORIGINS] = &value_origins,
	[OPT_TLV] = &value_tlv,           [OPT_SOURCES] = &value_sources,
	[OPT_LOCATION] = &value_location, [OPT_CONSISTENCY] = &value_consistency,
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
	if (types[o->type]->set != NULL)
		return types[o->type]->set(o, field_of(o, conf), slice_trim(text), e);
	value_fini(o, conf);
	return value_append(o, conf, text, e);
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
	const struct value_type *type = types[o->type];
	const void *field = (const char *)conf + o->offset;

	if (!secrets && type->show != NULL)
		type->show(o, field, out);
	else
		type->print(o, field, out);
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
	const struct value_type *type = types[o->type];

	if (type->describe != NULL)
		type->describe(o, out);
	else
		buf_str(out, type->description != NULL ? type->description : o->expected);
}

struct quoted
quote(struct slice s)
{
	struct buf b = { .cap = 0 };
	struct quoted out;
	struct slice safe;

	text_put_safe(&b, s, QUOTE_MAX);
	safe = buf_view(&b);
	if (safe.n > 1 && safe.p[0] == '"')
		safe = slice_of(safe.p + 1, safe.n - 2);
	text_copy(out.text, sizeof(out.text), safe);
	buf_fini(&b);
	return out;
}
