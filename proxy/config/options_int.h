/* SPDX-License-Identifier: PostgreSQL
 *
 * Inside the option table: the macros that its rows are written with. The sections are
 * options_meridian.c and options_sections.c.
 */
#ifndef PROXY_CONFIG_OPTIONS_INT_H
#define PROXY_CONFIG_OPTIONS_INT_H

#include "base/clock.h"
#include "proxy/config/config.h"
#include "proxy/config/options.h"

#define MSEC(n) ((n)*USEC_PER_MSEC)
#define SEC(n)  ((n)*USEC_PER_SEC)
#define HOUR    SEC(INT64_C(3600))
#define DAY     (24 * HOUR)

/* The offset of the field; it does not compile where the field's C type does not fit the
 * option's. */
#define AT(conf, field, ctype)                   \
	.offset = offsetof(struct conf, field) + \
		  0 * sizeof((ctype *)NULL == &((struct conf *)NULL)->field)
#define AT_ENUM(conf, field)                     \
	.offset = offsetof(struct conf, field) + \
		  0 * sizeof(char[sizeof(((struct conf *)NULL)->field) == sizeof(int) ? 1 : -1])

#define ROWS(r) .rows = (r), .nrows = sizeof(r) / sizeof((r)[0])

extern const struct section section_meridian, section_listener, section_region, section_database;

#endif
