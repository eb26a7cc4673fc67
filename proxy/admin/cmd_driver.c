/* SPDX-License-Identifier: PostgreSQL
 *
 * What psql, drivers and pools send by themselves: transactions (accepted without effect, as the
 * console has none), session settings (accepted and forgotten), and the few questions that they ask
 * of every server. HELP does not list these commands.
 *
 * Which client sends what: psycopg2 BEGIN/COMMIT; pgjdbc SET extra_float_digits, application_name
 * and SHOW TRANSACTION ISOLATION LEVEL; SQLAlchemy select pg_catalog.version(), select
 * current_schema() and show standard_conforming_strings; libpq's target_session_attrs SHOW
 * transaction_read_only and pg_is_in_recovery(); asyncpg's pool RESET ALL and its like; npgsql
 * DISCARD ALL.
 */
#include "config.h"

#include <stdio.h>

#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/console_int.h"
#include "proxy/admin/greeting.h"

/* ---- transactions and cleaning up ---- */

static int
transaction_end(struct run *r)
{
	extended_close_portals(r->console, true);
	return 0;
}

static int
deallocate_all(struct run *r)
{
	extended_deallocate(r->console);
	extended_close_portals(r->console, true);
	return 0;
}

/* ---- SET ---- */

/* Settings of PostgreSQL that drivers set and that have no meaning in the console. */
static const char *const settings[] = {
	"application_name",
	"bytea_output",
	"client_encoding",
	"client_min_messages",
	"datestyle",
	"default_transaction_isolation",
	"default_transaction_read_only",
	"extra_float_digits",
	"idle_in_transaction_session_timeout",
	"intervalstyle",
	"jit",
	"lock_timeout",
	"names",
	"row_security",
	"search_path",
	"session_authorization",
	"standard_conforming_strings",
	"statement_timeout",
	"synchronize_seqscans",
	"timezone",
	"transaction_isolation",
	"transaction_read_only",
	"escape_string_warning",
	"backslash_quote",
};

static bool
fits_setting(const struct statement *st)
{
	const char *name = statement_arg(st, "setting");

	for (size_t i = 0; name != NULL && i < sizeof(settings) / sizeof(settings[0]); i++)
		if (slice_is_nocase(slice_str(name), settings[i]))
			return true;
	return false;
}

/* SET client_encoding: the console speaks UTF8 only. */
static int
set_begin(struct run *r)
{
	const char *name = run_arg(r, "setting"), *value = run_arg(r, "value");
	bool encoding = slice_is_nocase(slice_str(name), "client_encoding") ||
			slice_is_nocase(slice_str(name), "names");

	if (!encoding || slice_is_nocase(slice_str(value), "utf8") ||
	    slice_is_nocase(slice_str(value), "utf-8") ||
	    slice_is_nocase(slice_str(value), "unicode") ||
	    slice_is_nocase(slice_str(value), "default"))
		return 0;
	return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE,
		       "the console speaks UTF8 only, not \"%s\"", value);
}

/* ---- questions ---- */

struct answer_row {
	struct column column;
	const char *text; /* of a text column; NULL: SQL NULL */
	int number;       /* of any other column */
};

static int
answer_begin(struct run *r)
{
	const struct answer_row *a = r->command->data;

	row_begin(&r->rows);
	if (a->column.type == COLUMN_TEXT)
		row_str(&r->rows, a->text);
	else if (a->column.type == COLUMN_BOOL)
		row_bool(&r->rows, a->number != 0);
	else
		row_int(&r->rows, a->number);
	row_end(&r->rows);
	return 0;
}

#define VERSION_TEXT "PostgreSQL 15.0 (Meridian " PACKAGE_VERSION " console)"

static const struct answer_row one = { { "?column?", COLUMN_INT4 }, NULL, 1 };
static const struct answer_row version = { { "version", COLUMN_TEXT }, VERSION_TEXT, 0 };
static const struct answer_row database = { { "current_database", COLUMN_TEXT },
					    CONSOLE_DATABASE,
					    0 };
static const struct answer_row schema = { { "current_schema", COLUMN_TEXT }, NULL, 0 };
static const struct answer_row in_recovery = { { "pg_is_in_recovery", COLUMN_BOOL }, NULL, 0 };
static const struct answer_row unlocked = { { "pg_advisory_unlock_all", COLUMN_TEXT }, "", 0 };

#define QUESTION(spelled, answer)                                                       \
	{                                                                               \
		.words = "SELECT " spelled, .columns = &(answer).column, .ncolumns = 1, \
		.tag = "SELECT", .data = &(answer), .begin = answer_begin               \
	}
#define CALL " '(' ')'"

/* ---- SELECT current_user ---- */

static const struct column user_column[] = { { "current_user", COLUMN_TEXT } };

static int
user_begin(struct run *r)
{
	row_begin(&r->rows);
	row_str(&r->rows, r->console->user);
	row_end(&r->rows);
	return 0;
}

/* ---- SHOW TRANSACTION ISOLATION LEVEL ---- */

static const struct answer_row isolation = { { "transaction_isolation", COLUMN_TEXT },
					     "read committed",
					     0 };

static const struct command commands[] = {
	{ .words = "BEGIN", .args = "[<mode...>]" },
	{ .words = "START TRANSACTION", .args = "[<mode...>]" },
	{ .words = "COMMIT", .args = "[WORK | TRANSACTION]", .begin = transaction_end },
	{ .words = "END",
	  .args = "[WORK | TRANSACTION]",
	  .tag = "COMMIT",
	  .begin = transaction_end },
	{ .words = "ROLLBACK", .args = "[WORK | TRANSACTION]", .begin = transaction_end },
	{ .words = "ABORT", .tag = "ROLLBACK", .begin = transaction_end },
	{ .words = "DISCARD ALL", .tag = "DISCARD ALL", .begin = deallocate_all },
	{ .words = "DEALLOCATE ALL", .tag = "DEALLOCATE ALL", .begin = deallocate_all },
	{ .words = "CLOSE ALL", .tag = "CLOSE CURSOR ALL", .begin = transaction_end },
	{ .words = "UNLISTEN *" },
	{ .words = "RESET ALL" },
	{ .words = "RESET SESSION AUTHORIZATION" },
	{ .words = "RESET", .args = "<setting>", .fits = fits_setting },
	{ .words = "SET", .args = "SESSION CHARACTERISTICS AS TRANSACTION <mode...>" },
	{ .words = "SET", .args = "TRANSACTION <mode...>" },
	{ .words = "SET", .args = "TIME ZONE <value...>" },
	{ .words = "SET",
	  .args = "[SESSION | LOCAL] <setting> (= | TO) <value...>",
	  .fits = fits_setting,
	  .begin = set_begin },
	{ .words = "SET", .args = "<setting> <value>", .fits = fits_setting, .begin = set_begin },
	{ .words = "SHOW TRANSACTION ISOLATION LEVEL",
	  .columns = &isolation.column,
	  .ncolumns = 1,
	  .data = &isolation,
	  .begin = answer_begin },
	QUESTION("1", one),
	QUESTION("version" CALL, version),
	QUESTION("pg_catalog.version" CALL, version),
	QUESTION("current_database" CALL, database),
	QUESTION("pg_catalog.current_database" CALL, database),
	QUESTION("current_schema" CALL, schema),
	QUESTION("current_schema", schema),
	QUESTION("pg_is_in_recovery" CALL, in_recovery),
	QUESTION("pg_catalog.pg_is_in_recovery" CALL, in_recovery),
	QUESTION("pg_advisory_unlock_all" CALL, unlocked),
	{ .words = "SELECT current_user",
	  COLUMNS(user_column),
	  .tag = "SELECT",
	  .begin = user_begin },
};

COMMAND_TABLE(commands_driver, commands);
