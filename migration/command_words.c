/* SPDX-License-Identifier: PostgreSQL
 *
 * Texts for operators: the command that comes next, what can be done in a state, and an event in
 * one line.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/command_int.h"
#include "migration/journal.h"
#include "migration/json.h"

/* ---- the next command ---- */

/* %i: the migration's number. */
static const struct {
	const char *move, *others; /* NULL: the same as for a move; "" none */
} nexts[MIGRATION_NSTATES] = {
	[STATE_CREATED] = { "CHECK MIGRATION %i;", NULL },
	[STATE_PREFLIGHT_ERROR] = { "CHECK MIGRATION %i;", NULL },
	[STATE_PREFLIGHT_SUCCESS] = { "RUN MIGRATION %i PREPARE;", "RUN MIGRATION %i ALL;" },
	[STATE_PREPARING] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_PREPARED] = { "RUN MIGRATION %i DATA;", "RUN MIGRATION %i ALL;" },
	[STATE_MIGRATING_DATA] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_DATA_MIGRATED] = { "RUN MIGRATION %i FINALIZE;", "RUN MIGRATION %i ALL;" },
	[STATE_FINALIZING] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_SWITCHED] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_REDIRECTING] = { "COMPLETE MIGRATION %i;", NULL },
	[STATE_REVERSING] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_REVERSED] = { "COMPLETE MIGRATION %i;", NULL },
	[STATE_COMPLETING] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_DONE] = { "", NULL },
	[STATE_WAITING_NODES] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_WAITING_ACK] = { "FOLLOW MIGRATION %i;", NULL }, /* or what its detail says */
	[STATE_PAUSED] = { "RESUME MIGRATION %i;", NULL },
	[STATE_ERROR] = { "RETRY MIGRATION %i;", NULL },
	[STATE_ABORTING] = { "FOLLOW MIGRATION %i;", NULL },
	[STATE_ABORTED] = { "", NULL },
};

static const char *
value_of(const struct migration *m, char mark, char number[16])
{
	switch (mark) {
	case 'i':
		snprintf(number, 16, "%d", m->id);
		return number;
	case 'd':
		return m->database;
	case 'f':
		return m->src;
	case 't':
		return m->dst;
	case 's':
		return m->spec;
	case 'x':
		return m->detail;
	default:
		return "";
	}
}

static void
expand(const char *text, const struct migration *m, struct buf *out)
{
	char number[16];

	for (; *text != '\0'; text++) {
		if (*text == '%' && text[1] != '\0')
			buf_str(out, value_of(m, *++text, number));
		else
			buf_u8(out, (uint8_t)*text);
	}
}

static char *
expanded(const char *text, const struct migration *m)
{
	struct buf b = { .cap = 1 << 20 };

	expand(text, m, &b);
	return buf_take_text(&b);
}

bool
command_was_ordered(const struct migration *m, const char *what)
{
	json_t *run = json_loads(m->run, 0, NULL);
	const char *said = json_string_value(json_object_get(run, "what"));
	bool was = said != NULL && strcmp(said, what) == 0;

	json_decref(run);
	return was;
}

char *
command_next(const struct migration *m)
{
	const char *text = nexts[m->state].move;

	/* "ACK MIGRATION 2 app_deployed: …", as job_wait_ack() says it */
	if (m->state == STATE_WAITING_ACK && strncmp(m->detail, "ACK MIGRATION ", 14) == 0)
		return xasprintf("%.*s;", (int)strcspn(m->detail, ":"), m->detail);
	if (m->kind != KIND_MOVE && nexts[m->state].others != NULL)
		text = nexts[m->state].others;
	/* NEXT and STEP rest when they have done it. */
	if (m->state == STATE_PAUSED && command_was_ordered(m, "next"))
		text = "RUN MIGRATION %i NEXT;";
	else if (m->state == STATE_PAUSED && command_was_ordered(m, "step"))
		text = "RUN MIGRATION %i ALL;";
	return expanded(text, m);
}

/* ---- what can be done now ---- */

#define MOVE   (1u << KIND_MOVE)
#define OTHERS (~MOVE)
#define ANY    (~0u)

/* %i number, %d database, %f from, %t to, %s what CREATE said, %x detail; in lines also %r. */
static const struct advice {
	enum migration_state state;
	unsigned kinds;
	const char *head, *lines;
} advices[] = {
	{ STATE_PREFLIGHT_ERROR, ANY, "Migration %i cannot start yet, you can:",
	  "- See what is in the way:       SHOW MIGRATION %i CHECKS;\n"
	  "- Mend it, then check again:    CHECK MIGRATION %i;\n"
	  "- Abort the migration with:     ABORT MIGRATION %i;" },
	{ STATE_PREFLIGHT_SUCCESS, MOVE, "Database %d can be moved to %t.",
	  "- Start the migration with:     RUN MIGRATION %i PREPARE;\n"
	  "- See its steps first:          PLAN MIGRATION %i;\n"
	  "- Abort the migration with:     ABORT MIGRATION %i;" },
	{ STATE_PREFLIGHT_SUCCESS, OTHERS, "Migration %i of database %d can start.",
	  "- Start the migration with:     RUN MIGRATION %i ALL;\n"
	  "- Or step by step:              RUN MIGRATION %i NEXT;\n"
	  "- See its steps first:          PLAN MIGRATION %i;\n"
	  "- Abort the migration with:     ABORT MIGRATION %i;" },
	{ STATE_PREPARED, MOVE, "Database %d has been prepared on %t, you can now:",
	  "- Let Meridian copy the data:   RUN MIGRATION %i DATA;\n"
	  "- Copy it yourself, then:       RUN MIGRATION %i FINALIZE FORCE (data);\n"
	  "- Undo everything:              ABORT MIGRATION %i;" },
	{ STATE_DATA_MIGRATED, MOVE, "The data of database %d is on %t, you can now:",
	  "- Switch over:                  RUN MIGRATION %i FINALIZE;\n"
	  "- Undo everything:              ABORT MIGRATION %i;" },
	{ STATE_PREPARED, OTHERS, "Migration %i has been prepared, you can now:",
	  "- Go on:                        RUN MIGRATION %i ALL;\n"
	  "- Undo everything:              ABORT MIGRATION %i;" },
	{ STATE_DATA_MIGRATED, OTHERS, "The data of migration %i is in place, you can now:",
	  "- Go on:                        RUN MIGRATION %i ALL;\n"
	  "- Undo everything:              ABORT MIGRATION %i;" },
	{ STATE_REDIRECTING, ANY, "Database %d is now served from %t.",
	  "- Undo:                         REVERSE MIGRATION %i;\n"
	  "%r\n"
	  "- Give up the way back and clean %f:  COMPLETE MIGRATION %i;" },
	{ STATE_REVERSED, ANY, "Database %d is served from %f again.",
	  "- Drop what was left over:      COMPLETE MIGRATION %i;" },
	{ STATE_WAITING_ACK, ANY, "Migration %i waits for a confirmation.", "- %x" },
	{ STATE_WAITING_NODES, ANY, "Migration %i waits for nodes, and goes on by itself.",
	  "- See what happens:             FOLLOW MIGRATION %i;" },
	{ STATE_PAUSED, ANY, "Migration %i is paused, you can:",
	  "- Go on:                        RESUME MIGRATION %i;\n"
	  "- Undo everything:              ABORT MIGRATION %i;" },
	{ STATE_DONE, MOVE, "Migration %i of database %d is complete.", "" },
	{ STATE_DONE, OTHERS, "Migration %i of database %d is complete.", "" },
	{ STATE_ABORTED, ANY, "Migration %i has been undone.",
	  "- Try it again with:            CREATE MIGRATION %s;" },
};

void
command_tell_next(struct command_run *c, const struct migration *m)
{
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		const struct advice *a = &advices[i];
		struct buf lines = { .cap = 1 << 20 };
		const char *mark = strstr(a->lines, "%r");
		char *head, *first;

		if (a->state != m->state || (a->kinds & 1u << m->kind) == 0)
			continue;
		head = expanded(a->head, m);
		if (mark != NULL) {
			/* %r: the clients that still enter by the region that was left. */
			first = xstrndup(a->lines, (size_t)(mark - a->lines));
			expand(first, m, &lines);
			command_put_redirects(c, m, &lines);
			free(first);
		}
		expand(mark != NULL ? mark + 2 : a->lines, m, &lines);
		command_notice_lines(c, head, &lines);
		free(head);
		buf_fini(&lines);
		return;
	}
}

/* ---- events ---- */

static void
put_step(const json_t *o, struct buf *out)
{
	buf_printf(out, " %lld %s", (long long)json_integer_value(json_object_get(o, "n")),
		   json_member(o, "name"));
	if (*json_member(o, "label") != '\0')
		buf_printf(out, " %s", json_member(o, "label"));
	if (*json_member(o, "place") != '\0')
		buf_printf(out, " (%s)", json_member(o, "place"));
}

static void
put_step_end(const json_t *o, struct buf *out)
{
	put_step(o, out);
	if (json_is_true(json_object_get(o, "found")))
		buf_str(out, ": was done already");
	else
		buf_printf(out, ": done, %lld ms",
			   (long long)json_integer_value(json_object_get(o, "ms")));
}

static void
put_step_error(const json_t *o, struct buf *out)
{
	put_step(o, out);
	buf_printf(out, ": %s: %s", json_member(o, "sqlstate"), json_member(o, "error"));
}

static void
put_command(const json_t *o, struct buf *out)
{
	buf_printf(out, " %s %s: %s", json_member(o, "user"), json_member(o, "address"),
		   json_member(o, "statement"));
}

static void
put_state(const json_t *o, struct buf *out)
{
	buf_printf(out, " %s", json_member(o, "state"));
	if (*json_member(o, "error") != '\0')
		buf_printf(out, ": %s", json_member(o, "error"));
}

static void
put_text(const json_t *o, struct buf *out)
{
	const json_t *percent = json_object_get(o, "percent");

	if (json_is_integer(percent) && json_integer_value(percent) >= 0)
		buf_printf(out, " %lld%%", (long long)json_integer_value(percent));
	buf_printf(out, " %s", json_member(o, "text"));
}

static void
put_executor(const json_t *o, struct buf *out)
{
	buf_printf(out, " %s %s", json_member(o, "owner"), json_member(o, "event"));
}

static const struct {
	const char *event;
	void (*put)(const json_t *o, struct buf *out);
} events[] = {
	{ JOURNAL_COMMAND, put_command },
	{ JOURNAL_STATE, put_state },
	{ JOURNAL_STEP, put_step },
	{ JOURNAL_STEP_DONE, put_step_end },
	{ JOURNAL_STEP_FAIL, put_step_error },
	{ JOURNAL_UNDO, put_step },
	{ JOURNAL_NOTICE, put_text },
	{ JOURNAL_PROGRESS, put_text },
	{ JOURNAL_EXECUTOR, put_executor },
};

void
command_event_text(const struct journal_row *row, struct buf *out)
{
	json_t *o = row->detail != NULL ? json_loads(row->detail, 0, NULL) : NULL;
	size_t from = out->n, i;

	buf_str(out, row->event);
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (strcmp(events[i].event, row->event) == 0)
			break;
	if (o != NULL && i < sizeof(events) / sizeof(events[0]))
		events[i].put(o, out);
	else if (row->detail != NULL)
		buf_printf(out, " %s", row->detail);
	/* What separates lines may not stand in one. */
	for (i = from; i < out->n; i++)
		if (out->p[i] == '\n' || out->p[i] == '\r')
			out->p[i] = ' ';
	json_decref(o);
}
