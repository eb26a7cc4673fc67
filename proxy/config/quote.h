/* SPDX-License-Identifier: PostgreSQL
 *
 * Text from a file made fit for the inside of a message: control bytes and quotes escaped, cut at
 * 100 bytes, no quotes around it.
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
