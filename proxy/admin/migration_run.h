/* SPDX-License-Identifier: PostgreSQL
 *
 * How a command about migrations runs on the console: a call on a thread of its own
 * (proxy/move/migrations.h), whose rows, notices and lines become messages here. Where the
 * client presses Ctrl-C or hangs up, the call continues without the console.
 */
#ifndef PROXY_ADMIN_MIGRATION_RUN_H
#define PROXY_ADMIN_MIGRATION_RUN_H

#include "migration/command.h"
#include "proxy/admin/command.h"

/* What `data` of such a struct command points to. */
struct migration_verb_data {
	enum migration_verb verb;
	const char *argument; /* an argument that the command fixes (the format of PLAN), or NULL */
	bool waits; /* for work that continues without the command: Ctrl-C only ends the waiting */
};

int migration_begin(struct run *r);
enum step migration_row(struct run *r);
void migration_end(struct run *r);
void migration_cancel(struct run *r, struct err *e);

#endif
