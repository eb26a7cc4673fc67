/* SPDX-License-Identifier: PostgreSQL
 *
 * Checks that need more than one option: values that follow from others, and values that contradict
 * each other. Reads no file; tries to open files only where the caller wants it.
 */
#ifndef PROXY_CONFIG_CHECK_H
#define PROXY_CONFIG_CHECK_H

#include <stdbool.h>

#include "base/err.h"
#include "proxy/config/config.h"
#include "proxy/config/parse.h"

/* Fill in what follows from other options (ports, coordinates, tls, stale_after). May be called
 * again after a change. */
void config_resolve(struct config *c);
/* Refuse contradictions: -1 and *e, which names file and line where `origins` knows them. With
 * `origins` it also warns in the log of what is legal but hardly meant. files: try to open the
 * files that are named. */
int config_check(struct config *c, const struct origins *origins, bool files,
		 struct err *e) MUST_CHECK;

#endif
