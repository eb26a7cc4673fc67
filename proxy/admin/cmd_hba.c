/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW HBA: the rules of hba_file, which say who may log in from where.
 */
#include "config.h"

#include "proxy/admin/commands.h"
#include "proxy/auth/hba.h"
#include "proxy/config/config.h"
#include "proxy/process/world.h"

static const struct column hba_columns[] = {
	{ "rule", COLUMN_INT4 },    { "file", COLUMN_TEXT },     { "line", COLUMN_INT4 },
	{ "type", COLUMN_TEXT },    { "database", COLUMN_TEXT }, { "user", COLUMN_TEXT },
	{ "address", COLUMN_TEXT }, { "method", COLUMN_TEXT },   { "options", COLUMN_TEXT },
};

static void
put_column(struct rows *rows, const struct hba_rule *rule, enum hba_column column)
{
	struct buf b = { .cap = 0 };

	hba_put(&b, rule, column);
	row_str(rows, b.n > 0 ? buf_text(&b) : NULL);
	buf_fini(&b);
}

static enum step
hba_row(struct run *r)
{
	const struct hba *h = r->world->config->hba;
	const struct hba_rule *rule;

	if (h == NULL || r->at >= hba_count(h))
		return STEP_DONE;
	rule = hba_rule(h, r->at++);
	row_begin(&r->rows);
	row_int(&r->rows, (int64_t)r->at);
	row_str(&r->rows, rule->file);
	row_int(&r->rows, rule->line);
	for (int column = HBA_TYPE; column <= HBA_OPTIONS; column++)
		put_column(&r->rows, rule, (enum hba_column)column);
	row_end(&r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW HBA",
	  COLUMNS(hba_columns),
	  .row = hba_row,
	  .help = "the rules of hba_file in their order, as PostgreSQL would write them",
	  .brief = "the rules of hba_file in their order",
	  .example = "SHOW HBA",
	  .answer = "1|/etc/meridian/hba.conf|3|hostssl|movr|app|10.0.0.0/8|scram-sha-256|" },
};

COMMAND_TABLE(commands_hba, commands);
