/* SPDX-License-Identifier: PostgreSQL
 *
 * hba_file and auth_ident_file of a configuration: reads both, and checks that they fit each other
 * and the other options.
 */
#ifndef PROXY_CONFIG_HBALOAD_H
#define PROXY_CONFIG_HBALOAD_H

#include <stdbool.h>

#include "base/err.h"

struct config;

/* With auth = cert and a file of maps, this map counts. */
#define HBALOAD_CERT_MAP "cert"

/* Read the files that are configured. -1 and *e; warns in the log of lines that can never let a
 * client in. */
int hbaload(struct config *c, struct err *e);
/* Whether hbaload() depends on this option. */
bool hbaload_names(const char *option);
/* The configuration is a copy: take references of its own. */
void hbaload_share(struct config *c);
void hbaload_drop(struct config *c);

#endif
