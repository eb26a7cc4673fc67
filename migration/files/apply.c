/* SPDX-License-Identifier: PostgreSQL
 *
 * A file in a region, carried out. As one transaction with its row in meridian.history: exactly
 * once. Or statement by statement, each in a transaction with the row, and those that may not be in
 * one between two marks: after a crash in between a question to the catalog tells what became of
 * it.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/files/files_int.h"

struct applying {
	struct job *j;
	const struct migration_step *s;
	PGconn *c;
	const struct sqlfile *f;
	const char *file, *region;
	struct history_row row; /* as it was found */
	int64_t began_us;
};

static int
elapsed_ms(const struct applying *a)
{
	return (int)((clock_us() - a->began_us) / USEC_PER_MSEC);
}

static int
run_statement(struct applying *a, size_t i, struct err *e)
{
	const struct script_statement *st = &a->f->up.script.v[i];

	if (files_run(a->j, a->c, st->text, e) < 0)
		return err_prefix(e, "%s, line %u", a->file, st->line);
	return 0;
}

/* ---- one transaction ---- */

static int
run_all(struct applying *a, struct err *e)
{
	const struct script *script = &a->f->up.script;

	for (size_t i = 0; i < script->n; i++)
		if (!files_is_wrapper(script, i) && run_statement(a, i, e) < 0)
			return -1;
	if (PQtransactionStatus(a->c) != PQTRANS_INTRANS)
		return err_set(e, "25000", "%s has ended its transaction", a->file);
	return 0;
}

static int
try_transaction(struct applying *a, struct err *e)
{
	if (files_begin(a->j, a->c, e) < 0)
		return -1;
	history_row_fini(&a->row);
	if (history_begin(a->c, a->f, a->region, job_id(a->j), &a->row, e) < 0)
		return -1;
	if (history_is_done(&a->row))
		return strcmp(a->row.checksum, a->f->up.sum) == 0
			   ? db_exec(a->c, e, "COMMIT")
			   : files_changed(&a->row, a->region, a->f, e);
	if (run_all(a, e) < 0)
		return -1;
	if (files_ourselves(a->c, e) < 0 ||
	    history_done(a->c, a->file, a->region, elapsed_ms(a), e) < 0)
		return -1;
	return db_exec(a->c, e, "COMMIT");
}

static int
as_transaction(struct applying *a, struct err *e)
{
	for (int attempt = 0; try_transaction(a, e) < 0; attempt++) {
		if (files_try_again(a->j, a->c, attempt, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- statement by statement ---- */

/* A change of the row, in a transaction of its own. */
static int
mark(struct applying *a, int done, int running, struct err *e)
{
	if (files_begin(a->j, a->c, e) < 0)
		return -1;
	return files_end(a->c, history_progress(a->c, a->file, a->region, done, running, e), e);
}

static int
try_with_mark(struct applying *a, size_t i, struct err *e)
{
	if (db_exec(a->c, e, "BEGIN") < 0 || run_statement(a, i, e) < 0)
		return -1;
	if (files_ourselves(a->c, e) < 0 || job_check_lease(a->j, a->c, e) < 0 ||
	    history_progress(a->c, a->file, a->region, (int)i + 1, 0, e) < 0)
		return -1;
	return db_exec(a->c, e, "COMMIT");
}

static int
with_mark(struct applying *a, size_t i, struct err *e)
{
	for (int attempt = 0; try_with_mark(a, i, e) < 0; attempt++) {
		if (files_try_again(a->j, a->c, attempt, e) < 0)
			return -1;
	}
	return 0;
}

/* It was under way when somebody died: 1: it has been carried out, 0: it has not. */
static int
find_out(struct applying *a, size_t i, struct err *e)
{
	enum post_answer answer;

	if (post_ask(a->c, &a->f->up.script.v[i], &answer, e) < 0)
		return -1;
	if (answer != POST_CANNOT_TELL)
		return answer == POST_YES;
	if (job_is_forced(a->j, FORCE_APPLIED))
		return 1;
	if (job_is_forced(a->j, FORCE_REPEAT))
		return 0;
	err_set(e, SQLSTATE_OUTCOME_UNKNOWN,
		"%s, line %u: whether this statement was carried out in %s cannot be told", a->file,
		a->f->up.script.v[i].line, a->region);
	return err_hint(e, "Look, then RUN MIGRATION %d … FORCE (%s) or FORCE (%s).", job_id(a->j),
			FORCE_REPEAT, FORCE_APPLIED);
}

static int
run_alone(struct applying *a, size_t i, struct err *e)
{
	const struct script_statement *st = &a->f->up.script.v[i];

	for (int attempt = 0;; attempt++) {
		if (post_clean(a->j, a->c, st, e) == 0 && run_statement(a, i, e) == 0)
			return 0;
		if (files_again(a->j, attempt, e) < 0)
			return -1;
	}
}

/* The server has said that it failed: it was not carried out, unless a question can tell more. */
static void
take_back_mark(struct applying *a, size_t i, const struct err *e)
{
	enum post_answer answer;
	struct err ignored;

	if (PQstatus(a->c) == CONNECTION_OK && strncmp(e->sqlstate, "57", 2) != 0 &&
	    post_ask(a->c, &a->f->up.script.v[i], &answer, &ignored) == 0 &&
	    answer == POST_CANNOT_TELL)
		(void)mark(a, (int)i, 0, &ignored);
}

static int
between_marks(struct applying *a, size_t i, struct err *e)
{
	int n = (int)i + 1, found = 0;

	if (a->row.running == n)
		found = find_out(a, i, e);
	if (found < 0)
		return -1;
	if (found > 0) {
		job_notice(a->j, "%s, line %u: found carried out in %s", a->file,
			   a->f->up.script.v[i].line, a->region);
		return mark(a, n, 0, e);
	}
	if (mark(a, (int)i, n, e) < 0)
		return -1;
	if (run_alone(a, i, e) < 0) {
		take_back_mark(a, i, e);
		return -1;
	}
	return mark(a, n, 0, e);
}

static int
one_statement(struct applying *a, size_t i, struct err *e)
{
	const struct script_statement *st = &a->f->up.script.v[i];
	bool is_done = (int)i < a->row.done;
	struct stmt s;

	stmt_read(st->text, &s);
	if (files_is_wrapper(&a->f->up.script, i) || (is_done && s.what != STMT_SETTING))
		return 0;
	/* What is set holds for all behind it, also for who takes the file up later. */
	if (s.what == STMT_SETTING) {
		if (run_statement(a, i, e) < 0)
			return -1;
		return is_done ? 0 : mark(a, (int)i + 1, 0, e);
	}
	if (st->is_alone || s.what == STMT_ALONE ||
	    (s.alone_before > 0 && PQserverVersion(a->c) < (int)s.alone_before))
		return between_marks(a, i, e);
	return with_mark(a, i, e);
}

static int
begin_row(struct applying *a, struct err *e)
{
	if (files_begin(a->j, a->c, e) < 0)
		return -1;
	return files_end(a->c, history_begin(a->c, a->f, a->region, job_id(a->j), &a->row, e), e);
}

static int
by_statement(struct applying *a, struct err *e)
{
	if (begin_row(a, e) < 0)
		return -1;
	if (history_is_done(&a->row))
		return strcmp(a->row.checksum, a->f->up.sum) == 0
			   ? 0
			   : files_changed(&a->row, a->region, a->f, e);
	for (size_t i = 0; i < a->f->up.script.n; i++)
		if (one_statement(a, i, e) < 0)
			return -1;
	if (files_begin(a->j, a->c, e) < 0)
		return -1;
	return files_end(a->c, history_done(a->c, a->file, a->region, elapsed_ms(a), e), e);
}

/* ---- the step ---- */

/* Why it stopped, for who looks into meridian.history. */
static void
keep_error(struct applying *a, const struct err *why)
{
	struct history_row row = { 0 };
	struct err ignored;

	if (PQstatus(a->c) != CONNECTION_OK || strncmp(why->sqlstate, "57", 2) == 0)
		return;
	if (files_begin(a->j, a->c, &ignored) == 0 &&
	    history_begin(a->c, a->f, a->region, job_id(a->j), &row, &ignored) == 0 &&
	    history_error(a->c, a->file, a->region, why->msg, &ignored) == 0)
		(void)db_exec(a->c, &ignored, "COMMIT");
	files_roll_back(a->c);
	history_row_fini(&row);
}

static int
apply(struct applying *a, struct err *e)
{
	int version = PQserverVersion(a->c);
	enum file_mode mode = files_mode(a->j, &a->f->up.script, version);
	int rc;

	if (files_may_run(&a->f->up.script, mode, version, e) < 0)
		return err_prefix(e, "%s", a->file);
	rc = mode == FILE_TRANSACTION ? as_transaction(a, e) : by_statement(a, e);
	if (rc < 0)
		keep_error(a, e);
	return rc;
}

int
apply_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct sqlfile f = { 0 };
	struct applying a = {
		.j = j,
		.s = s,
		.f = &f,
		.file = s->label,
		.region = s->place,
		.began_us = clock_us(),
	};
	int rc = -1;

	if (files_text(j, s, &f, e) < 0) {
		sqlfile_fini(&f);
		return -1;
	}
	job_progress(j, -1, "%s in %s", s->label, s->place);
	if (job_note_undo(j, "{\"begun\": true}", e) == 0)
		a.c = files_connect(j, s->place, e);
	if (a.c != NULL)
		rc = apply(&a, e);
	PQfinish(a.c);
	history_row_fini(&a.row);
	sqlfile_fini(&f);
	return rc;
}

int
apply_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct err why = { 0 };
	const struct tree *t = files_tree(j, &why);
	const struct sqlfile *now = t != NULL ? tree_find(t, s->label) : NULL;
	struct history_row row;
	int rc;

	*is_done = false;
	if (c == NULL)
		return -1;
	rc = history_load(c, s->label, s->place, &row, e);
	if (rc <= 0)
		return rc;
	*is_done = history_is_done(&row);
	if (*is_done && now != NULL && strcmp(row.checksum, now->up.sum) != 0)
		rc = files_changed(&row, s->place, now, e);
	history_row_fini(&row);
	return rc < 0 ? -1 : 0;
}
