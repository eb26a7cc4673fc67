/* SPDX-License-Identifier: PostgreSQL
 *
 * The list of the modules' tables, which have all commands, and what is derived from them.
 */
#ifndef PROXY_ADMIN_COMMANDS_H
#define PROXY_ADMIN_COMMANDS_H

#include "base/buf.h"
#include "proxy/admin/command.h"

extern const struct command_table commands_discovery; /* what nodes have told of others */
extern const struct command_table commands_topology;  /* regions, nodes, databases, listeners */
extern const struct command_table commands_sessions;
extern const struct command_table commands_pools;
extern const struct command_table commands_stats;
extern const struct command_table commands_fingerprints;
extern const struct command_table commands_users;
extern const struct command_table commands_config;
extern const struct command_table commands_explain;
extern const struct command_table commands_control;
extern const struct command_table commands_migration;
extern const struct command_table commands_help;
extern const struct command_table commands_driver; /* what drivers send by themselves */

/* NULL-terminated; the first command that fits is taken. */
const struct command_table *const *command_tables(void);

/* The n-th command that HELP lists, NULL past the last. */
const struct command *command_listed(size_t n);
/* Appends the command's words and arguments. */
void command_syntax(const struct command *c, struct buf *out);
/* Appends its tag of CommandComplete, without the number of rows. */
void command_put_tag(const struct command *c, struct buf *out);
/* Whether its listing has a short form, and FULL shows all columns. */
bool command_is_short(const struct command *c);
/* Appends the part of meridian-console(7) that describes all commands, as roff (man). */
void commands_man(struct buf *out);

#endif
