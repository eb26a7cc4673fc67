/* SPDX-License-Identifier: PostgreSQL
 *
 * What a configuration holds of hba_file and auth_ident_file: reading both, and looking whether
 * they fit each other and the other options.
 */
#ifndef PROXY_CONFIG_HBALOAD_H
#define PROXY_CONFIG_HBALOAD_H

#include <stdbool.h>

#include "base/err.h"

struct config;

/* With auth = cert and a file of maps, this one counts. */
#define HBALOAD_CERT_MAP "cert"

/* Read the files that are named. -1 and *e; warns in the log of lines that let nobody in. */
int hbaload(struct config *c, struct err *e);
/* Whether an option decides what hbaload() does. */
bool hbaload_names(const char *option);
/* The configuration is a copy: references of its own. */
void hbaload_share(struct config *c);
void hbaload_drop(struct config *c);

#endif
