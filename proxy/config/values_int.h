/* SPDX-License-Identifier: PostgreSQL
 *
 * Shared by the files of the types of options: values.c (the table), values_scalar.c (numbers,
 * words, texts, places) and values_list.c (lists).
 */
#ifndef PROXY_CONFIG_VALUES_INT_H
#define PROXY_CONFIG_VALUES_INT_H

#include "proxy/config/values.h"

/* One type of options. `own` replaces borrowed pointers by copies, `fini` frees them; both are NULL
 * where the value has no pointers. Lists have `append`; without `set` a new value is appended to
 * the empty list. `show` prints a value without its secrets, where it may have some. */
struct value_type {
	int (*set)(const struct option *o, void *field, struct slice text, struct err *e);
	int (*append)(const struct option *o, void *field, struct slice text, struct err *e);
	void (*print)(const struct option *o, const void *field, struct buf *out);
	void (*show)(const struct option *o, const void *field, struct buf *out);
	void (*own)(void *field);
	void (*fini)(void *field);
	/* what a value is: either of them, or both NULL where option.expected says it */
	const char *description;
	void (*describe)(const struct option *o, struct buf *out);
};

extern const struct value_type value_bool, value_number, value_octal, value_double, value_enum,
    value_string, value_conninfo, value_list, value_networks, value_origins, value_tlv,
    value_sources, value_location, value_consistency;

/* "one of a, b": what an option with words is. */
void value_describe_words(const struct option *o, struct buf *out);
/* "\"x\" is not a time; expected …". A bad connection string is not quoted, since it may contain a
 * password. */
int value_bad(const struct option *o, struct slice text, struct err *e, const char *did_you_mean);

#endif
