/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/command_int.h"
#include "migration/journal.h"
#include "migration/migrations_int.h"
#include "migration/parser.h"
#include "protocol/sqlstate.h"

#define LOOK_AGAIN_US (200 * USEC_PER_MSEC)

/* ---- what every command does ---- */

bool
command_is_cancelled(const struct command_run *c)
{
	return c->sink->is_cancelled(c->sink->arg);
}

void
command_notice(struct command_run *c, const char *fmt, ...)
{
	struct err e = { .sqlstate = SQLSTATE_SUCCESS };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
	va_end(ap);
	c->sink->notice(c->sink->arg, "NOTICE", &e);
}

void
command_notice_lines(struct command_run *c, const char *msg, struct buf *lines)
{
	struct err e = { .sqlstate = SQLSTATE_SUCCESS };

	snprintf(e.msg, sizeof(e.msg), "%s", msg);
	snprintf(e.detail, sizeof(e.detail), "%s", buf_text(lines));
	c->sink->notice(c->sink->arg, "NOTICE", &e);
}

void
command_put_row(struct command_run *c, const struct migration *m, const char *const *more,
		size_t nmore)
{
	const char *values[MIGRATION_RESULT_COLUMNS + 8];
	char id[16], progress[16];
	char *next = command_next(m);

	snprintf(id, sizeof(id), "%d", m->id);
	snprintf(progress, sizeof(progress), "%d", m->progress);
	values[0] = id;
	values[1] = or_null(m->name);
	values[2] = migration_kind_name(m->kind);
	values[3] = migration_state_name(m->state);
	values[4] = or_null(m->step);
	values[5] = m->progress >= 0 ? progress : NULL;
	values[6] = or_null(m->state == STATE_ERROR ? m->error : m->detail);
	values[7] = or_null(next);
	for (size_t i = 0; i < nmore && i < 8; i++)
		values[MIGRATION_RESULT_COLUMNS + i] = more[i];
	c->sink->row(c->sink->arg, values, MIGRATION_RESULT_COLUMNS + nmore);
	free(next);
}

void
command_row(struct command_run *c, const struct migration *m)
{
	command_put_row(c, m, NULL, 0);
}

/* ---- the row, again ---- */

int
command_find_again(struct command_run *c, int64_t patience_us, struct err *e)
{
	int64_t until = clock_us() + patience_us;
	char uuid[UUID_SIZE];

	memcpy(uuid, c->at.m.uuid, sizeof(uuid));
	for (;;) {
		struct migration_at at = { 0 };
		struct control_dbs found = { 0 };

		/* A schema that was made since the last look is found too. */
		control_dbs_everywhere(c->ms, 1, &found, NULL, e);
		control_dbs_fini(&found);
		if (migrations_find(c->ms, uuid, &at, e) == 0) {
			migration_at_fini(&c->at);
			c->at = at;
			c->found_us = clock_us();
			return 0;
		}
		if (clock_us() >= until || command_is_cancelled(c))
			return -1;
		clock_sleep(LOOK_AGAIN_US);
	}
}

/* While a database changes its place, so does the home of its migration. */
int
command_reload(struct command_run *c, struct err *e)
{
	struct migration m;
	int rc = store_load(c->at.db, c->at.m.uuid, &m, e);

	if (rc > 0 && (m.is_home || clock_us() - c->found_us < LOOK_AGAIN_US)) {
		migration_fini(&c->at.m);
		c->at.m = m;
		return 0;
	}
	if (rc > 0)
		migration_fini(&m);
	return command_find_again(c, 0, e);
}

int
command_result(struct command_run *c, struct err *e)
{
	if (command_reload(c, e) != 0)
		return -1;
	command_row(c, &c->at.m);
	return 0;
}

/* ---- the journal ---- */

int
command_journal(struct command_run *c, struct err *e)
{
	const struct migration_request *rq = c->rq;
	json_t *o = json_object();
	char *text;
	int rc;

	json_object_set_new(o, "statement",
			    json_string(rq->statement != NULL ? rq->statement : ""));
	json_object_set_new(o, "user", json_string(rq->user != NULL ? rq->user : ""));
	json_object_set_new(o, "address", json_string(rq->address != NULL ? rq->address : ""));
	text = json_dumps(o, JSON_COMPACT);
	rc = journal_add(c->at.db, &c->at.m, rq->user != NULL ? rq->user : "", JOURNAL_COMMAND,
			 text, e);
	free(text);
	json_decref(o);
	return rc;
}

int
command_read_list(const char *text, const char *what, struct strlist *out, struct err *e)
{
	struct parser p;
	char *name = NULL;
	int rc;

	*out = (struct strlist){ 0 };
	if (text == NULL)
		return 0;
	rc = parser_init(&p, slice_str(text), e);
	if (rc == 0)
		rc = parser_expect(&p, "(");
	while (rc == 0) {
		rc = parser_name(&p, &name, what);
		if (rc == 0)
			strlist_add(out, name);
		free(name);
		name = NULL;
		if (rc != 0 || !parser_accept(&p, ","))
			break;
	}
	if (rc == 0)
		rc = parser_expect_end_of_list(&p);
	if (rc == 0)
		rc = parser_end(&p, "the end");
	if (rc != 0)
		strlist_fini(out);
	return rc;
}

/* ---- the table ---- */

static const struct {
	command_fn *run;
	bool is_about_one; /* c->at is that one */
	bool is_journaled;
} verbs[MIGRATION_NVERBS] = {
	[VERB_CREATE] = { command_create, false, false }, /* when it is there */
	[VERB_PLAN] = { command_plan, true, false },
	[VERB_CHECK] = { command_check, true, true },
	[VERB_RUN] = { command_run_phase, true, true },
	[VERB_ACK] = { command_ack, true, true },
	[VERB_ABORT] = { command_abort, true, true },
	[VERB_REVERSE] = { command_reverse, true, true },
	[VERB_COMPLETE] = { command_complete, true, true },
	[VERB_PAUSE] = { command_pause, true, true },
	[VERB_RESUME] = { command_retry, true, true },
	[VERB_RETRY] = { command_retry, true, true },
	[VERB_SET] = { command_set, true, true },
	[VERB_VERIFY] = { command_verify, true, true },
	[VERB_FOLLOW] = { command_follow, true, false },
	[VERB_SHOW_LIST] = { command_list, false, false },
	[VERB_SHOW] = { command_show, true, false },
	[VERB_SHOW_STEPS] = { command_show_steps, true, false },
	[VERB_SHOW_CHECKS] = { command_show_checks, true, false },
	[VERB_SHOW_SQL] = { command_show_sql, true, false },
	[VERB_SHOW_TABLES] = { command_show_kind, true, false },
	[VERB_SHOW_SEQUENCES] = { command_show_kind, true, false },
	[VERB_SHOW_LAG] = { command_show_kind, true, false },
	[VERB_SHOW_SESSIONS] = { command_show_sessions, true, false },
	[VERB_SHOW_LOG] = { command_show_log, true, false },
	[VERB_SHOW_OPTIONS] = { command_show_options, true, false },
	[VERB_SHOW_IMPACT] = { command_show_kind, true, false },
	[VERB_SHOW_FILES] = { command_show_kind, true, false },
	[VERB_SHOW_OPTION] = { command_show_option, true, false },
	[VERB_SHOW_REDIRECTS] = { command_redirects, false, false },
	[VERB_SHOW_AUTHORITY] = { command_authority, false, false },
	[VERB_SHOW_EXECUTORS] = { command_executors, false, false },
};

/* What is refused for the state that the migration is in, or for its kind, says which command gets
 * on. */
static int
refused(const struct command_run *c, struct err *e)
{
	int id = c->at.m.id;
	char *next;

	if (id == 0 || *e->hint != '\0')
		return -1;
	if (strcmp(e->sqlstate, SQLSTATE_OBJECT_NOT_IN_STATE) == 0) {
		next = command_next(&c->at.m);
		if (*next != '\0')
			err_hint(e, "Next: %s", next);
		else
			err_hint(e, "It is over. CREATE MIGRATION makes a new one.");
		free(next);
		return -1;
	}
	if (c->rq->verb == VERB_VERIFY && strcmp(e->sqlstate, "42P01") == 0)
		return err_hint(e, "VERIFY MIGRATION %d; compares all that there are.", id);
	if (strcmp(e->sqlstate, SQLSTATE_FEATURE_NOT_SUPPORTED) == 0)
		return err_hint(e, "SHOW MIGRATION %d STEPS; says what it does, and how far it is.",
				id);
	return -1;
}

int
migration_execute(struct migrations *ms, const struct migration_request *rq,
		  const struct migration_sink *sink, struct err *e)
{
	struct command_run c = { .ms = ms, .rq = rq, .sink = sink };
	int rc = 0;

	if (verbs[rq->verb].is_about_one)
		rc = migrations_find(ms, rq->migration, &c.at, e);
	if (rc == 0 && verbs[rq->verb].is_journaled && c.at.m.is_home)
		rc = command_journal(&c, e);
	if (rc == 0)
		rc = verbs[rq->verb].run(&c, e);
	if (rc != 0)
		rc = refused(&c, e);
	migration_at_fini(&c.at);
	return rc;
}
