/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/migration_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/console_int.h"
#include "proxy/move/migrations.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"

struct state {
	struct migration_call *call;
	bool copying; /* FOLLOW has begun its COPY */
};

/* ---- the request ---- */

static const char *
phase_of(const struct run *r)
{
	static const char *const phases[] = {
		"PREPARE", "DATA", "FINALIZE", "ALL", "NEXT", "STEP"
	};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (run_has(r, phases[i]))
			return phases[i];
	return NULL;
}

/* The value of the one placeholder, of several, that the statement has. */
static const char *
argument_of(const struct run *r, const struct migration_verb_data *d)
{
	static const char *const names[] = { "n", "guard", "tables", "option", "pattern" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (run_arg(r, names[i]) != NULL)
			return run_arg(r, names[i]);
	return d->argument;
}

int
migration_begin(struct run *r)
{
	const struct migration_verb_data *d = r->command->data;
	const char *definition = run_arg(r, "definition");
	const struct migration_request rq = {
		.verb = d->verb,
		.migration = run_arg(r, "migration"),
		.text = definition != NULL ? definition : run_arg(r, "options"),
		.phase = phase_of(r),
		.argument = argument_of(r, d),
		.argument2 = run_arg(r, "text") != NULL ? run_arg(r, "text") : run_arg(r, "state"),
		.deadline = run_arg(r, "time"),
		.force = run_arg(r, "guards"),
		.nowait = run_has(r, "NOWAIT"),
		.is_forced = run_has(r, "FORCE"),
		.user = r->console->user,
		.address = r->console->address,
		.statement = r->statement->text,
	};
	struct state *s;
	struct migration_call *call =
	    call_start(worker_process(r->worker)->migrations, &rq, &r->err);

	if (call == NULL)
		return -1;
	s = xcalloc(1, sizeof(*s));
	s->call = call;
	r->state = s;
	return 0;
}

/* ---- values ---- */

/* Reads a time as PostgreSQL prints a timestamptz in ISO: "2026-11-21 20:57:39.123456+00". */
static bool
read_time(const char *text, int64_t *wall_us)
{
	struct tm tm = { 0 };
	int used = 0, usec = 0, digits = 0, zone_h = 0, zone_m = 0;
	char sign = '+';
	time_t at;

	if (sscanf(text, "%d-%d-%d%*[ T]%d:%d:%d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) < 6)
		return false;
	text += used;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++)
			if (digits++ < 6)
				usec = usec * 10 + (*text - '0');
		for (; digits < 6; digits++)
			usec *= 10;
	}
	(void)sscanf(text, "%c%2d:%2d", &sign, &zone_h, &zone_m);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	at = timegm(&tm);
	at -= (sign == '-' ? -1 : 1) * (zone_h * 3600 + zone_m * 60);
	*wall_us = (int64_t)at * USEC_PER_SEC + usec;
	return true;
}

/* Adds the value that the text spells; NULL where there is no text, or none of this type. */
static void
put_value(struct rows *rows, enum column_type type, const char *text)
{
	struct slice s = slice_str(text);
	bool on = slice_is(s, "t");
	int64_t n;
	double v;

	if (text == NULL)
		row_null(rows);
	else if (type == COLUMN_TEXT)
		row_lines(rows, text);
	else if (type == COLUMN_BOOL && (on || slice_is(s, "f") || text_to_bool(s, &on)))
		row_bool(rows, on);
	else if ((type == COLUMN_INT4 || type == COLUMN_INT8) &&
		 text_to_int(s, INT64_MIN, INT64_MAX, &n))
		row_int(rows, n);
	else if (type == COLUMN_FLOAT8 && text_to_double(s, &v))
		row_float(rows, v);
	else if (type == COLUMN_TIME && read_time(text, &n))
		row_time(rows, n);
	else
		row_null(rows);
}

/* Adds a row with exactly as many values as there are columns, even if the call gave more or fewer.
 */
static void
put_row(struct rows *rows, const struct call_item *item)
{
	row_begin(rows);
	for (uint16_t i = 0; i < rows->heading.n; i++)
		put_value(rows, column_type(&rows->heading.columns[i]),
			  i < item->n ? item->values[i] : NULL);
	row_end(rows);
}

/* ---- the run ---- */

static void
begin_copy(struct run *r, struct state *s)
{
	if (!s->copying)
		run_copy_begin(r);
	s->copying = true;
}

static enum step
finish(struct run *r, struct state *s, bool failed, const struct err *e)
{
	const struct migration_verb_data *d = r->command->data;

	if (failed) {
		r->err = *e;
		return STEP_FAIL;
	}
	if (d->verb == VERB_FOLLOW) {
		begin_copy(r, s);
		run_copy_end(r);
	}
	return STEP_DONE;
}

enum step
migration_row(struct run *r)
{
	struct state *s = r->state;
	struct run_wake *w = run_wake_new(r);
	struct call_item *item;
	bool failed = false;
	struct err e;
	enum call_state state = call_take(s->call, &item, &failed, &e, run_wake_post, w);

	if (state == CALL_WAITS)
		return STEP_WAIT;
	run_wake_free(w);
	if (state == CALL_OVER)
		return finish(r, s, failed, &e);
	switch (item->kind) {
	case CALL_ROW:
		put_row(&r->rows, item);
		break;
	case CALL_NOTICE:
		run_notice(r, item->severity, item->notice);
		break;
	case CALL_LINE:
		begin_copy(r, s);
		run_copy_line(r, item->line);
		break;
	}
	call_item_free(item);
	return r->console->out.n < CONSOLE_FLUSH_BYTES ? STEP_MORE : STEP_YIELD;
}

void
migration_end(struct run *r)
{
	struct state *s = r->state;

	if (s == NULL)
		return;
	run_wake_free(call_drop(s->call));
	free(s);
	r->state = NULL;
}

void
migration_cancel(struct run *r, struct err *e)
{
	const struct migration_verb_data *d = r->command->data;
	const char *m = run_arg(r, "migration");

	if (!d->waits || m == NULL)
		return;
	err_set(e, SQLSTATE_QUERY_CANCELED,
		"detached from migration %.64s; it continues: FOLLOW MIGRATION %.64s; stop it with "
		"PAUSE MIGRATION %.64s or ABORT MIGRATION %.64s",
		m, m, m, m);
}
