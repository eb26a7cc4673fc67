/* SPDX-License-Identifier: PostgreSQL
 *
 * What stands in the way of the files of a migration: in the directory, in the regions, between
 * what was carried out and what the directory says now.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/files/lint.h"
#include "migration/files/names.h"
#include "migration/grammar.h"

#define NAMES_SHOWN 10

/* Names for one row, of which there may be many. */
struct name_list {
	struct buf text;
	unsigned n;
};

static void
name_add(struct name_list *l, const char *name)
{
	if (l->n++ < NAMES_SHOWN)
		buf_printf(&l->text, "%s%s", l->text.n > 0 ? ", " : "", name);
	else if (l->n == NAMES_SHOWN + 1)
		buf_str(&l->text, ", …");
}

static void
names_say(struct checks *out, enum check_severity severity, const char *check, struct name_list *l,
	  const char *what, const char *fix)
{
	char object[48];
	struct buf detail = { 0 };

	if (l->n > 0) {
		snprintf(object, sizeof(object), "%u file%s", l->n, l->n > 1 ? "s" : "");
		buf_printf(&detail, "%s: %s", what, buf_text(&l->text));
		checks_add(out, severity, check, object, buf_text(&detail), fix);
	}
	buf_fini(&detail);
	buf_fini(&l->text);
}

static void
say_err(struct checks *out, const char *check, const char *object, const struct err *e)
{
	struct buf detail = { 0 };

	buf_str(&detail, e->msg);
	if (e->detail[0] != '\0')
		buf_printf(&detail, "\n%s", e->detail);
	checks_add(out, CHECK_ERROR, check, object, buf_text(&detail), e->hint);
	buf_fini(&detail);
}

/* ---- the directory ---- */

static void
check_texts(struct job *j, const struct tree *t, const struct file_regions *regions,
	    struct checks *out)
{
	struct name_list no_undo = { 0 }, empty = { 0 };
	int version = 150000;

	for (size_t i = 0; i < regions->n; i++)
		if (regions->v[i].db != NULL && regions->v[i].version < version)
			version = regions->v[i].version;
	for (size_t i = 0; i < t->n; i++) {
		const struct sqlfile *f = &t->v[i];
		struct err e = { 0 };

		if (files_may_run(&f->up.script, files_mode(j, &f->up.script, version), version,
				  &e) < 0)
			say_err(out, "cannot_run", f->up.name, &e);
		if (f->undo.name != NULL &&
		    files_may_run(&f->undo.script, files_mode(j, &f->undo.script, version), version,
				  &e) < 0)
			say_err(out, "cannot_run", f->undo.name, &e);
		if (f->undo.name == NULL && !f->undo_none)
			name_add(&no_undo, f->up.name);
		if (f->up.script.n == 0)
			name_add(&empty, f->up.name);
	}
	names_say(out, CHECK_WARN, "no_undo", &no_undo,
		  "ABORT is refused once one of these has been carried out",
		  "X.undo.sql beside X.sql, or -- meridian: undo none");
	names_say(out, CHECK_WARN, "empty", &empty, "no statement in it", "");
}

/* ---- regions ---- */

/* Two regions that are one database would get each file twice. */
static void
check_same_database(struct file_regions *regions, struct checks *out)
{
	char *ids[64] = { 0 };
	size_t n = regions->n < 64 ? regions->n : 64;

	for (size_t i = 0; i < n; i++) {
		struct err ignored;

		if (!region_takes_files(&regions->v[i]) ||
		    db_value(regions->v[i].db, &ids[i], &ignored,
			     "SELECT system_identifier || ' ' || "
			     "pg_catalog.pg_postmaster_start_time() || ' ' || "
			     "pg_catalog.current_database() FROM pg_catalog.pg_control_system()",
			     0, NULL) <= 0)
			continue;
		for (size_t k = 0; k < i; k++)
			if (ids[k] != NULL && strcmp(ids[i], ids[k]) == 0)
				checks_add(out, CHECK_ERROR, "same_database", regions->v[i].name,
					   regions->v[k].name, "Name one of the two regions.");
	}
	for (size_t i = 0; i < n; i++)
		free(ids[i]);
}

static void
check_links(const struct file_regions *regions, struct checks *out)
{
	for (size_t i = 0; i < regions->n; i++) {
		const struct file_region *r = &regions->v[i];

		for (size_t k = 0; k < r->publishers.n; k++)
			checks_add(out, CHECK_INFO, "linked", r->name, r->publishers.v[k],
				   "It receives logical replication: what adds goes there first, "
				   "what takes away goes there last, file by file.");
		for (size_t k = 0; k < regions->n && r->is_canary; k++)
			if (r->publishers.n > 0 ||
			    (k != i && regions->v[k].publishers.n > 0 &&
			     strcmp(regions->v[k].publishers.v[0], r->name) == 0)) {
				checks_add(out, CHECK_ERROR, "canary_linked", r->name,
					   "it replicates with another region: they cannot have "
					   "different schemas for long",
					   "Leave CANARY out, or choose another region.");
				break;
			}
	}
}

static void
check_regions(struct job *j, struct file_regions *regions, struct checks *out)
{
	static const char may_create[] = "SELECT pg_catalog.has_database_privilege("
					 "pg_catalog.current_database(), 'CREATE')";
	bool all = job_spec(j)->all_regions;
	unsigned takers = 0;

	for (size_t i = 0; i < regions->n; i++) {
		struct file_region *r = &regions->v[i];
		struct err e = { 0 };
		bool may = false;

		takers += region_takes_files(r);
		if (r->db == NULL && !r->is_standby)
			say_err(out, "unreachable", r->name, &r->why);
		else if (r->is_standby)
			checks_add(out, all ? CHECK_INFO : CHECK_ERROR, "standby", r->name,
				   "it has no node that takes writes",
				   all ? "It gets the files by replication."
				       : "Leave it out: it gets the files by replication.");
		else if (db_is(r->db, &may, &e, may_create, 0, NULL) < 0)
			say_err(out, "rights", r->name, &e);
		else if (!may)
			checks_add(out, CHECK_ERROR, "rights", r->name,
				   "the role of migration_conninfo may not CREATE in the database",
				   "GRANT CREATE ON DATABASE … TO …");
	}
	if (takers == 0)
		checks_add(out, CHECK_ERROR, "no_region", "", "no region takes the files", "");
	check_same_database(regions, out);
	check_links(regions, out);
}

/* ---- what was carried out, and what is in the directory ---- */

static void
check_changed(struct file_region *r, const struct history_row *row, const struct sqlfile *f,
	      struct checks *out)
{
	struct history_row whole;
	struct err e = { 0 };
	char object[320];

	if (strcmp(row->checksum, f->up.sum) == 0 || !history_is_done(row))
		return;
	snprintf(object, sizeof(object), "%s in %s", row->file, r->name);
	if (history_load(r->db, row->file, r->name, &whole, &e) <= 0)
		return;
	files_changed(&whole, r->name, f, &e);
	say_err(out, "changed_file", object, &e);
	history_row_fini(&whole);
}

static void
check_interrupted(struct job *j, const struct file_region *r, const struct history_row *row,
		  struct checks *out)
{
	char object[320], detail[96];

	if (history_is_done(row) || row->mig == job_id(j) || strcmp(row->state, HISTORY_ERROR) == 0)
		return;
	snprintf(object, sizeof(object), "%s in %s", row->file, r->name);
	snprintf(detail, sizeof(detail), "migration %d is at it (%s, %d of %d statements)",
		 row->mig, row->state, row->done, row->total);
	checks_add(out, CHECK_ERROR, "interrupted", object, detail,
		   "Let that one end, or abort it.");
}

static void
check_history(struct job *j, struct file_region *r, const struct tree *t, struct checks *out)
{
	struct name_list missing = { 0 }, late = { 0 };
	const char *last = NULL;
	char what[200];

	/* The last file in order that others have carried out, for what comes too late. */
	for (size_t i = 0; i < r->history.n; i++)
		if (!files_is_pending(j, r, r->history.v[i].file) &&
		    (last == NULL || names_compare(r->history.v[i].file, last) > 0))
			last = r->history.v[i].file;
	for (size_t i = 0; i < r->history.n; i++) {
		const struct history_row *row = &r->history.v[i];
		const struct sqlfile *f = tree_find(t, row->file);

		check_interrupted(j, r, row, out);
		if (f == NULL)
			name_add(&missing, row->file);
		else
			check_changed(r, row, f, out);
	}
	for (size_t i = 0; i < t->n && last != NULL; i++)
		if (files_is_pending(j, r, t->v[i].up.name) &&
		    names_compare(t->v[i].up.name, last) < 0)
			name_add(&late, t->v[i].up.name);
	snprintf(what, sizeof(what), "carried out in %s, and not in the directory", r->name);
	names_say(out, CHECK_WARN, "missing_file", &missing, what, "Put it back.");
	snprintf(what, sizeof(what), "%s has %.100s already, which comes later", r->name,
		 last != NULL ? last : "");
	names_say(out, CHECK_ERROR, "out_of_order", &late, what,
		  "Give it a later number, or FORCE (out_of_order).");
}

static void
check_pending(struct job *j, const struct tree *t, const struct file_regions *regions,
	      struct checks *out)
{
	size_t n = 0;

	for (size_t i = 0; i < regions->n; i++)
		for (size_t k = 0; k < t->n && region_takes_files(&regions->v[i]); k++)
			n += files_is_pending(j, &regions->v[i], t->v[k].up.name);
	if (n == 0)
		checks_add(out, CHECK_INFO, "nothing_to_do", job_spec(j)->directory,
			   "every region has every file", "");
}

static void
check_ways(const struct tree *t, const struct file_regions *regions, struct checks *out)
{
	for (size_t i = 0; i < t->n && regions_are_linked(regions); i++) {
		unsigned way = 0;

		for (size_t k = 0; k < t->v[i].up.script.n; k++)
			way |= lint_way(t->v[i].up.script.v[k].text);
		if (way == (LINT_ADDS | LINT_TAKES))
			checks_add(out, CHECK_ERROR, "mixed_direction", t->v[i].up.name,
				   "it adds and takes away, and regions replicate to each other: "
				   "no order is right",
				   "Make two files of it.");
	}
}

static void
check_adopt(struct job *j, const struct tree *t, const struct file_regions *regions,
	    struct checks *out)
{
	const char *tool = job_option(j, "adopt");

	if (strcmp(tool, "none") == 0)
		return;
	for (size_t i = 0; i < regions->n; i++) {
		struct strlist files = { 0 };
		struct err e = { 0 };
		char detail[96];

		if (!region_takes_files(&regions->v[i]))
			continue;
		if (adopt_list(regions->v[i].db, tool, t, &files, &e) < 0) {
			say_err(out, "adopt", regions->v[i].name, &e);
		} else {
			snprintf(detail, sizeof(detail), "%zu files are applied, says %s", files.n,
				 tool);
			checks_add(out, CHECK_INFO, "adopt", regions->v[i].name, detail, "");
		}
		strlist_fini(&files);
	}
}

int
files_check(struct job *j, enum migration_phase before, struct checks *out, struct err *e)
{
	struct file_regions regions;
	struct err why = { 0 };
	const struct tree *t = files_tree(j, &why);

	(void)e;
	regions_ask(j, &regions);
	check_regions(j, &regions, out);
	if (t == NULL && files_are_stored(j, &why)) {
		checks_add(
		    out, CHECK_INFO, "files", job_spec(j)->directory,
		    "it is not on this host: the files are those of the plan, in meridian.file",
		    "");
	} else if (t == NULL) {
		say_err(out, "files", job_spec(j)->directory, &why);
	} else {
		if (t->n == 0)
			checks_add(out, CHECK_ERROR, "no_files", job_spec(j)->directory,
				   "there is no file X.sql in it", "");
		for (size_t i = 1; i < t->n; i++) {
			const char *a = t->v[i - 1].up.name, *b = t->v[i].up.name;
			struct slice v = names_version(a);

			if (v.n > 0 && names_same_version(v, names_version(b)))
				checks_add(out, CHECK_ERROR, "same_version", b, a,
					   "Give one of them another number.");
		}
		check_texts(j, t, &regions, out);
		for (size_t i = 0; i < regions.n; i++)
			if (region_takes_files(&regions.v[i]))
				check_history(j, &regions.v[i], t, out);
		check_pending(j, t, &regions, out);
		check_ways(t, &regions, out);
		check_adopt(j, t, &regions, out);
		/* In front of the first phase; what is changed later is refused as changed. */
		if (before == PHASE_PREPARE)
			files_lint(j, t, &regions, out);
	}
	regions_fini(&regions);
	return 0;
}
