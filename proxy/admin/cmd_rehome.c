/* SPDX-License-Identifier: PostgreSQL
 *
 * REHOME SESSION: the operator gives one session another server connection. The command answers
 * when the session has moved, or with the reason why it cannot.
 */
#include "config.h"

#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/fanout.h"
#include "proxy/move/rehome.h"
#include "proxy/process/worker.h"
#include "proxy/session/session.h"

static const struct column rehome_columns[] = {
	{ "id", COLUMN_INT8 },
	{ "home", COLUMN_TEXT },
	{ "node", COLUMN_TEXT },
};

static void
put_row(struct fanout *a, const struct session *s)
{
	struct session_facts f;

	session_facts(s, false, &f);
	row_begin(&a->rows);
	row_count(&a->rows, f.id);
	row_str(&a->rows, f.home);
	row_str(&a->rows, f.node);
	row_end(&a->rows);
}

static void
on_done(void *arg, struct session *s, const struct err *e)
{
	struct fanout *a = arg;

	if (e != NULL)
		a->err = *e;
	else
		put_row(a, s);
	fanout_answered(a, e != NULL ? ANSWER_FAIL : ANSWER_STOP);
}

static enum answer
rehome_answer(struct fanout *a)
{
	struct session *s = session_by_id(a->to, a->id);
	struct rehome_want want = { .done = on_done, .arg = a };
	const char *why;

	if (s == NULL)
		return ANSWER_NEXT;
	if (!rehome_can(s, &why)) {
		err_set(&a->err, SQLSTATE_OBJECT_NOT_IN_STATE, "session %llu cannot be moved: %s",
			(unsigned long long)a->id, why);
		return ANSWER_FAIL;
	}
	if (rehome_stage(s) != REHOME_NONE) {
		err_set(&a->err, SQLSTATE_OBJECT_NOT_IN_STATE, "session %llu is on its way already",
			(unsigned long long)a->id);
		return ANSWER_FAIL;
	}
	want.live = rehome_choose(s, a->region, &a->err);
	if (want.live == NULL)
		return ANSWER_FAIL;
	rehome_to(s, REHOME_SWAPPED, &want);
	return ANSWER_WAIT;
}

static int
rehome_begin(struct run *r)
{
	struct fanout *a = fanout_begin(r, rehome_answer);

	return fanout_take_region(r, a) < 0 ? -1 : fanout_take_id(r, a);
}

static const struct command commands[] = {
	{ .words = "REHOME SESSION",
	  .args = "<id> [TO REGION <region>]",
	  .privilege = PRIVILEGE_ADMIN,
	  COLUMNS(rehome_columns),
	  .tag = "REHOME SESSION",
	  .begin = rehome_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help =
	      "give one session another server connection, where its route leads now or in that "
	      "region, at the end of its transaction; its client stays connected",
	  .brief = "give one session another server connection, maybe elsewhere",
	  .example = "REHOME SESSION 26 TO REGION us-east1",
	  .answer = "26|us-east1|10.0.10.15:5432" },
};

COMMAND_TABLE(commands_rehome, commands);
