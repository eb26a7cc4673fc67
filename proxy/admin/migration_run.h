/* SPDX-License-Identifier: PostgreSQL
 *
 * How a command about migrations runs on the console: a call on a thread of its own
 * (proxy/move/migrations.h), whose rows, notices and lines become messages here. Ctrl-C, and a
 * client that hangs up, leave the call to itself.
 */
#ifndef PROXY_ADMIN_MIGRATION_RUN_H
#define PROXY_ADMIN_MIGRATION_RUN_H

#include "migration/command.h"
#include "proxy/admin/command.h"

/* struct command.data of these commands. */
struct migration_verb_data {
	enum migration_verb verb;
	const char *argument; /* fixed: PLAN's format; NULL */
	bool waits;           /* for something that goes on without it: Ctrl-C detaches */
};

int migration_begin(struct run *r);
enum step migration_row(struct run *r);
void migration_end(struct run *r);
void migration_cancel(struct run *r, struct err *e);

#endif
