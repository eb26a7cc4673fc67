/* SPDX-License-Identifier: PostgreSQL
 *
 * What is shown of files: the steps' texts for PLAN, and the matrix of files and regions.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/files/names.h"
#include "migration/grammar.h"

/* ---- locks ---- */

static const struct {
	const char *words, *lock;
} locks[] = {
	{ "create index concurrently", "SHARE UPDATE EXCLUSIVE" },
	{ "create unique index concurrently", "SHARE UPDATE EXCLUSIVE" },
	{ "create index", "SHARE" },
	{ "create unique index", "SHARE" },
	{ "drop index concurrently", "SHARE UPDATE EXCLUSIVE" },
	{ "alter table", "ACCESS EXCLUSIVE" },
	{ "alter index", "ACCESS EXCLUSIVE" },
	{ "drop", "ACCESS EXCLUSIVE" },
	{ "truncate", "ACCESS EXCLUSIVE" },
	{ "cluster", "ACCESS EXCLUSIVE" },
	{ "vacuum", "SHARE UPDATE EXCLUSIVE" },
	{ "create trigger", "SHARE ROW EXCLUSIVE" },
	{ "insert", "ROW EXCLUSIVE" },
	{ "update", "ROW EXCLUSIVE" },
	{ "delete", "ROW EXCLUSIVE" },
	{ "merge", "ROW EXCLUSIVE" },
};

static const char *
lock_of(struct slice statement)
{
	struct stmt_tokens t;
	const char *lock = NULL;

	stmt_tokens_read(&t, statement);
	for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]) && lock == NULL; i++)
		if (stmt_words_are(&t, 0, locks[i].words) > 0)
			lock = locks[i].lock;
	stmt_tokens_fini(&t);
	return lock;
}

static void
put_locks(struct job *j, const struct script *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *lock = lock_of(s->v[i].text);

		if (lock != NULL && (out->n == 0 || strstr(buf_text(out), lock) == NULL))
			buf_printf(out, "%s%s", out->n > 0 ? ", " : "", lock);
	}
	if (out->n == 0)
		buf_str(out, "none");
	else
		buf_printf(out, " (lock_timeout %s)", job_option(j, "lock_timeout"));
}

/* ---- PLAN ---- */

static void
describe_file(struct job *j, const struct migration_step *s, struct step_text *out)
{
	struct sqlfile f = { 0 };

	if (!files_look(j, s->label, &f)) {
		buf_str(&out->sql, "-- not in the directory any more");
		return;
	}
	buf_put(&out->sql, f.up.text, f.up.size);
	put_locks(j, &f.up.script, &out->lock);
	buf_printf(&out->estimate, "%zu statement%s, %s", f.up.script.n,
		   f.up.script.n == 1 ? "" : "s",
		   files_mode(j, &f.up.script, 150000) == FILE_TRANSACTION ? "one transaction"
									   : "each by itself");
	if (f.undo.name != NULL)
		buf_put(&out->undo, f.undo.text, f.undo.size);
	else if (f.undo_none)
		buf_str(&out->undo, "-- nothing to take back");
	sqlfile_fini(&f);
}

static const struct {
	const char *step, *sql;
} words[] = {
	{ STEP_STORE, "-- the files, as they are now, into meridian.file" },
	{ STEP_BOOK, "-- schema meridian, with meridian.history, where it is missing" },
	{ STEP_ADOPT, "-- rows in meridian.history for what the other tool has applied" },
};

int
files_describe(struct job *j, const struct migration_step *s, struct step_text *out, struct err *e)
{
	const char *name = s->def->name;

	(void)e;
	if (strcmp(name, STEP_APPLY) == 0 || strcmp(name, STEP_CANARY) == 0) {
		describe_file(j, s, out);
		return 0;
	}
	buf_str(&out->lock, "none");
	buf_str(&out->undo, "-- nothing to take back");
	if (strcmp(name, STEP_HEALTH) == 0) {
		buf_printf(&out->sql, "%s", job_option(j, "canary_check"));
		buf_printf(&out->estimate, "%s", job_option(j, "canary_window"));
		return 0;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(name, words[i].step) == 0)
			buf_str(&out->sql, words[i].sql);
	return 0;
}

/* ---- the matrix ---- */

static void
put_row(const struct file_region *r, const char *file, const struct rows_sink *out)
{
	const struct history_row *row = history_find(&r->history, file);
	char done[16], total[16], ms[16];
	const char *values[] = {
		[0] = file,
		[1] = r->name,
		[2] = r->is_standby   ? "by replication"
		      : r->db == NULL ? "unreachable"
				      : "pending",
		[8] = r->db == NULL && !r->is_standby ? r->why.msg : NULL,
	};

	if (row != NULL) {
		snprintf(done, sizeof(done), "%d", row->done);
		snprintf(total, sizeof(total), "%d", row->total);
		snprintf(ms, sizeof(ms), "%d", row->ms);
		values[2] = row->origin[0] != '\0' ? row->origin : row->state;
		values[3] = done;
		values[4] = total;
		values[5] = row->checksum;
		values[6] = row->at;
		values[7] = ms;
		values[8] = row->error[0] != '\0' ? row->error : NULL;
	}
	out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
}

static void
list_files(struct job *j, const struct file_regions *regions, struct strlist *out)
{
	struct err ignored;
	const struct tree *t = files_tree(j, &ignored);

	for (size_t i = 0; t != NULL && i < t->n; i++)
		strlist_add(out, t->v[i].up.name);
	for (size_t i = 0; i < regions->n && t == NULL; i++)
		for (size_t k = 0; k < regions->v[i].history.n; k++)
			strlist_add(out, regions->v[i].history.v[k].file);
}

int
files_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e)
{
	struct file_regions regions;
	struct strlist files = { 0 };

	if (topic != SHOW_MATRIX)
		return err_set(e, "0A000", "a migration of kind files has none of these");
	regions_ask(j, &regions);
	list_files(j, &regions, &files);
	for (size_t i = 0; i < files.n; i++)
		for (size_t k = 0; k < regions.n; k++)
			put_row(&regions.v[k], files.v[i], out);
	strlist_fini(&files);
	regions_fini(&regions);
	return 0;
}
