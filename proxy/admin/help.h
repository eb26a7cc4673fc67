/* SPDX-License-Identifier: PostgreSQL
 *
 * What HELP says of one command: how it is spelled, which privilege it needs, its columns, an
 * example with its answer. All of it is derived from the command's row in the tables.
 */
#ifndef PROXY_ADMIN_HELP_H
#define PROXY_ADMIN_HELP_H

#include "proxy/admin/command.h"

/* Whether `typed` is the words of a command, perhaps with the keywords that it needs ("SHOW
 * MIGRATION STEPS"); `exactly`: all of these must be there. */
bool help_names(const char *typed, const struct command *c, bool exactly);
/* Adds rows of two columns, section and text, as lines of at most HELP_WIDTH characters. */
void help_rows(const struct command *c, struct rows *rows);

#define HELP_WIDTH 104

#endif
