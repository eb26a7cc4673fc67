/* SPDX-License-Identifier: PostgreSQL
 *
 * A file in a region, carried out (its own text) or taken back (its undo text): both are one run of
 * a text. As one transaction with the row in meridian.history: exactly once. Or statement by
 * statement, each in a transaction with the row, and those that may not be in one between two marks
 * in the row: after a crash between the marks the catalog is asked what became of the statement.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "migration/db.h"
#include "migration/files/files_int.h"

#define NAMES_SHOWN 20

struct file_run {
	struct job *j;
	PGconn *c;
	const char *file, *region;
	const struct sqltext *text; /* NULL: nothing is to be carried out, only the row ends */
	const struct sqlfile *f;    /* the file that is carried out; NULL: it is taken back */
	struct history_row row;     /* as it was found */
	int64_t began_us;
};

/* A statement of the text; BEGIN and COMMIT around the whole are left out. */
static int
run_statement(struct file_run *r, size_t i, struct err *e)
{
	const struct script_statement *st = &r->text->script.v[i];

	if (files_is_wrapper(&r->text->script, i))
		return 0;
	if (files_run(r->j, r->c, st->text, e) < 0)
		return err_prefix(e, "%s, line %u", r->text->name, st->line);
	return 0;
}

/* ---- the row in meridian.history ---- */

/* 1: the row says that this text has been carried out already; -1 and *e: another text was. */
static int
is_carried_out(const struct file_run *r, struct err *e)
{
	if (!history_is_done(&r->row))
		return 0;
	return strcmp(r->row.checksum, r->text->sum) == 0
		   ? 1
		   : files_changed(&r->row, r->region, r->f, e);
}

/* The row at the end of the text, in the transaction that is open. */
static int
end_row(struct file_run *r, struct err *e)
{
	int ms = (int)((clock_us() - r->began_us) / USEC_PER_MSEC);

	return r->f != NULL ? history_done(r->c, r->file, r->region, ms, e)
			    : history_delete(r->c, r->file, r->region, e);
}

/* So many statements are done and that one (from 1; 0: none) is under way, in the transaction that
 * is open. */
static int
put_mark(struct file_run *r, int done, int running, struct err *e)
{
	return r->f != NULL ? history_progress(r->c, r->file, r->region, done, running, e)
			    : history_undoing(r->c, r->file, r->region, done, running, e);
}

/* The same in a transaction of its own. */
static int
mark(struct file_run *r, int done, int running, struct err *e)
{
	if (files_begin(r->j, r->c, e) < 0)
		return -1;
	return files_end(r->c, put_mark(r, done, running, e), e);
}

/* ---- transactions that are tried again when a lock was not to be had ---- */

typedef int try_fn(struct file_run *r, size_t i, struct err *e);

static int
with_retries(struct file_run *r, size_t i, try_fn *try, struct err *e)
{
	for (int attempt = 0; try(r, i, e) < 0; attempt++) {
		files_roll_back(r->c);
		if (files_again(r->j, attempt, e) < 0)
			return -1;
	}
	return 0;
}

/* The whole text and the end of the row. */
static int
try_all(struct file_run *r, size_t i, struct err *e)
{
	if (files_begin(r->j, r->c, e) < 0)
		return -1;
	if (r->f != NULL) {
		int found;

		history_row_fini(&r->row);
		if (history_begin(r->c, r->f, r->region, job_id(r->j), &r->row, e) < 0)
			return -1;
		found = is_carried_out(r, e);
		if (found != 0)
			return found < 0 ? -1 : db_exec(r->c, e, "COMMIT");
	}
	for (i = 0; r->text != NULL && i < r->text->script.n; i++)
		if (run_statement(r, i, e) < 0)
			return -1;
	if (PQtransactionStatus(r->c) != PQTRANS_INTRANS)
		return err_set(e, "25000", "%s has ended its transaction", r->file);
	if (files_ourselves(r->c, e) < 0 || end_row(r, e) < 0)
		return -1;
	return db_exec(r->c, e, "COMMIT");
}

/* One statement and the mark that it is done. */
static int
try_statement(struct file_run *r, size_t i, struct err *e)
{
	if (db_exec(r->c, e, "BEGIN") < 0 || run_statement(r, i, e) < 0 ||
	    files_ourselves(r->c, e) < 0 || job_check_lease(r->j, r->c, e) < 0 ||
	    put_mark(r, (int)i + 1, 0, e) < 0)
		return -1;
	return db_exec(r->c, e, "COMMIT");
}

/* ---- statements that may be in no transaction ---- */

/* The statement was under way when an executor died. 1: it has been carried out, 0: it has not.
 * Where the catalog cannot tell, one of an undo text is carried out again (undo texts are written
 * so that they can be); one of a file needs the operator's word. */
static int
find_outcome(struct file_run *r, size_t i, struct err *e)
{
	enum outcome outcome;

	if (outcome_ask(r->c, &r->text->script.v[i], &outcome, e) < 0)
		return -1;
	if (outcome != OUTCOME_UNKNOWN)
		return outcome == OUTCOME_DONE;
	if (r->f == NULL || job_is_forced(r->j, FORCE_REPEAT))
		return 0;
	if (job_is_forced(r->j, FORCE_APPLIED))
		return 1;
	err_set(e, SQLSTATE_OUTCOME_UNKNOWN,
		"%s, line %u: whether this statement was carried out in %s cannot be told", r->file,
		r->text->script.v[i].line, r->region);
	return err_hint(e, "Look, then RUN MIGRATION %d … FORCE (%s) or FORCE (%s).", job_id(r->j),
			FORCE_REPEAT, FORCE_APPLIED);
}

static int
between_marks(struct file_run *r, size_t i, struct err *e)
{
	const struct script_statement *st = &r->text->script.v[i];
	enum outcome outcome;
	struct err ignored;

	if (mark(r, (int)i, (int)i + 1, e) < 0)
		return -1;
	for (int attempt = 0; outcome_clean(r->j, r->c, st, e) < 0 || run_statement(r, i, e) < 0;
	     attempt++)
		if (files_again(r->j, attempt, e) < 0) {
			/* The server has said that the statement failed: it was not carried out,
			 * unless the catalog can tell more when the file is taken up again. */
			if (PQstatus(r->c) == CONNECTION_OK && strncmp(e->sqlstate, "57", 2) != 0 &&
			    outcome_ask(r->c, &r->text->script.v[i], &outcome, &ignored) == 0 &&
			    outcome == OUTCOME_UNKNOWN)
				(void)mark(r, (int)i, 0, &ignored);
			return -1;
		}
	return mark(r, (int)i + 1, 0, e);
}

/* ---- statement by statement ---- */

static int
one_statement(struct file_run *r, size_t i, size_t done, struct err *e)
{
	const struct script_statement *st = &r->text->script.v[i];
	bool is_done = i < done;
	struct stmt s;
	int found = 0;

	stmt_read(st->text, &s);
	if (files_is_wrapper(&r->text->script, i) || (is_done && s.what != STMT_SETTING))
		return 0;
	/* A SET holds for all statements behind it, also on the connection of an executor that
	 * takes the file up later. */
	if (s.what == STMT_SETTING) {
		if (run_statement(r, i, e) < 0)
			return -1;
		return is_done ? 0 : mark(r, (int)i + 1, 0, e);
	}
	if (r->row.running == (int)i + 1)
		found = find_outcome(r, i, e);
	if (found < 0)
		return -1;
	if (found > 0) {
		job_notice(r->j, "%s, line %u: found carried out in %s", r->text->name, st->line,
			   r->region);
		return mark(r, (int)i + 1, 0, e);
	}
	return files_is_alone(st, PQserverVersion(r->c)) ? between_marks(r, i, e)
							 : with_retries(r, i, try_statement, e);
}

/* An undo file may have been mended behind what was carried out of it, not in front. */
static int
check_undo_text(const struct file_run *r, size_t done, struct err *e)
{
	const struct script *is = &r->text->script;
	struct sqltext was;
	size_t same = 0;

	if (sqltext_set(&was, r->text->name, slice_str(r->row.undo), e) < 0)
		return -1;
	for (; same < done && same < is->n && same < was.script.n; same++) {
		char x[DIGEST_TEXT], y[DIGEST_TEXT];

		digest_text(was.script.v[same].text, x);
		digest_text(is->v[same].text, y);
		if (strcmp(x, y) != 0)
			break;
	}
	sqltext_fini(&was);
	if (same == done)
		return 0;
	err_set(e, "55000", "%s was changed after its first %zu statements were carried out in %s",
		r->text->name, done, r->region);
	return err_hint(e, "Put statement %zu back as it was.", same + 1);
}

/* The row says from here on what is done. *done: how many statements are done already. 1: all of
 * the text is, 0, or -1 and *e. */
static int
begin_row(struct file_run *r, size_t *done, struct err *e)
{
	int rc;

	if (r->f == NULL && strcmp(r->row.state, HISTORY_UNDOING) == 0) {
		*done = (size_t)r->row.done;
		return check_undo_text(r, *done, e);
	}
	if (files_begin(r->j, r->c, e) < 0)
		return -1;
	if (r->f == NULL) {
		/* The text is kept, so that a later executor can tell whether it is still that one.
		 */
		rc = history_keep_undo(r->c, r->file, r->region, r->text, e);
		r->row.running = 0;
		return files_end(r->c, rc, e);
	}
	rc = history_begin(r->c, r->f, r->region, job_id(r->j), &r->row, e);
	if (files_end(r->c, rc, e) < 0)
		return -1;
	*done = (size_t)r->row.done;
	return is_carried_out(r, e);
}

static int
run_text(struct file_run *r, struct err *e)
{
	int version = PQserverVersion(r->c), rc;
	enum file_mode mode =
	    r->text == NULL ? FILE_TRANSACTION : files_mode(r->j, &r->text->script, version);
	size_t done = 0;

	if (r->text != NULL && files_may_run(&r->text->script, mode, version, e) < 0)
		return err_prefix(e, "%s", r->text->name);
	if (mode == FILE_TRANSACTION)
		return with_retries(r, 0, try_all, e);
	rc = begin_row(r, &done, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	for (size_t i = 0; i < r->text->script.n; i++)
		if (one_statement(r, i, done, e) < 0)
			return -1;
	if (files_begin(r->j, r->c, e) < 0)
		return -1;
	return files_end(r->c, end_row(r, e), e);
}

/* ---- carrying out ---- */

int
apply_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct sqlfile f = { 0 };
	struct file_run r = { .j = j,
			      .text = &f.up,
			      .f = &f,
			      .file = s->label,
			      .region = s->place,
			      .began_us = clock_us() };
	struct history_row row = { 0 };
	struct err ignored;
	int rc = -1;

	if (files_text(j, s, &f, e) < 0) {
		sqlfile_fini(&f);
		return -1;
	}
	job_progress(j, -1, "%s in %s", s->label, s->place);
	if (job_note_undo(j, "{\"begun\": true}", e) == 0)
		r.c = files_connect(j, s->place, e);
	if (r.c != NULL)
		rc = run_text(&r, e);
	/* Why the file stopped, for operators who read meridian.history. */
	if (rc < 0 && PQstatus(r.c) == CONNECTION_OK && strncmp(e->sqlstate, "57", 2) != 0) {
		if (files_begin(j, r.c, &ignored) == 0 &&
		    history_begin(r.c, &f, s->place, job_id(j), &row, &ignored) == 0 &&
		    history_error(r.c, s->label, s->place, e->msg, &ignored) == 0)
			(void)db_exec(r.c, &ignored, "COMMIT");
		files_roll_back(r.c);
		history_row_fini(&row);
	}
	PQfinish(r.c);
	history_row_fini(&r.row);
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

/* ---- taking back ---- */

static bool
is_ours(struct job *j, const struct history_row *row)
{
	return row->mig == job_id(j) && row->origin[0] == '\0';
}

/* The undo file on disk, else as it was kept with the row. 1; 0: there is none, or none is needed
 * (*is_needed). */
static int
undo_text(struct job *j, const struct history_row *row, struct sqltext *out, bool *is_needed,
	  struct err *e)
{
	struct err why = { 0 };
	const struct tree *t = files_tree(j, &why);
	const struct sqlfile *now = t != NULL ? tree_find(t, row->file) : NULL;

	/* Whether anything of it is there to be taken back. */
	*is_needed = (row->done > 0 || row->running > 0 || history_is_done(row) ||
		      strcmp(row->state, HISTORY_UNDOING) == 0) &&
		     !(now != NULL ? now->undo_none : strcmp(row->undo_name, "none") == 0);
	if (!*is_needed)
		return 0;
	if (now != NULL && now->undo.name != NULL)
		return sqltext_set(out, now->undo.name, slice_of(now->undo.text, now->undo.size),
				   e) < 0
			   ? -1
			   : 1;
	if (row->undo_name[0] == '\0')
		return 0;
	return sqltext_set(out, row->undo_name, slice_str(row->undo), e) < 0 ? -1 : 1;
}

int
apply_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct sqltext text = { 0 };
	struct file_run r = { .j = j, .file = s->label, .region = s->place };
	bool is_needed;
	int rc;

	if (c == NULL)
		return -1;
	rc = history_load(c, s->label, s->place, &r.row, e);
	if (rc <= 0)
		return rc;
	job_progress(j, -1, "%s in %s is taken back", s->label, s->place);
	if (!is_ours(j, &r.row)) {
		history_row_fini(&r.row);
		return 0;
	}
	rc = undo_text(j, &r.row, &text, &is_needed, e);
	if (rc != 0 || !is_needed) {
		r.text = rc > 0 ? &text : NULL;
		r.c = rc < 0 ? NULL : files_connect(j, s->place, e);
		rc = r.c == NULL ? -1 : run_text(&r, e);
	} else if (job_is_forced(j, "abort")) {
		job_notice(j, "%s stays in %s: there is nothing that takes it back", s->label,
			   s->place);
	} else {
		rc = err_set(e, "55000", "there is nothing that takes %s back", s->label);
	}
	PQfinish(r.c);
	sqltext_fini(&text);
	history_row_fini(&r.row);
	return rc;
}

/* ---- before anything is taken back ---- */

static int
list_region(struct job *j, const char *region, struct buf *out, unsigned *n, struct err *e)
{
	PGconn *c = job_db(j, region, e);
	struct history h;
	int rc = 0;

	if (c == NULL || history_list(c, region, &h, e) < 0)
		return -1;
	for (size_t i = 0; i < h.n && rc == 0; i++) {
		struct sqltext text = { 0 };
		struct history_row row;
		bool is_needed = false;

		if (h.v[i].mig != job_id(j))
			continue;
		rc = history_load(c, h.v[i].file, region, &row, e);
		if (rc <= 0)
			continue;
		rc = is_ours(j, &row) ? undo_text(j, &row, &text, &is_needed, e) : 0;
		if (rc == 0 && is_needed && (*n)++ < NAMES_SHOWN)
			buf_printf(out, "%s%s in %s", out->n > 0 ? ", " : "", row.file, region);
		rc = rc < 0 ? -1 : 0;
		sqltext_fini(&text);
		history_row_fini(&row);
	}
	history_fini(&h);
	return rc;
}

int
files_may_abort(struct job *j, bool is_forced, struct err *e)
{
	struct strlist regions = { 0 };
	struct buf list = { 0 };
	unsigned n = 0;
	int rc = 0;

	regions_names(j, &regions);
	for (size_t i = 0; i < regions.n && rc == 0; i++)
		if (job_node(j, regions.v[i]) != NULL)
			rc = list_region(j, regions.v[i], &list, &n, e);
	if (rc == 0 && n > 0 && !is_forced) {
		rc = err_set(e, "55000", "%u file%s cannot be taken back", n, n > 1 ? "s" : "");
		err_detail(e, "Without an undo file: %s%s.", buf_text(&list),
			   n > NAMES_SHOWN ? ", …" : "");
		err_hint(e, "Put X.undo.sql beside X.sql, or leave them: ABORT MIGRATION %d FORCE.",
			 job_id(j));
	}
	strlist_fini(&regions);
	buf_fini(&list);
	return rc;
}
