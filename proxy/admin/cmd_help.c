/* SPDX-License-Identifier: PostgreSQL
 *
 * HELP lists all commands, lists those that contain a word, or describes one command in full
 * (help.h).
 */
#include "config.h"

#include <string.h>

#include "base/suggest.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/grammar.h"
#include "proxy/admin/help.h"

#define SYNTAX_MAX 40 /* characters of a syntax in the list of all commands */

static const struct column list_columns[] = {
	{ "command", COLUMN_TEXT },
	{ "privilege", COLUMN_TEXT },
	{ "help", COLUMN_TEXT },
};

static const struct column help_columns[] = {
	{ "section", COLUMN_TEXT },
	{ "text", COLUMN_TEXT },
};

/* ---- the list ---- */

static bool
has_word(const struct command *c, const char *word)
{
	return word == NULL || strcasestr(c->words, word) != NULL ||
	       (c->args != NULL && strcasestr(c->args, word) != NULL);
}

static enum step
list_row(struct run *r)
{
	const struct command *c = command_listed(r->at++);
	bool full = run_has(r, "FULL");
	struct buf syntax = { 0 };
	if (c == NULL)
		return STEP_DONE;
	if (!has_word(c, run_arg(r, "word")))
		return STEP_MORE;
	row_begin(&r->rows);
	command_syntax(c, &syntax);
	if (full || syntax.n <= SYNTAX_MAX)
		row_text(&r->rows, buf_view(&syntax));
	else /* the arguments are too long and left out: … */
		row_printf(&r->rows, "%s \xe2\x80\xa6", c->words);
	buf_fini(&syntax);
	row_str(&r->rows, privilege_name(c->privilege));
	row_str(&r->rows, full || c->brief == NULL ? c->help : c->brief);
	row_end(&r->rows);
	return STEP_MORE;
}

static int
word_begin(struct run *r)
{
	const char *word = run_arg(r, "word");
	struct suggestion s = { .word = slice_str(word) };
	const struct command *c;

	for (size_t n = 0; (c = command_listed(n)) != NULL; n++) {
		if (has_word(c, word))
			return 0;
		suggest_offer(&s, c->words);
	}
	err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "there is no command \"%.100s\"", word);
	if (s.best != NULL)
		return err_hint(&r->err, "Did you mean HELP %s?", s.best);
	return err_hint(&r->err, "HELP lists the commands.");
}

/* ---- one command ---- */

/* Whether the operator named this command. Commands of which all keywords were typed (*exactly) go
 * before those that only begin so. */
static bool
is_named(const char *typed, bool *exactly)
{
	const struct command *c;

	for (int pass = 0; pass < 2; pass++)
		for (size_t n = 0; (c = command_listed(n)) != NULL; n++)
			if (help_names(typed, c, pass == 0)) {
				*exactly = pass == 0;
				return true;
			}
	return false;
}

static bool
names_a_command(const struct statement *st)
{
	const char *typed = statement_arg(st, "command");
	bool exactly;

	return typed != NULL && is_named(typed, &exactly);
}

static enum step
help_row(struct run *r)
{
	const struct command *c = command_listed(r->at++);
	const char *typed = run_arg(r, "command");
	bool exactly = false;

	if (c == NULL)
		return STEP_DONE;
	(void)is_named(typed, &exactly);
	if (help_names(typed, c, exactly))
		help_rows(c, &r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "HELP",
	  .args = "[FULL]",
	  COLUMNS(list_columns),
	  .tag = "SHOW",
	  .row = list_row,
	  .help = "every command in a line; FULL: with all of its arguments and its whole help",
	  .brief = "every command in a line; FULL: with all there is to say",
	  .example = "HELP",
	  .answer =
	      "KILL SESSION <id>|admin|end one session; its client gets a FATAL error (57P01)\n"
	      "PROBE|admin|probe every node now, and wait for the answers" },
	{ .words = "HELP",
	  .args = "<command...>",
	  COLUMNS(help_columns),
	  .tag = "SHOW",
	  .fits = names_a_command,
	  .row = help_row,
	  .help = "one command: how it is spelled, who may give it, its columns; where there is "
		  "none of that name, those with the word in them",
	  .brief = "one command with its columns, or those with this word in them",
	  .example = "HELP PROBE",
	  .answer = "command|PROBE\n"
		    "privilege|admin\n"
		    "help|probe every node now, and answer when all have answered or failed\n"
		    "example|PROBE\n"
		    "answer|PROBE" },
	{ .words = "HELP",
	  .args = "<word...>",
	  COLUMNS(list_columns),
	  .tag = "SHOW",
	  .begin = word_begin,
	  .row = list_row },
	{ .words = "SHOW HELP",
	  .args = "[FULL]",
	  COLUMNS(list_columns),
	  .row = list_row,
	  .help = "the same as HELP",
	  .example = "SHOW HELP",
	  .answer = "PROBE|admin|probe every node now, and wait for the answers" },
};

COMMAND_TABLE(commands_help, commands);
