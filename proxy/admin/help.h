/* SPDX-License-Identifier: PostgreSQL
 *
 * What HELP says of one command: how it is spelled, who may give it, its columns, an example with
 * its answer. All of it is derived from the command's row in the tables.
 */
#ifndef PROXY_ADMIN_HELP_H
#define PROXY_ADMIN_HELP_H

#include "proxy/admin/command.h"

/* Whether `typed` are the words of a command, perhaps with the keywords that it needs ("SHOW
 * MIGRATION STEPS"); `exactly`: with all of these. */
bool help_names(const char *typed, const struct command *c, bool exactly);
/* Rows of two columns: section and text, no line longer than HELP_WIDTH. */
void help_rows(const struct command *c, struct rows *rows);

#define HELP_WIDTH 104

#endif
