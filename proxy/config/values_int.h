/* SPDX-License-Identifier: PostgreSQL
 *
 * Shared by the files of the types of options: values.c (the table), values_scalar.c (numbers,
 * words, texts), values_list.c (lists) and values_shape.c (values with a syntax of their own).
 */
#ifndef PROXY_CONFIG_VALUES_INT_H
#define PROXY_CONFIG_VALUES_INT_H

#include "proxy/config/values.h"

/* One type of options. `own` replaces borrowed pointers by copies, `fini` frees them; both are NULL
 * where the value has no pointers. Lists have `append`; their set() clears first. */
struct value_type {
	int (*set)(const struct option *o, void *field, struct slice text, struct err *e);
	int (*append)(const struct option *o, void *field, struct slice text, struct err *e);
	void (*print)(const struct option *o, const void *field, bool secrets, struct buf *out);
	void (*own)(void *field);
	void (*fini)(void *field);
	void (*describe)(const struct option *o, struct buf *out);
};

extern const struct value_type value_bool, value_int, value_octal, value_time, value_size,
    value_double, value_enum, value_string, value_conninfo, value_list, value_networks,
    value_origins, value_tlv, value_sources, value_location;

/* "\"x\" is not a time; expected …". A bad connection string is not quoted, since it may contain a
 * password. */
int value_bad(const struct option *o, struct slice text, struct err *e, const char *did_you_mean);

#endif
