/* SPDX-License-Identifier: PostgreSQL
 *
 * What the configuration says, in libpq's words.
 */
#ifndef PROXY_CONFIG_CONNINFO_H
#define PROXY_CONFIG_CONNINFO_H

#include "proxy/config/config.h"

/* Append " keyword='value'" as libpq reads it, quotes and backslashes escaped; nothing for NULL. Of
 * a keyword given twice the last one counts. */
void conninfo_put(struct buf *b, const char *keyword, const char *value);
/* Whether `conninfo` (may be NULL) names that user. */
bool conninfo_is_of(const char *conninfo, struct slice user);
/* What a region's section says of TLS; the caller frees. */
char *conninfo_of_region(const struct conf_region *r);

#endif
