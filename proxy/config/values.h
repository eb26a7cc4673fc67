/* SPDX-License-Identifier: PostgreSQL
 *
 * The types of options: text to value, value to text, copying and freeing, one row for each type.
 * It knows no sections and no files; `conf` is always the struct conf_* that the option's offset
 * belongs to.
 */
#ifndef PROXY_CONFIG_VALUES_H
#define PROXY_CONFIG_VALUES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proxy/config/options.h"

/* Read `text` into the option's field, freeing the old value. On error the message says what was
 * found and what was expected, beginning with the quoted value: "\"x\" is not …". */
int value_set(const struct option *o, void *conf, struct slice text, struct err *e) MUST_CHECK;
/* Whether values of this type may continue in further lines; appending such a line. */
bool value_is_list(const struct option *o);
int value_append(const struct option *o, void *conf, struct slice text, struct err *e) MUST_CHECK;

/* Append the value as value_set() would read it; passwords are masked unless `secrets`. */
void value_print(const struct option *o, const void *conf, bool secrets, struct buf *out);
/* After a plain struct assignment: give the copy memory of its own. */
void value_own(const struct option *o, void *conf);
void value_fini(const struct option *o, void *conf);

/* What a value of this option looks like: "a time", "one of off, allow, require". */
void value_describe(const struct option *o, struct buf *out);

/* Items of lists (option_item_fn). */
bool item_listen(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_node(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_discover(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_patroni_api(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_address_mapping(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_mapping(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_city(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_country(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_header(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_peer(struct slice item, char to[OPTION_ITEM_MAX]);
bool item_text(struct slice item, char to[OPTION_ITEM_MAX]);

/* Makes text from a file fit for a message: control bytes and quotes are escaped, it is cut at 100
 * bytes, and gets no quotes around it. Use: "…\"%s\"…", quote(s).text */
#define QUOTE_MAX 100
struct quoted {
	char text[QUOTE_MAX * 4 + 8];
};
struct quoted quote(struct slice s);

#endif
