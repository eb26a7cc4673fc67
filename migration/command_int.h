/* SPDX-License-Identifier: PostgreSQL
 *
 * The commands, for migration/command*.c: one execution, what all of them do, and the functions of
 * the table in command.c.
 */
#ifndef MIGRATION_COMMAND_INT_H
#define MIGRATION_COMMAND_INT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/command.h"
#include "migration/engine.h"

struct command_run {
	struct migrations *ms;
	const struct migration_request *rq;
	const struct migration_sink *sink;
	struct migration_at at; /* of a command about one migration */
	int64_t found_us;       /* when it was looked for last, after the first time */
};

typedef int command_fn(struct command_run *c, struct err *e);

/* SQL NULL for "". */
static inline const char *
or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

/* One row of the answer: an array of texts, NULL for SQL NULL. */
#define ROW(c, values) \
	(c)->sink->row((c)->sink->arg, (values), sizeof(values) / sizeof((values)[0]))

/* ---- command.c ---- */

/* The row, read again. */
int command_reload(struct command_run *c, struct err *e);
/* The same where its home may be another one; tried for `patience_us` where it cannot be reached.
 */
int command_find_again(struct command_run *c, int64_t patience_us, struct err *e);
int command_result(struct command_run *c, struct err *e);
void command_row(struct command_run *c, const struct migration *m);
void command_put_row(struct command_run *c, const struct migration *m, const char *const *more,
		     size_t nmore);
void command_notice(struct command_run *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* With the lines in `detail`. */
void command_notice_lines(struct command_run *c, const char *msg, struct buf *lines);
bool command_is_cancelled(const struct command_run *c);
int command_journal(struct command_run *c, struct err *e);
/* "(a, b)" as a list; 42601. */
int command_read_list(const char *text, const char *what, struct strlist *out, struct err *e);

/* ---- the verbs ---- */

command_fn command_create, command_check, command_set;
command_fn command_run_phase, command_abort, command_reverse, command_complete, command_retry,
    command_pause, command_ack;
command_fn command_plan, command_show_sql, command_verify;
command_fn command_list, command_show, command_show_steps, command_show_checks, command_show_log,
    command_show_options, command_show_option, command_show_kind, command_show_sessions,
    command_redirects, command_authority, command_executors;
command_fn command_follow;

/* ---- command_show.c ---- */

/* "- 3 client hosts still enter through r1 (SHOW REDIRECTS); it forwards until …" */
void command_put_redirects(struct command_run *c, const struct migration *m, struct buf *out);
/* What COMPLETE means to them, as a NOTICE. */
void command_tell_redirects_end(struct command_run *c);

/* ---- command_words.c ---- */

/* The exact command that comes next, ends with ";"; "" : there is none. */
char *command_next(const struct migration *m);
/* Whether the last order that an executor had was that one ("next", "step", "all", …). */
bool command_was_ordered(const struct migration *m, const char *what);
/* What can be done in this state: a head line, and lines of commands. */
void command_tell_next(struct command_run *c, const struct migration *m);
/* One line of FOLLOW. */
struct journal_row;
void command_event_text(const struct journal_row *row, struct buf *out);

#endif
