/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/args.h"

#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "migration/options.h"
#include "proxy/admin/commands.h"
#include "proxy/http/metrics.h"

enum arg_kind {
	ARG_ACTION, /* sets args.action */
	ARG_FILE,   /* sets args.action and the file */
	ARG_LIST,   /* appends to a strlist of config_args */
	ARG_TEXT,   /* sets a char * of config_args */
	ARG_CRASH,  /* sets args.crash_points */
};

struct arg {
	const char *name;
	char letter; /* 0: none */
	enum arg_kind kind;
	enum action action;
	size_t offset; /* in struct config_args */
	const char *value;
	const char *help;
};

#define INTO(field) .offset = offsetof(struct config_args, field)

/* clang-format off */
static const struct arg table[] = {
	{ .name = "check", .letter = 'c', .kind = ARG_ACTION, .action = ACTION_CHECK,
	  .help = "check the configuration and exit" },
	{ .name = "import-pgbouncer", .kind = ARG_FILE, .action = ACTION_IMPORT_PGBOUNCER,
	  .value = "FILE", .help = "print this pgbouncer.ini as a configuration of ours, and what is lost" },
	{ .name = "listen", .kind = ARG_LIST, INTO(listen), .value = "ADDRESS",
	  .help = "listen here instead of where the file says (repeatable)" },
	{ .name = "region", .kind = ARG_LIST, INTO(regions), .value = "NAME=HOST:PORT[,...]",
	  .help = "a region and its nodes (repeatable)" },
	{ .name = "set", .kind = ARG_LIST, INTO(set), .value = "OPTION=VALUE",
	  .help = "set an option of section [meridian] (repeatable)" },
	{ .name = "geoip", .kind = ARG_LIST, INTO(geoip), .value = "FILE",
	  .help = "a GeoIP database instead of those of the file (repeatable)" },
	{ .name = "socket-dir", .kind = ARG_TEXT, INTO(socket_dir), .value = "DIR",
	  .help = "listen on a unix socket in this directory as well" },
	{ .name = "crash-points", .kind = ARG_CRASH,
	  .help = "for tests: migrations end the process at the step that MERIDIAN_CRASH_AT names" },
	{ .name = "help", .letter = 'h', .kind = ARG_ACTION, .action = ACTION_HELP,
	  .help = "print this" },
	{ .name = "help-config", .kind = ARG_ACTION, .action = ACTION_HELP_CONFIG,
	  .help = "print every option of the configuration file" },
	{ .name = "dump-sample", .kind = ARG_ACTION, .action = ACTION_DUMP_SAMPLE,
	  .help = "print a configuration file with all defaults" },
	{ .name = "dump-man", .kind = ARG_ACTION, .action = ACTION_DUMP_MAN,
	  .help = "print the option part of the manual page meridian.conf(5)" },
	{ .name = "dump-commands", .kind = ARG_ACTION, .action = ACTION_DUMP_COMMANDS,
	  .help = "print the command part of the manual page meridian-console(7)" },
	{ .name = "dump-metrics", .kind = ARG_ACTION, .action = ACTION_DUMP_METRICS,
	  .help = "print the table of metrics (doc/metrics.md)" },
	{ .name = "dump-states", .kind = ARG_ACTION, .action = ACTION_DUMP_STATES,
	  .help = "print the states of a session, and those of a migration, as graphs (for dot)" },
	{ .name = "version", .letter = 'V', .kind = ARG_ACTION, .action = ACTION_VERSION,
	  .help = "print the version" },
};
/* clang-format on */

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

static int
unknown(const char *word, struct slice name, struct err *e)
{
	struct suggestion near = { .word = name };

	for (size_t i = 0; i < TABLE_SIZE; i++)
		suggest_offer(&near, table[i].name);
	err_set(e, "", "unknown option %.100s", word);
	if (near.best != NULL)
		err_hint(e, "Did you mean --%s?", near.best);
	else
		err_hint(e, "See meridian --help.");
	return -1;
}

/* Where several actions are given, one that only prints wins over one that does something. */
static void
take(struct args *out, const struct arg *a, const char *value)
{
	char *field = (char *)&out->config + a->offset;

	switch (a->kind) {
	case ARG_FILE:
		out->config.path = value;
		out->action = a->action;
		break;
	case ARG_CRASH:
		out->crash_points = true;
		break;
	case ARG_ACTION:
		if (a->action > out->action)
			out->action = a->action;
		break;
	case ARG_LIST:
		strlist_add((struct strlist *)(void *)field, value);
		break;
	case ARG_TEXT:
		free(*(char **)(void *)field);
		*(char **)(void *)field = xstrdup(value);
		break;
	}
}

/* One option, "--name", "--name=value" or "-c"; *next is the following word, NULL at the end.
 * Returns how many words were used, -1 on error. */
static int
parse_option(const char *word, const char *next, struct args *out, struct err *e)
{
	struct slice value = slice_str(word + (word[1] == '-' ? 2 : 1));
	struct slice name = word[1] == '-' ? slice_cut(&value, '=') : value;
	const struct arg *a = NULL;

	for (size_t i = 0; i < TABLE_SIZE && a == NULL; i++) {
		if (word[1] == '-' ? slice_is(name, table[i].name)
				   : name.n == 1 && name.p[0] == table[i].letter)
			a = &table[i];
	}
	if (a == NULL)
		return unknown(word, name, e);
	if (a->value == NULL) {
		if (word[1] == '-' && value.p != NULL)
			return err_set(e, "", "option --%s takes no value", a->name);
		take(out, a, NULL);
		return 1;
	}
	if (value.p != NULL) {
		take(out, a, value.p);
		return 1;
	}
	if (next == NULL)
		return err_set(e, "", "option --%s needs a value: --%s %s", a->name, a->name,
			       a->value);
	take(out, a, next);
	return 2;
}

int
args_parse(int argc, char **argv, struct args *out, struct err *e)
{
	bool only_files = false;

	*out = (struct args){ .action = ACTION_RUN };
	for (int i = 1; i < argc;) {
		const char *word = argv[i];
		int used = 1;

		if (!only_files && strcmp(word, "--") == 0) {
			only_files = true;
		} else if (!only_files && word[0] == '-' && word[1] != '\0') {
			used = parse_option(word, i + 1 < argc ? argv[i + 1] : NULL, out, e);
		} else if (out->config.path != NULL) {
			used = err_set(e, "",
				       "only one configuration file is possible: \"%s\" and "
				       "\"%s\" were given",
				       out->config.path, word);
		} else {
			out->config.path = word;
		}
		if (used < 0) {
			args_fini(out);
			return -1;
		}
		i += used;
	}
	return 0;
}

void
args_fini(struct args *a)
{
	strlist_fini(&a->config.listen);
	strlist_fini(&a->config.regions);
	strlist_fini(&a->config.set);
	strlist_fini(&a->config.geoip);
	free(a->config.socket_dir);
	*a = (struct args){ .action = ACTION_RUN };
}

static void
put_help(struct buf *b)
{
	buf_str(b, "usage: meridian [options] [FILE]\n\n"
		   "A PostgreSQL proxy that sends each caller to the nearest healthy region.\n"
		   "FILE is the configuration; by default " CONFIG_DEFAULT_PATH ",\n"
		   "if there is one.\n\n");
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		const struct arg *a = &table[i];
		size_t at = b->n;

		buf_printf(b, "  %c%c%s --%s", a->letter != 0 ? '-' : ' ',
			   a->letter != 0 ? a->letter : ' ', a->letter != 0 ? "," : " ", a->name);
		if (a->value != NULL)
			buf_printf(b, " %s", a->value);
		buf_printf(b, "%*s %s\n", (int)(at + 38 > b->n ? at + 38 - b->n : 0), "", a->help);
	}
	buf_str(b,
		"\nWithout a file:\n"
		"  meridian --listen 127.0.0.1:6433 \\\n"
		"           --region us-east1=db1:5432,db2:5432 --region europe-west1=db3:5432\n");
}

static void
put_commands(struct buf *b)
{
	commands_man(b);
	buf_str(b, ".SH OPTIONS OF MIGRATIONS\n");
	migration_options_man(b);
}

bool
args_answer(enum action action, struct buf *out)
{
	static void (*const answers[])(struct buf * out) = {
		[ACTION_HELP] = put_help,
		[ACTION_HELP_CONFIG] = config_help,
		[ACTION_DUMP_SAMPLE] = config_sample,
		[ACTION_DUMP_MAN] = config_man,
		[ACTION_DUMP_COMMANDS] = put_commands,
		[ACTION_DUMP_METRICS] = metrics_doc,
	};

	if (action == ACTION_VERSION)
		buf_printf(out, "meridian %s\n", PACKAGE_VERSION);
	else if (action > ACTION_VERSION)
		answers[action](out);
	return action >= ACTION_VERSION;
}
