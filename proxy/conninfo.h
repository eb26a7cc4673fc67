/* SPDX-License-Identifier: PostgreSQL
 *
 * What the configuration says, in libpq's words.
 */
#ifndef PROXY_CONNINFO_H
#define PROXY_CONNINFO_H

#include "proxy/config/config.h"

/* What a region's section says of TLS; the caller frees. */
char *conninfo_of_region(const struct conf_region *r);

#endif
