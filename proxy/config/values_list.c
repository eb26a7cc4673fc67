/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/suggest.h"
#include "base/text.h"
#include "base/words.h"
#include "proxy/config/config.h"

/* ---- lists ---- */

/* The next item of a list separated by commas; false: there is none. A comma at the end is allowed,
 * so that a list can continue in the next line. */
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

static int
list_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct strlist *list = field;
	struct slice item;
	char normal[OPTION_ITEM_MAX];

	while (next_item(&text, &item)) {
		if (item.n == 0 || !o->item(item, normal))
			return value_bad(o, item, e, NULL);
		for (size_t i = 0; i < list->n; i++) {
			if (strcmp(list->v[i], normal) == 0)
				return err_set(e, "22023", "\"%s\" is in the list twice",
					       quote(item).text);
		}
		strlist_add(list, normal);
	}
	return 0;
}

static void
list_fini(void *field)
{
	strlist_fini(field);
}

static void
list_print(const struct option *o, const void *field, struct buf *out)
{
	const struct strlist *list = field;

	(void)o;
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

static int
networks_append(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct slice item;

	while (next_item(&text, &item)) {
		if (!cidrlist_add(field, item))
			return value_bad(o, item, e, NULL);
	}
	return 0;
}

static void
networks_fini(void *field)
{
	cidrlist_fini(field);
}

static void
networks_print(const struct option *o, const void *field, struct buf *out)
{
	const struct cidrlist *list = field;
	char text[ADDR_TEXT_MAX];

	(void)o;
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

#define NETWORK \
	"an address block (10.0.0.0/8, 2001:db8::/32, or an address; no bits behind the mask)"

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
			return value_bad(o, item, e, NULL);
	}
	return 0;
}

static void
origins_fini(void *field)
{
	strlist_fini(&region_of_networks(field)->endpoints);
	networks_fini(field);
}

static void
origins_print(const struct option *o, const void *field, struct buf *out)
{
	const struct strlist *endpoints = &region_of_networks(field)->endpoints;

	networks_print(o, field, out);
	if (endpoints->n > 0 && ((const struct cidrlist *)field)->n > 0)
		buf_str(out, ", ");
	list_print(o, endpoints, out);
}

static void
origins_own(void *field)
{
	networks_own(field);
	list_own(&region_of_networks(field)->endpoints);
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
		int source = words_find(locality_source_words, item);

		for (int i = 0; i < SOURCE_COUNT; i++)
			suggest_offer(&near, locality_source_words[i]);
		if (source < 0)
			return value_bad(o, item, e, near.best);
		for (size_t i = 0; i < m->nlocality; i++) {
			if (m->locality[i] == (enum locality_source)source)
				return err_set(e, "22023", "\"%s\" is in the list twice",
					       quote(item).text);
		}
		m->locality[m->nlocality++] = (enum locality_source)source;
	}
	return 0;
}

static void
sources_fini(void *field)
{
	main_of(field)->nlocality = 0;
}

static void
sources_print(const struct option *o, const void *field, struct buf *out)
{
	const struct conf_main *m = main_of(field);

	(void)o;
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

const struct value_type value_list = {
	.append = list_append,
	.print = list_print,
	.own = list_own,
	.fini = list_fini,
};

const struct value_type value_networks = {
	.append = networks_append,
	.print = networks_print,
	.own = networks_own,
	.fini = networks_fini,
	.description = NETWORK,
};

const struct value_type value_origins = {
	.append = origins_append,
	.print = origins_print,
	.own = origins_own,
	.fini = origins_fini,
	.description = NETWORK " or a private endpoint (vpce-ID, psc:NUMBER, azure:NUMBER)",
};

const struct value_type value_sources = {
	.append = sources_append,
	.print = sources_print,
	.fini = sources_fini,
	.describe = sources_describe,
};
