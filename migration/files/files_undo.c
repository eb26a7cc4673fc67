/* SPDX-License-Identifier: PostgreSQL
 *
 * A file taken back in a region by its undo file, as it was carried out: in one transaction with
 * the end of its row in meridian.history, or statement by statement.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "migration/db.h"
#include "migration/files/files_int.h"

#define NAMES_SHOWN 20

struct undoing {
	struct job *j;
	PGconn *c;
	const struct sqltext *text;
	const char *file, *region;
	const struct history_row *row;
};

static int
run_statement(struct undoing *u, size_t i, struct err *e)
{
	const struct script_statement *st = &u->text->script.v[i];

	if (files_is_wrapper(&u->text->script, i))
		return 0;
	if (files_run(u->j, u->c, st->text, e) < 0)
		return err_prefix(e, "%s, line %u", u->text->name, st->line);
	return 0;
}

static int
try_transaction(struct undoing *u, struct err *e)
{
	if (files_begin(u->j, u->c, e) < 0)
		return -1;
	for (size_t i = 0; u->text != NULL && i < u->text->script.n; i++)
		if (run_statement(u, i, e) < 0)
			return -1;
	if (files_ourselves(u->c, e) < 0 || history_delete(u->c, u->file, u->region, e) < 0)
		return -1;
	return db_exec(u->c, e, "COMMIT");
}

static int
as_transaction(struct undoing *u, struct err *e)
{
	for (int attempt = 0; try_transaction(u, e) < 0; attempt++) {
		if (files_try_again(u->j, u->c, attempt, e) < 0)
			return -1;
	}
	return 0;
}

static int
mark(struct undoing *u, int done, int running, struct err *e)
{
	if (files_begin(u->j, u->c, e) < 0)
		return -1;
	return files_end(u->c, history_undoing(u->c, u->file, u->region, done, running, e), e);
}

/* One that was begun is asked about; one of which nobody can tell is carried out again: what takes
 * back is written so that it can be. */
static int
one_statement(struct undoing *u, size_t i, bool was_running, struct err *e)
{
	const struct script_statement *st = &u->text->script.v[i];
	enum post_answer answer = POST_NO;

	if (was_running && post_ask(u->c, st, &answer, e) < 0)
		return -1;
	if (answer == POST_YES)
		return mark(u, (int)i + 1, 0, e);
	if (mark(u, (int)i, (int)i + 1, e) < 0)
		return -1;
	for (int attempt = 0;; attempt++) {
		if (post_clean(u->j, u->c, st, e) == 0 && run_statement(u, i, e) == 0)
			break;
		if (files_again(u->j, attempt, e) < 0)
			return -1;
	}
	return mark(u, (int)i + 1, 0, e);
}

/* The text that is begun, so that who takes it up can tell whether it is that one. */
static int
keep_text(struct undoing *u, struct err *e)
{
	if (files_begin(u->j, u->c, e) < 0)
		return -1;
	return files_end(u->c, history_keep_undo(u->c, u->file, u->region, u->text, e), e);
}

static bool
is_same_statement(const struct script *a, const struct script *b, size_t i)
{
	char x[DIGEST_TEXT], y[DIGEST_TEXT];

	if (i >= a->n || i >= b->n)
		return false;
	digest_text(a->v[i].text, x);
	digest_text(b->v[i].text, y);
	return strcmp(x, y) == 0;
}

/* The file may have been mended behind what was carried out of it, not in front. */
static int
check_begun(struct undoing *u, size_t done, struct err *e)
{
	struct sqltext was;
	size_t same = 0;

	if (sqltext_set(&was, u->text->name, slice_str(u->row->undo), e) < 0)
		return -1;
	while (same < done && is_same_statement(&was.script, &u->text->script, same))
		same++;
	sqltext_fini(&was);
	if (same == done)
		return 0;
	err_set(e, "55000", "%s was changed after its first %zu statements were carried out in %s",
		u->text->name, done, u->region);
	return err_hint(e, "Put statement %zu back as it was.", same + 1);
}

/* What is set holds for all behind it, also for who takes it up later, on another connection. */
static int
set_again(struct undoing *u, size_t done, struct err *e)
{
	for (size_t i = 0; i < done && i < u->text->script.n; i++) {
		struct stmt s;

		stmt_read(u->text->script.v[i].text, &s);
		if (s.what == STMT_SETTING && run_statement(u, i, e) < 0)
			return -1;
	}
	return 0;
}

static int
by_statement(struct undoing *u, struct err *e)
{
	bool is_again = strcmp(u->row->state, HISTORY_UNDOING) == 0;
	size_t done = is_again ? (size_t)u->row->done : 0;
	struct undoing end = *u;

	if (is_again ? check_begun(u, done, e) < 0 || set_again(u, done, e) < 0
		     : keep_text(u, e) < 0)
		return -1;
	for (size_t i = done; i < u->text->script.n; i++)
		if (one_statement(u, i, is_again && u->row->running == (int)i + 1, e) < 0)
			return -1;
	end.text = NULL;
	return as_transaction(&end, e);
}

static int
take_back(struct undoing *u, struct err *e)
{
	int version = PQserverVersion(u->c);
	enum file_mode mode =
	    u->text == NULL ? FILE_TRANSACTION : files_mode(u->j, &u->text->script, version);

	if (u->text != NULL && files_may_run(&u->text->script, mode, version, e) < 0)
		return err_prefix(e, "%s", u->text->name);
	return mode == FILE_TRANSACTION ? as_transaction(u, e) : by_statement(u, e);
}

/* ---- which text ---- */

/* Whether anything of it is there to be taken back. */
static bool
has_effect(const struct history_row *row)
{
	return row->done > 0 || row->running > 0 || history_is_done(row) ||
	       strcmp(row->state, HISTORY_UNDOING) == 0;
}

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

	*is_needed = has_effect(row) &&
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

static int
undo_row(struct job *j, const struct migration_step *s, const struct history_row *row,
	 struct err *e)
{
	struct sqltext text = { 0 };
	struct undoing u = { .j = j, .file = s->label, .region = s->place, .row = row };
	bool is_needed;
	int rc = undo_text(j, row, &text, &is_needed, e);

	if (rc == 0 && is_needed && job_is_forced(j, "abort")) {
		job_notice(j, "%s stays in %s: there is nothing that takes it back", s->label,
			   s->place);
		return 0;
	}
	if (rc == 0 && is_needed)
		rc = err_set(e, "55000", "there is nothing that takes %s back", s->label);
	if (rc < 0)
		return -1;
	u.text = rc > 0 ? &text : NULL;
	u.c = files_connect(j, s->place, e);
	rc = u.c == NULL ? -1 : take_back(&u, e);
	PQfinish(u.c);
	sqltext_fini(&text);
	return rc;
}

int
apply_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	struct history_row row;
	int rc;

	if (c == NULL)
		return -1;
	rc = history_load(c, s->label, s->place, &row, e);
	if (rc <= 0)
		return rc;
	job_progress(j, -1, "%s in %s is taken back", s->label, s->place);
	rc = is_ours(j, &row) ? undo_row(j, s, &row, e) : 0;
	history_row_fini(&row);
	return rc;
}

/* ---- before anything is taken back ---- */

static int
lacks_undo(struct job *j, PGconn *c, const char *file, const char *region, bool *lacks,
	   struct err *e)
{
	struct history_row row;
	struct sqltext text = { 0 };
	bool is_needed = false;
	int rc = history_load(c, file, region, &row, e);

	if (rc <= 0)
		return rc;
	rc = is_ours(j, &row) ? undo_text(j, &row, &text, &is_needed, e) : 0;
	*lacks = rc == 0 && is_needed;
	sqltext_fini(&text);
	history_row_fini(&row);
	return rc < 0 ? -1 : 0;
}

static int
list_region(struct job *j, const char *region, struct buf *out, unsigned *n, struct err *e)
{
	PGconn *c = job_db(j, region, e);
	struct history h;
	int rc = 0;

	if (c == NULL || history_list(c, region, &h, e) < 0)
		return -1;
	for (size_t i = 0; i < h.n && rc == 0; i++) {
		bool lacks = false;

		if (h.v[i].mig == job_id(j))
			rc = lacks_undo(j, c, h.v[i].file, region, &lacks, e);
		if (lacks && (*n)++ < NAMES_SHOWN)
			buf_printf(out, "%s%s in %s", out->n > 0 ? ", " : "", h.v[i].file, region);
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
