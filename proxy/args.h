/* SPDX-License-Identifier: PostgreSQL
 *
 * The command line: `meridian [options] [FILE]`. Text in, struct args out; prints nothing itself.
 * The options are one table, from which parsing and --help are derived.
 */
#ifndef PROXY_ARGS_H
#define PROXY_ARGS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proxy/config/config.h"

enum action {
	ACTION_RUN,
	ACTION_CHECK,            /* -c: load the configuration, report errors, exit */
	ACTION_IMPORT_PGBOUNCER, /* config.path is a pgbouncer.ini: print our configuration */
	ACTION_DUMP_STATES,      /* graphviz of the state machines */
	ACTION_VERSION,          /* from here on: args_answer() gives the whole answer */
	ACTION_HELP,
	ACTION_HELP_CONFIG,
	ACTION_DUMP_SAMPLE,   /* conf/meridian.conf */
	ACTION_DUMP_MAN,      /* the option part of meridian.conf(5) */
	ACTION_DUMP_COMMANDS, /* the command part of meridian-console(7) */
	ACTION_DUMP_METRICS,  /* the table of doc/metrics.md */
};

struct args {
	enum action action;
	bool crash_points; /* migrations read MERIDIAN_CRASH_AT */
	struct config_args config;
};

/* Read the command line; strings are borrowed from argv or owned by *out (args_fini). On error *e
 * says what was wrong; the exit status is then 2, as with other getopt programs. */
int args_parse(int argc, char **argv, struct args *out, struct err *e) MUST_CHECK;
void args_fini(struct args *a);

/* The text that answers an action that only prints; false: the action does more. */
bool args_answer(enum action action, struct buf *out);

#endif
