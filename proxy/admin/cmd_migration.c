/* SPDX-License-Identifier: PostgreSQL
 *
 * The commands about migrations: how they are spelled and what they answer. What they do is
 * migration/command.h's, how they run is migration_run.h's.
 */
#include "config.h"

#include <stdio.h>

#include "migration/topics.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/grammar.h"
#include "proxy/admin/migration_run.h"

#define COLUMN(name, type) { #name, COLUMN_##type },
static const struct column result_columns[] = { TOPIC_RESULT(COLUMN) };
static const struct column list_columns[] = { TOPIC_LIST(COLUMN) };
static const struct column plan_columns[] = { TOPIC_PLAN(COLUMN) };
static const struct column steps_columns[] = { TOPIC_STEPS(COLUMN) };
static const struct column checks_columns[] = { TOPIC_CHECKS(COLUMN) };
static const struct column sql_columns[] = { TOPIC_SQL(COLUMN) };
static const struct column log_columns[] = { TOPIC_LOG(COLUMN) };
static const struct column options_columns[] = { TOPIC_OPTIONS(COLUMN) };
static const struct column tables_columns[] = { TOPIC_TABLES(COLUMN) };
static const struct column sequences_columns[] = { TOPIC_SEQUENCES(COLUMN) };
static const struct column lag_columns[] = { TOPIC_LAG(COLUMN) };
static const struct column sessions_columns[] = { TOPIC_SESSIONS(COLUMN) };
static const struct column impact_columns[] = { TOPIC_IMPACT(COLUMN) };
static const struct column files_columns[] = { TOPIC_FILES(COLUMN) };
static const struct column verify_columns[] = { TOPIC_VERIFY(COLUMN) };
static const struct column redirects_columns[] = { TOPIC_REDIRECTS(COLUMN) };
static const struct column authority_columns[] = { TOPIC_AUTHORITY(COLUMN) };
static const struct column executors_columns[] = { TOPIC_EXECUTORS(COLUMN) };
#undef COLUMN
static const struct column script_columns[] = { { "sql", COLUMN_TEXT } };
static const struct column json_columns[] = { { "json", COLUMN_TEXT } };

/* SHOW MIGRATION m option: the column has the option's name. */
static void
describe_option(struct statement *st)
{
	const char *option = statement_arg(st, "option");

	snprintf(st->own_name, sizeof(st->own_name), "%s", option != NULL ? option : "option");
	st->own_column = (struct column){ st->own_name, COLUMN_TEXT };
}

#define RUNS .begin = migration_begin, .row = migration_row, .end = migration_end
/* What only looks. */
#define LOOKS(...) .data = &(const struct migration_verb_data){ __VA_ARGS__ }, RUNS
/* What changes something; `words` is the tag too. */
#define CHANGES(verb_, ...)                                                               \
	.data = &(const struct migration_verb_data){ .verb = (verb_), ##__VA_ARGS__ },    \
	.privilege = PRIVILEGE_MIGRATION, .keeps_text = true, .cancel = migration_cancel, \
	COLUMNS(result_columns), RUNS
#define HOW "[WAIT | NOWAIT] [DEADLINE <time>]"

static const struct command commands[] = {
	{ .words = "CREATE MIGRATION",
	  .args = "<definition...>",
	  .tag = "CREATE MIGRATION",
	  CHANGES(VERB_CREATE),
	  .help = "write a migration down, and check whether it can be (MIGRATIONS below says how "
		  "one is defined)",
	  .brief = "write a migration down, and check whether it can be" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> [FORMAT TEXT]",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "TEXT"),
	  COLUMNS(plan_columns),
	  .help =
	      "its steps in order, each with its SQL, lock, estimate and undo; executes nothing",
	  .brief = "its steps in order, each with its SQL, lock and undo" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> FORMAT SQL",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "SQL"),
	  COLUMNS(script_columns),
	  .help = "the same as a script" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> FORMAT JSON",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "JSON"),
	  COLUMNS(json_columns),
	  .help = "the same as one JSON document" },
	{ .words = "CHECK MIGRATION",
	  .args = "<migration> [PREPARE | DATA | FINALIZE]",
	  .tag = "CHECK MIGRATION",
	  CHANGES(VERB_CHECK),
	  .help = "ask again whether it can be (before that phase)" },
	{ .words = "RUN MIGRATION",
	  .args = "<migration> (PREPARE | DATA | FINALIZE | ALL | NEXT | STEP <n>) " HOW
		  " [FORCE <guards...>]",
	  .tag = "RUN MIGRATION",
	  CHANGES(VERB_RUN, .waits = true),
	  .help =
	      "do a phase, every phase, the next step or the steps up to one; FORCE (guard, ...) "
	      "goes on in spite of these checks; Ctrl-C detaches, it goes on",
	  .brief = "do a phase, every phase, or the next step" },
	{ .words = "ACK MIGRATION",
	  .args = "<migration> <guard> [<text>]",
	  .tag = "ACK MIGRATION",
	  CHANGES(VERB_ACK),
	  .help = "confirm what only people can know, which the migration waits for",
	  .brief = "confirm what only people can know" },
	{ .words = "ABORT MIGRATION",
	  .args = "<migration> [FORCE] [WAIT | NOWAIT]",
	  .tag = "ABORT MIGRATION",
	  CHANGES(VERB_ABORT, .waits = true),
	  .help = "undo everything; refused once it was decided" },
	{ .words = "REVERSE MIGRATION",
	  .args = "<migration> " HOW " [FORCE <guards...>]",
	  .tag = "REVERSE MIGRATION",
	  CHANGES(VERB_REVERSE, .waits = true),
	  .help = "after FINALIZE: the same switch the other way" },
	{ .words = "COMPLETE MIGRATION",
	  .args = "<migration> " HOW " [FORCE <guards...>]",
	  .tag = "COMPLETE MIGRATION",
	  CHANGES(VERB_COMPLETE, .waits = true),
	  .help = "give up the way back, and drop what was left over; FORCE (source) where that "
		  "side is gone for good",
	  .brief = "give up the way back, and drop what was left over" },
	{ .words = "PAUSE MIGRATION",
	  .args = "<migration>",
	  .tag = "PAUSE MIGRATION",
	  CHANGES(VERB_PAUSE),
	  .help = "stop before the next step" },
	{ .words = "RESUME MIGRATION",
	  .args = "<migration> " HOW,
	  .tag = "RESUME MIGRATION",
	  CHANGES(VERB_RESUME, .waits = true),
	  .help = "go on after PAUSE" },
	{ .words = "RETRY MIGRATION",
	  .args = "<migration> " HOW,
	  .tag = "RETRY MIGRATION",
	  CHANGES(VERB_RETRY, .waits = true),
	  .help = "go on after an error, or for an executor that died" },
	{ .words = "SET MIGRATION",
	  .args = "<migration> <options...>",
	  .tag = "SET MIGRATION",
	  CHANGES(VERB_SET),
	  .help = "(option = value, ...): change options, also while it runs" },
	{ .words = "VERIFY MIGRATION",
	  .args = "<migration> [TABLE <tables...>]",
	  .tag = "SELECT",
	  .privilege = PRIVILEGE_MIGRATION,
	  .keeps_text = true,
	  LOOKS(.verb = VERB_VERIFY),
	  COLUMNS(verify_columns),
	  .help = "compare both sides" },
	{ .words = "FOLLOW MIGRATION",
	  .args = "<migration>",
	  .tag = "FOLLOW MIGRATION",
	  LOOKS(.verb = VERB_FOLLOW),
	  .help = "what happens to it, one line each (a COPY to the client), until it rests",
	  .brief = "what happens to it, one line each, until it rests" },
	{ .words = "SHOW MIGRATIONS",
	  .args = "[LIKE <pattern> | STATE <state>]",
	  LOOKS(.verb = VERB_SHOW_LIST),
	  COLUMNS(list_columns),
	  .help = "every migration, and the command that comes next" },
	{ .words = "SHOW MIGRATION",
	  .args = "<migration>",
	  LOOKS(.verb = VERB_SHOW),
	  COLUMNS(result_columns),
	  .help = "how it stands, and the command that comes next" },
#define TOPIC(word, verb_, columns_, help_)                                                     \
	{                                                                                       \
		.words = "SHOW MIGRATION", .args = "<migration> " word, LOOKS(.verb = (verb_)), \
		COLUMNS(columns_), .help = (help_)                                              \
	}
	TOPIC("STEPS", VERB_SHOW_STEPS, steps_columns, "its steps and what became of them"),
	TOPIC("CHECKS", VERB_SHOW_CHECKS, checks_columns, "what the last check found"),
	TOPIC("SQL", VERB_SHOW_SQL, sql_columns, "the statements of its steps"),
	TOPIC("TABLES", VERB_SHOW_TABLES, tables_columns, "its tables and how far they are"),
	TOPIC("SEQUENCES", VERB_SHOW_SEQUENCES, sequences_columns, "its sequences on both sides"),
	TOPIC("LAG", VERB_SHOW_LAG, lag_columns, "how far one side is behind the other"),
	TOPIC("SESSIONS", VERB_SHOW_SESSIONS, sessions_columns,
	      "sessions of the database here, and whether they can be moved"),
	TOPIC("LOG", VERB_SHOW_LOG, log_columns, "its journal"),
	TOPIC("OPTIONS", VERB_SHOW_OPTIONS, options_columns, "its options"),
	TOPIC("IMPACT", VERB_SHOW_IMPACT, impact_columns, "what is not as usual after each step"),
	TOPIC("FILES", VERB_SHOW_FILES, files_columns, "its files, region by region"),
#undef TOPIC
	{ .words = "SHOW MIGRATION",
	  .args = "<migration> <option>",
	  LOOKS(.verb = VERB_SHOW_OPTION),
	  COLUMNS(script_columns),
	  .describe = describe_option,
	  .help = "the value of an option" },
	{ .words = "SHOW REDIRECTS",
	  LOOKS(.verb = VERB_SHOW_REDIRECTS),
	  COLUMNS(redirects_columns),
	  .help = "who still enters through the region that a database was moved from",
	  .brief = "who still enters by the region a database was moved from" },
	{ .words = "SHOW AUTHORITY",
	  LOOKS(.verb = VERB_SHOW_AUTHORITY),
	  COLUMNS(authority_columns),
	  .help = "which node serves which database, as the nodes say" },
	{ .words = "SHOW EXECUTORS",
	  LOOKS(.verb = VERB_SHOW_EXECUTORS),
	  COLUMNS(executors_columns),
	  .help = "which proxy runs which migration" },
};

COMMAND_TABLE(commands_migration, commands);
