/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/engine.h"
#include "migration/files/diff.h"
#include "migration/files/files_int.h"
#include "migration/grammar.h"

#define DIFF_LINES 40
#define SUM_LINES  8

static void
memory_fini(void *memory)
{
	struct files_memory *m = memory;

	tree_fini(&m->disk);
}

struct files_memory *
files_memory(struct job *j)
{
	return job_memory(j, sizeof(struct files_memory), memory_fini);
}

const struct tree *
files_tree(struct job *j, struct err *e)
{
	struct files_memory *m = files_memory(j);

	if (!m->is_read) {
		m->is_read = true;
		m->is_bad = tree_read(job_spec(j)->directory, &m->disk, &m->why) < 0;
	}
	if (!m->is_bad)
		return &m->disk;
	*e = m->why;
	return NULL;
}

/* The directory is not there at all: another proxy has it. */
static bool
is_elsewhere(const struct err *e)
{
	return strcmp(e->sqlstate, "58P01") == 0;
}

static PGconn *
home(struct job *j, struct err *e)
{
	return job_db(j, job_first_place(j), e);
}

bool
files_are_stored(struct job *j, const struct err *why)
{
	struct err ignored;
	PGconn *c = is_elsewhere(why) ? home(j, &ignored) : NULL;
	int n = 0;

	return c != NULL && stored_count(c, job_id(j), &n, &ignored) == 0 && n > 0;
}

/* ---- what has changed ---- */

static int
show_change(struct slice was_text, struct slice was_sums, const struct sqlfile *now, struct err *e)
{
	struct buf b = { 0 }, lines = { 0 };
	char *sums = history_sums(&now->up);

	diff_sums(&b, was_sums, slice_str(sums), SUM_LINES);
	diff_lines(&lines, was_text, slice_of(now->up.text, now->up.size), DIFF_LINES);
	if (b.n > 0 && lines.n > 0)
		buf_u8(&b, '\n');
	buf_slice(&b, buf_view(&lines));
	err_detail(e, "%s", buf_text(&b));
	buf_fini(&b);
	buf_fini(&lines);
	free(sums);
	return -1;
}

int
files_changed(const struct history_row *row, const char *region, const struct sqlfile *now,
	      struct err *e)
{
	err_set(e, "55000", "%s was changed after it was carried out in %s", row->file, region);
	err_hint(e, "Put %s back as it was, and write what is to change into a new file.",
		 row->file);
	return show_change(slice_str(row->body), slice_str(row->sums), now, e);
}

/* Whether the first n checksums are the same. */
static bool
begins_alike(const char *a, const char *b, int n)
{
	struct slice x = slice_str(a), y = slice_str(b);

	for (int i = 0; i < n; i++) {
		struct slice p = slice_cut(&x, ' '), q = slice_cut(&y, ' ');

		if (p.n != q.n || p.n == 0 || memcmp(p.p, q.p, p.n) != 0)
			return false;
	}
	return true;
}

static int
check_region(struct job *j, const char *region, const struct sqlfile *now, bool *is_begun,
	     struct err *e)
{
	PGconn *c = job_db(j, region, e);
	struct history_row row;
	char *sums;
	int rc, done;

	if (c == NULL)
		return -1;
	rc = history_load(c, now->up.name, region, &row, e);
	if (rc <= 0)
		return rc;
	*is_begun = *is_begun || row.done > 0 || row.running > 0 || history_is_done(&row);
	done = row.running > row.done ? row.running : row.done;
	sums = history_sums(&now->up);
	rc = 0;
	/* What says that some of it has been carried out must say it of the same text. */
	if (strcmp(row.checksum, now->up.sum) != 0 &&
	    (history_is_done(&row) || !begins_alike(row.sums, sums, done)))
		rc = files_changed(&row, region, now, e);
	free(sums);
	history_row_fini(&row);
	return rc;
}

/* ---- which text ---- */

static int
copy_file(const struct sqlfile *from, struct sqlfile *to, struct err *e)
{
	memset(to, 0, sizeof(*to));
	to->undo_none = from->undo_none;
	if (sqltext_set(&to->up, from->up.name, slice_of(from->up.text, from->up.size), e) < 0)
		return -1;
	if (from->undo.name == NULL)
		return 0;
	return sqltext_set(&to->undo, from->undo.name, slice_of(from->undo.text, from->undo.size),
			   e);
}

bool
files_look(struct job *j, const char *name, struct sqlfile *out)
{
	struct err ignored;
	const struct tree *t = files_tree(j, &ignored);
	const struct sqlfile *now = t != NULL ? tree_find(t, name) : NULL;
	PGconn *c;

	if (now != NULL)
		return copy_file(now, out, &ignored) == 0;
	c = home(j, &ignored);
	return c != NULL && stored_load(c, job_id(j), name, out, &ignored) > 0;
}

/* The file on disk beside the one that was kept: the kept one is replaced where that is well. */
static int
settle(struct job *j, const struct migration_step *s, const struct sqlfile *kept,
       const struct sqlfile *now, struct err *e)
{
	PGconn *c;
	struct strlist regions = { 0 };
	bool is_begun = false;
	int rc = 0;

	if (strcmp(kept->up.sum, now->up.sum) == 0)
		return 0;
	/* The file is another one than when the migration began. That is well where it failed and
	 * no region has any of it; the operator may say so too. */
	regions_names(j, &regions);
	for (size_t i = 0; i < regions.n && rc == 0; i++)
		if (job_node(j, regions.v[i]) != NULL)
			rc = check_region(j, regions.v[i], now, &is_begun, e);
	strlist_fini(&regions);
	if (rc < 0)
		return -1;
	if (!is_begun && s->attempt <= 1 && !job_is_forced(j, FORCE_CHANGED)) {
		char *sums = history_sums(&kept->up);

		err_set(e, "55000", "%s was changed after the plan was made", now->up.name);
		err_hint(e, "Carry it out as it is now: RUN MIGRATION %d … FORCE (%s).", job_id(j),
			 FORCE_CHANGED);
		show_change(slice_of(kept->up.text, kept->up.size), slice_str(sums), now, e);
		free(sums);
		return -1;
	}
	job_notice(j, "%s has been changed: it is carried out as it is now", now->up.name);
	c = home(j, e);
	return c == NULL ? -1 : stored_put(c, job_id(j), now, e);
}

int
files_text(struct job *j, const struct migration_step *s, struct sqlfile *out, struct err *e)
{
	struct err why = { 0 };
	const struct tree *t = files_tree(j, &why);
	const struct sqlfile *now = t != NULL ? tree_find(t, s->label) : NULL;
	PGconn *c = home(j, e);
	int rc;

	if (c == NULL)
		return -1;
	if (t == NULL && !is_elsewhere(&why)) {
		*e = why;
		return -1;
	}
	rc = stored_load(c, job_id(j), s->label, out, e);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, "55000", "%s was not there when the migration began", s->label);
	if (now == NULL)
		return 0; /* as it was kept */
	rc = settle(j, s, out, now, e);
	sqlfile_fini(out);
	return rc < 0 ? -1 : copy_file(now, out, e);
}
