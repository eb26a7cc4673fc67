/* SPDX-License-Identifier: PostgreSQL
 *
 * The commands about migrations: how they are spelled and what they answer. migration/command.h
 * says what they do, migration_run.h how they run.
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

/* SHOW MIGRATION <m> <option>: the column is named after the option. */
static void
describe_option(struct statement *st)
{
	const char *option = statement_arg(st, "option");

	snprintf(st->own_name, sizeof(st->own_name), "%s", option != NULL ? option : "option");
	st->own_column = (struct column){ st->own_name, COLUMN_TEXT };
}

#define RUNS .begin = migration_begin, .row = migration_row, .end = migration_end
/* A command that only reads. */
#define LOOKS(...) .data = &(const struct migration_verb_data){ __VA_ARGS__ }, RUNS
/* A command that changes something; its `words` are its command tag too. */
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
	  .brief = "write a migration down, and check whether it can be",
	  .example = "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH "
		     "(retry_wait = '1s')",
	  .answer = "1|mv|move|preflight-success||||RUN MIGRATION 1 PREPARE;" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> [FORMAT TEXT]",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "TEXT"),
	  COLUMNS(plan_columns),
	  .help =
	      "its steps in order, each with its SQL, lock, estimate and undo; executes nothing",
	  .brief = "its steps in order, each with its SQL, lock and undo",
	  .example = "PLAN MIGRATION mv",
	  .answer =
	      "5|prepare|target|database|app|I|none||DROP DATABASE app|CREATE DATABASE app "
	      "TEMPLATE template0 \xe2\x80\xa6"
	      "\n"
	      "10|data|source|publication|app|T|SHARE UPDATE EXCLUSIVE on each||DROP PUBLICATION "
	      "mrd_1|CREATE PUBLICATION mrd_1 FOR TABLE <each>, meridian.marker" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> FORMAT SQL",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "SQL"),
	  COLUMNS(script_columns),
	  .help = "the same as a script",
	  .example = "PLAN MIGRATION mv FORMAT SQL",
	  .answer = "-- 15 enable app (target, data, class I)\n"
		    "ALTER SUBSCRIPTION mrd_1_fwd ENABLE" },
	{ .words = "PLAN MIGRATION",
	  .args = "<migration> FORMAT JSON",
	  .tag = "SELECT",
	  LOOKS(.verb = VERB_PLAN, .argument = "JSON"),
	  COLUMNS(json_columns),
	  .help = "the same as one JSON document",
	  .example = "PLAN MIGRATION mv FORMAT JSON",
	  .answer = "[ { \"n\": 1, \"phase\": \"prepare\", \"place\": \"source\", \"step\": "
		    "\"control_source\", \xe2\x80\xa6"
		    " } ]" },
	{ .words = "CHECK MIGRATION",
	  .args = "<migration> [PREPARE | DATA | FINALIZE]",
	  .tag = "CHECK MIGRATION",
	  CHANGES(VERB_CHECK),
	  .help = "ask again whether it can be (before that phase)",
	  .example = "CHECK MIGRATION mv FINALIZE",
	  .answer =
	      "1|mv|move|data-migrated|reverse_publication app|100||RUN MIGRATION 1 FINALIZE;" },
	{ .words = "RUN MIGRATION",
	  .args = "<migration> (PREPARE | DATA | FINALIZE | ALL | NEXT | STEP <n>) " HOW
		  " [FORCE <guards...>]",
	  .tag = "RUN MIGRATION",
	  CHANGES(VERB_RUN, .waits = true),
	  .help =
	      "do a phase, every phase, the next step or the steps up to one; FORCE (guard, ...) "
	      "goes on in spite of these checks; Ctrl-C detaches, it goes on",
	  .brief = "do a phase, every phase, or the next step",
	  .example = "RUN MIGRATION mv PREPARE",
	  .answer = "1|mv|move|prepared|fence_target app|100||RUN MIGRATION 1 DATA;" },
	{ .words = "ACK MIGRATION",
	  .args = "<migration> <guard> [<text>]",
	  .tag = "ACK MIGRATION",
	  CHANGES(VERB_ACK),
	  .help = "confirm what only people can know, which the migration waits for",
	  .brief = "confirm what only people can know",
	  .example = "ACK MIGRATION mv app_deployed 'version 12 is everywhere'",
	  .answer = "1|mv|move|redirecting|verify app|100||COMPLETE MIGRATION 1;" },
	{ .words = "ABORT MIGRATION",
	  .args = "<migration> [FORCE] [WAIT | NOWAIT]",
	  .tag = "ABORT MIGRATION",
	  CHANGES(VERB_ABORT, .waits = true),
	  .help = "undo everything; refused once it was decided",
	  .example = "ABORT MIGRATION mv",
	  .answer = "1|mv|move|aborted||||" },
	{ .words = "REVERSE MIGRATION",
	  .args = "<migration> " HOW " [FORCE <guards...>]",
	  .tag = "REVERSE MIGRATION",
	  CHANGES(VERB_REVERSE, .waits = true),
	  .help = "after FINALIZE: the same switch the other way",
	  .example = "REVERSE MIGRATION mv",
	  .answer = "1|mv|move|reversed|reopen_target app|100||COMPLETE MIGRATION 1;" },
	{ .words = "COMPLETE MIGRATION",
	  .args = "<migration> " HOW " [FORCE <guards...>]",
	  .tag = "COMPLETE MIGRATION",
	  CHANGES(VERB_COMPLETE, .waits = true),
	  .help = "give up the way back, and drop what was left over; FORCE (source) where that "
		  "side is gone for good",
	  .brief = "give up the way back, and drop what was left over",
	  .example = "COMPLETE MIGRATION mv",
	  .answer = "1|mv|move|done|drop_leftovers app|100||" },
	{ .words = "PAUSE MIGRATION",
	  .args = "<migration>",
	  .tag = "PAUSE MIGRATION",
	  CHANGES(VERB_PAUSE),
	  .help = "stop before the next step",
	  .example = "PAUSE MIGRATION mv",
	  .answer = "1|mv|move|paused|publication app|||RUN MIGRATION 1 NEXT;" },
	{ .words = "RESUME MIGRATION",
	  .args = "<migration> " HOW,
	  .tag = "RESUME MIGRATION",
	  CHANGES(VERB_RESUME, .waits = true),
	  .help = "go on after PAUSE",
	  .example = "RESUME MIGRATION mv",
	  .answer =
	      "1|mv|move|data-migrated|reverse_publication app|100||RUN MIGRATION 1 FINALIZE;" },
	{ .words = "RETRY MIGRATION",
	  .args = "<migration> " HOW,
	  .tag = "RETRY MIGRATION",
	  CHANGES(VERB_RETRY, .waits = true),
	  .help = "go on after an error, or for an executor that died",
	  .example = "RETRY MIGRATION mv",
	  .answer =
	      "1|mv|move|data-migrated|reverse_publication app|100||RUN MIGRATION 1 FINALIZE;" },
	{ .words = "SET MIGRATION",
	  .args = "<migration> <options...>",
	  .tag = "SET MIGRATION",
	  CHANGES(VERB_SET),
	  .help = "(option = value, ...): change options, also while it runs",
	  .example = "SET MIGRATION mv (max_lag = '1MB')",
	  .answer = "1|mv|move|preflight-success||||RUN MIGRATION 1 PREPARE;" },
	{ .words = "VERIFY MIGRATION",
	  .args = "<migration> [TABLE <tables...>]",
	  .tag = "SELECT",
	  .privilege = PRIVILEGE_MIGRATION,
	  .keeps_text = true,
	  LOOKS(.verb = VERB_VERIFY),
	  COLUMNS(verify_columns),
	  .help = "compare both sides",
	  .example = "VERIFY MIGRATION mv",
	  .answer = "public.rides|1000|1000|t|" },
	{ .words = "FOLLOW MIGRATION",
	  .args = "<migration>",
	  .tag = "FOLLOW MIGRATION",
	  LOOKS(.verb = VERB_FOLLOW),
	  .help = "what happens to it, one line each (a COPY to the client), until it rests",
	  .brief = "what happens to it, one line each, until it rests",
	  .example = "FOLLOW MIGRATION mv",
	  .answer =
	      "2026-11-24 12:47:28.951406+00 command postgres unix: RUN MIGRATION mv PREPARE\n"
	      "2026-11-24 12:47:29.001171+00 state running(prepare)" },
	{ .words = "SHOW MIGRATIONS",
	  .args = "[LIKE <pattern> | STATE <state>]",
	  LOOKS(.verb = VERB_SHOW_LIST),
	  COLUMNS(list_columns),
	  .help = "every migration, and the command that comes next",
	  .example = "SHOW MIGRATIONS STATE 'data-migrated'",
	  .answer = "1|mv|move|data-migrated|reverse_publication app|100||RUN MIGRATION 1 "
		    "FINALIZE;|app|postgres|2026-11-24 "
		    "12:47:28.791438+00||96b86135-73da-4c3b-9058-48af15de5f6e" },
	{ .words = "SHOW MIGRATION",
	  .args = "<migration>",
	  LOOKS(.verb = VERB_SHOW),
	  COLUMNS(result_columns),
	  .help = "how it stands, and the command that comes next",
	  .example = "SHOW MIGRATION mv",
	  .answer =
	      "1|mv|move|data-migrated|reverse_publication app|100||RUN MIGRATION 1 FINALIZE;" },
#define TOPIC(word, verb_, columns_, help_, answer_)                                            \
	{                                                                                       \
		.words = "SHOW MIGRATION", .args = "<migration> " word, LOOKS(.verb = (verb_)), \
		COLUMNS(columns_), .help = (help_), .example = "SHOW MIGRATION mv " word,       \
		.answer = (answer_)                                                             \
	}
	TOPIC("STEPS", VERB_SHOW_STEPS, steps_columns, "its steps and what became of them",
	      "1|prepare|source|control_source|app|T|done|1|2026-11-24 "
	      "12:47:29.001713+00|2026-11-24 12:47:29.003969+00|"),
	TOPIC("CHECKS", VERB_SHOW_CHECKS, checks_columns, "what the last check found",
	      "WARN|slot_wal_cap||max_slot_wal_keep_size = -1|unlimited: a target that is down "
	      "fills the disk of the source; \xe2\x80\xa6"
	      "\n"
	      "INFO|encoding|app|UTF8|the same on the target"),
	TOPIC("SQL", VERB_SHOW_SQL, sql_columns, "the statements of its steps",
	      "1|source|control_source|app|CREATE FUNCTION meridian.fence(), "
	      "meridian.ddl_block()|DROP FUNCTION"),
	TOPIC("TABLES", VERB_SHOW_TABLES, tables_columns, "its tables and how far they are",
	      "public.rides|replication|replicated||49152|100|"),
	TOPIC("SEQUENCES", VERB_SHOW_SEQUENCES, sequences_columns, "its sequences on both sides",
	      "public.rides_id_seq|1000|1|t|"),
	TOPIC("LAG", VERB_SHOW_LAG, lag_columns, "how far one side is behind the other",
	      "osc-fr1|agora-fr1|streaming|0|0.149|mrd_1_fwd"),
	TOPIC("SESSIONS", VERB_SHOW_SESSIONS, sessions_columns,
	      "sessions of the database here, and whether they can be moved",
	      "26|app|127.0.0.1:33032|psql|transaction|idle|t|"),
	TOPIC("LOG", VERB_SHOW_LOG, log_columns, "its journal",
	      "4|2026-11-24 12:47:28.951406+00|postgres|command|{\"user\": \"postgres\", "
	      "\"statement\": \"RUN MIGRATION mv PREPARE\", \xe2\x80\xa6"
	      "}"),
	TOPIC("OPTIONS", VERB_SHOW_OPTIONS, options_columns, "its options",
	      "pause_budget|1s|1s|f|at any time|writes may be held up so long at FINALIZE; longer, "
	      "and they go on \xe2\x80\xa6"
	      ""),
	TOPIC("IMPACT", VERB_SHOW_IMPACT, impact_columns, "what is not as usual after each step",
	      "3|foreign key not enforced|public.rides|1840|2.1|0.84|3.2|fingerprints|"),
	TOPIC("FILES", VERB_SHOW_FILES, files_columns, "its files, region by region",
	      "V001__one.sql|us-east1|done|1|1|6817e2767e7b39fa|2026-11-24 12:47:36.514229+00|5|"),
#undef TOPIC
	{ .words = "SHOW MIGRATION",
	  .args = "<migration> <option>",
	  LOOKS(.verb = VERB_SHOW_OPTION),
	  COLUMNS(script_columns),
	  .describe = describe_option,
	  .help = "the value of an option",
	  .example = "SHOW MIGRATION mv max_lag",
	  .answer = "1MB" },
	{ .words = "SHOW REDIRECTS",
	  LOOKS(.verb = VERB_SHOW_REDIRECTS),
	  COLUMNS(redirects_columns),
	  .help = "who still enters through the region that a database was moved from",
	  .brief = "who still enters by the region a database was moved from",
	  .example = "SHOW REDIRECTS",
	  .answer = "1|app|agora-fr1|osc-fr1|10.0.7.9|postgres|billing|0|1|0|2026-11-24 "
		    "12:47:35.694552+00|2026-12-24 12:47:35+00|" },
	{ .words = "SHOW AUTHORITY",
	  LOOKS(.verb = VERB_SHOW_AUTHORITY),
	  COLUMNS(authority_columns),
	  .help = "which node serves which database, as the nodes say",
	  .example = "SHOW AUTHORITY",
	  .answer = "app|10.2.10.15:5432|app|1795524455520|f|away|osc-fr1|app\n"
		    "app|10.3.10.15:5432|app|1795524455520|t|forward|osc-fr1|app" },
	{ .words = "SHOW EXECUTORS",
	  LOOKS(.verb = VERB_SHOW_EXECUTORS),
	  COLUMNS(executors_columns),
	  .help = "which proxy runs which migration",
	  .example = "SHOW EXECUTORS",
	  .answer = "1|96b86135-73da-4c3b-9058-48af15de5f6e|app|agora-fr1|proxy1/13007/"
		    "1|proxy1|1|2026-11-24 12:47:30.1+00|t|copy app" },
};

COMMAND_TABLE(commands_migration, commands);
