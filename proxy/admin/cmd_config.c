/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW CONFIG, SHOW TIMEOUTS, SHOW of one option, and SHOW VERSION: what the operator has
 * configured.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/suggest.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/grammar.h"
#include "proxy/admin/greeting.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"

/* ---- SHOW CONFIG, SHOW TIMEOUTS ---- */

static const struct column config_columns[] = {
	{ "key", COLUMN_TEXT },        { "value", COLUMN_TEXT }, { "default", COLUMN_TEXT },
	{ "changeable", COLUMN_TEXT }, { "help", COLUMN_TEXT },  { "pending", COLUMN_TEXT },
};

static void
option_of(const struct run *r, size_t i, struct config_row *out)
{
	config_row(r->world->config, worker_process(r->worker)->begun, i, out);
}

/* Options that are times are recognised by these words in their names. */
static const char *const time_words[] = { "_timeout",  "_delay",     "_interval", "_retry",
					  "_backoff",  "_after",     "max_lag",   "_ttl",
					  "_keepidle", "_keepintvl", NULL };

/* Shows one option: any, or one with a word of the command's data in its name. */
static enum step
options_row(struct run *r)
{
	const char *const *words = r->command->data;
	bool shown = words == NULL;
	struct config_row row;

	if (r->at >= config_nrows())
		return STEP_DONE;
	option_of(r, r->at++, &row);
	for (; words != NULL && *words != NULL; words++)
		shown |= strstr(row.key, *words) != NULL;
	if (!shown)
		return STEP_MORE;
	row_begin(&r->rows);
	row_str(&r->rows, row.key);
	row_lines(&r->rows, row.value);
	row_lines(&r->rows, row.fallback);
	row_str(&r->rows, row.changeable);
	row_str(&r->rows, row.text);
	row_lines(&r->rows, row.pending);
	row_end(&r->rows);
	return STEP_MORE;
}

/* ---- SHOW <option> ---- */

static bool
find_option(const struct run *r, const char *name, struct config_row *out)
{
	for (size_t i = 0; i < config_nrows(); i++) {
		option_of(r, i, out);
		if (slice_is_nocase(slice_str(name), out->key))
			return true;
	}
	return false;
}

/* The column is named after the option, as PostgreSQL does it. */
static void
option_describe(struct statement *st)
{
	const char *name = statement_arg(st, "option");
	const struct greeting_row *known = greeting_find(slice_str(name));

	snprintf(st->own_name, sizeof(st->own_name), "%s",
		 known != NULL  ? known->name
		 : name != NULL ? name
				: "option");
	st->own_column = (struct column){ st->own_name, COLUMN_TEXT };
}

/* Suggests the option, or the listing, that the operator may have meant. */
static void
hint_option(struct run *r, const char *name)
{
	struct suggestion option = { .word = slice_str(name) }, listing = { 0 };
	const struct command *c;
	struct config_row row;
	char typed[64];

	for (size_t i = 0; i < config_nrows(); i++) {
		option_of(r, i, &row);
		suggest_offer(&option, row.key);
	}
	snprintf(typed, sizeof(typed), "SHOW %s", name);
	listing.word = slice_str(typed);
	for (size_t n = 0; (c = command_listed(n)) != NULL; n++)
		suggest_offer(&listing, c->words);
	if (listing.best != NULL && (option.best == NULL || listing.distance <= option.distance))
		err_hint(&r->err, "Did you mean %s?", listing.best);
	else if (option.best != NULL)
		err_hint(&r->err, "Did you mean SHOW %s?", option.best);
	else
		err_hint(&r->err, "SHOW CONFIG lists the options, HELP the commands.");
}

static int
option_begin(struct run *r)
{
	const char *name = run_arg(r, "option");
	const struct greeting_row *known = greeting_find(slice_str(name));
	struct config_row row;

	if (known == NULL && !find_option(r, name, &row)) {
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "there is no option \"%s\"", name);
		hint_option(r, name);
		return -1;
	}
	row_begin(&r->rows);
	row_lines(&r->rows, known != NULL ? known->value : row.value);
	row_end(&r->rows);
	return 0;
}

/* ---- SHOW VERSION ---- */

static const struct column version_columns[] = {
	{ "version", COLUMN_TEXT },     { "started_at", COLUMN_TIME },
	{ "uptime_s", COLUMN_INT8 },    { "config_version", COLUMN_INT8 },
	{ "config_file", COLUMN_TEXT },
};

static int
version_begin(struct run *r)
{
	const struct meridian *m = worker_process(r->worker);
	const struct config *config = r->world->config;

	row_begin(&r->rows);
	row_str(&r->rows, "Meridian " PACKAGE_VERSION);
	row_time(&r->rows, m->started_at_us);
	row_int(&r->rows, (clock_us() - m->started_us) / USEC_PER_SEC);
	row_count(&r->rows, config->version);
	row_str(&r->rows, config->path);
	row_end(&r->rows);
	return 0;
}

static const struct command commands[] = {
	{ .words = "SHOW CONFIG",
	  COLUMNS(config_columns),
	  .row = options_row,
	  .help =
	      "every option of [meridian]: its value, its default, when a change takes effect, and "
	      "the value that waits for a restart, if one does",
	  .brief = "every option of [meridian]: its value and its default",
	  .example = "SHOW CONFIG",
	  .answer = "blend|0.5|0.5|new sessions|With nearest = blend: the weight of the distance "
		    "to the caller; \xe2\x80\xa6"
		    "|" },
	{ .words = "SHOW TIMEOUTS",
	  COLUMNS(config_columns),
	  .row = options_row,
	  .data = time_words,
	  .help = "the options that are times",
	  .example = "SHOW TIMEOUTS",
	  .answer = "probe_interval|2s|2s|at once|Time between two probes of a node.|\n"
		    "probe_timeout|3s|3s|at once|A probe that takes longer has failed.|" },
	{ .words = "SHOW VERSION",
	  COLUMNS(version_columns),
	  .begin = version_begin,
	  .help = "the program's version, since when it runs, with which configuration",
	  .brief = "the program's version and configuration, since when it runs",
	  .example = "SHOW VERSION",
	  .answer =
	      "Meridian 0.1.0|2026-11-21 12:45:47.367124+00|1838|1|/etc/meridian/meridian.conf" },
	{ .words = "SHOW",
	  .args = "<option>",
	  .describe = option_describe,
	  .begin = option_begin,
	  .help = "the value of one option of [meridian]",
	  .example = "SHOW max_client_conn",
	  .answer = "1000" },
};

COMMAND_TABLE(commands_config, commands);
