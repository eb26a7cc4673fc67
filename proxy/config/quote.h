/* SPDX-License-Identifier: PostgreSQL
 *
 * Makes text from a file fit for a message: control bytes and quotes are escaped, it is cut at 100
 * bytes, and gets no quotes around it.
 */
#ifndef PROXY_CONFIG_QUOTE_H
#define PROXY_CONFIG_QUOTE_H

#include "base/slice.h"

#define QUOTE_MAX 100

struct quoted {
	char text[QUOTE_MAX * 4 + 8];
};

/* Use: "…\"%s\"…", quote(s).text */
struct quoted quote(struct slice s);

#endif
