/* SPDX-License-Identifier: PostgreSQL
 *
 * The configuration as libpq's connection strings.
 */
#ifndef PROXY_CONFIG_CONNINFO_H
#define PROXY_CONFIG_CONNINFO_H

#include "proxy/config/config.h"

/* Append " keyword='value'" as libpq reads it, quotes and backslashes escaped; nothing for NULL. If
 * a keyword is given twice, libpq uses the last. */
void conninfo_put(struct buf *b, const char *keyword, const char *value);
/* Whether `conninfo` (may be NULL) is for that user. */
bool conninfo_is_of(const char *conninfo, struct slice user);
/* The TLS options of a region's section; the caller frees the result. */
char *conninfo_of_region(const struct conf_region *r);

#endif
