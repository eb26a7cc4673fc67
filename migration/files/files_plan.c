/* SPDX-License-Identifier: PostgreSQL
 *
 * The kind `files`: its steps, in order, and what is shown of them.
 *
 *   prepare   store (the files as they are, in the home), history (the table in each region), adopt
 *   data      the canary's files, then its window
 *   finalize  the files of all other regions
 *
 * Where regions replicate to each other a file goes to all of them before the next one begins, in
 * the order that its statements ask for.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/engine.h"
#include "migration/files/files_int.h"
#include "migration/files/lint.h"
#include "migration/grammar.h"
#include "migration/store.h"

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
	for (size_t i = 0; i < f.up.script.n; i++) {
		const char *lock = NULL;
		struct stmt_tokens t;

		stmt_tokens_read(&t, f.up.script.v[i].text);
		for (size_t k = 0; k < sizeof(locks) / sizeof(locks[0]) && lock == NULL; k++)
			if (stmt_words_are(&t, 0, locks[k].words) > 0)
				lock = locks[k].lock;
		stmt_tokens_fini(&t);
		if (lock != NULL &&
		    (out->lock.n == 0 || strstr(buf_text(&out->lock), lock) == NULL))
			buf_printf(&out->lock, "%s%s", out->lock.n > 0 ? ", " : "", lock);
	}
	if (out->lock.n == 0)
		buf_str(&out->lock, "none");
	else
		buf_printf(&out->lock, " (lock_timeout %s)", job_option(j, "lock_timeout"));
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
	{ STEP_HISTORY, "-- schema meridian, with meridian.history, where it is missing" },
	{ STEP_ADOPT, "-- rows in meridian.history for what the other tool has applied" },
};

static int
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
	if (strcmp(name, STEP_CANARY_WINDOW) == 0) {
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

static int
files_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e)
{
	struct file_regions regions;
	struct strlist files = { 0 };
	struct err ignored;
	const struct tree *t;

	if (topic != SHOW_MATRIX)
		return err_set(e, "0A000", "a migration of kind files has none of these");
	regions_ask(j, &regions);
	t = files_tree(j, &ignored);
	for (size_t i = 0; t != NULL && i < t->n; i++)
		strlist_add(&files, t->v[i].up.name);
	for (size_t i = 0; i < regions.n && t == NULL; i++)
		for (size_t k = 0; k < regions.v[i].history.n; k++)
			strlist_add(&files, regions.v[i].history.v[k].file);
	for (size_t i = 0; i < files.n; i++)
		for (size_t k = 0; k < regions.n; k++)
			put_row(&regions.v[k], files.v[i], out);
	strlist_fini(&files);
	regions_fini(&regions);
	return 0;
}

/* ---- store ---- */

static int
store_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	const struct tree *t = files_tree(j, e);
	PGconn *c = job_db(j, s->place, e);
	int n = 0;

	*is_done = false;
	if (t == NULL || c == NULL || stored_count(c, job_id(j), &n, e) < 0)
		return -1;
	*is_done = (size_t)n >= t->n && n > 0;
	return 0;
}

static int
store_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const struct tree *t = files_tree(j, e);
	PGconn *c = t != NULL ? job_db(j, s->place, e) : NULL;
	int rc = 0;

	if (c == NULL || files_begin(j, c, e) < 0)
		return -1;
	for (size_t i = 0; i < t->n && rc == 0; i++)
		rc = stored_put(c, job_id(j), &t->v[i], e);
	return files_end(c, rc, e);
}

static int
store_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c == NULL ? -1 : stored_delete(c, job_id(j), e);
}

/* ---- history ---- */

static int
history_table_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c == NULL ? -1 : store_exists(c, is_done, e);
}

static int
history_table_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c == NULL ? -1 : store_create(c, e);
}

/* ---- the canary's window ---- */

static int
canary_window_act(struct job *j, const struct migration_step *s, struct err *e)
{
	int64_t from = clock_us();

	for (;;) {
		const char *sql = job_option(j, "canary_check");
		PGconn *c = job_db(j, s->place, e);
		bool is_well = sql[0] == '\0';
		int64_t left;

		if (c == NULL)
			return -1;
		if (!is_well && db_is(c, &is_well, e, sql, 0, NULL) < 0)
			return err_prefix(e, "canary_check in %s", s->place);
		if (!is_well) {
			err_set(e, "55000", "canary_check is not true in %s", s->place);
			err_detail(e, "%s", sql);
			return err_hint(
			    e, "ABORT MIGRATION %d takes the files back there; RETRY asks again.",
			    job_id(j));
		}
		/* The option may be set meanwhile. */
		left = from + job_option_usec(j, "canary_window") - clock_us();
		if (left <= 0)
			return 0;
		job_progress(j, -1, "canary %s is well, %lld s to go", s->place,
			     (long long)(left / USEC_PER_SEC));
		if (job_sleep(j, left < USEC_PER_SEC ? left : USEC_PER_SEC, e) < 0)
			return -1;
	}
}

static int
canary_window_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	(void)j;
	(void)s;
	(void)e;
	*is_done = false;
	return 0;
}

/* ---- the steps ---- */

#define FILES_STEP(step, text, of_phase, of_class, ...)                   \
	static const struct step_def step = { .name = text,               \
					      .phase = of_phase,          \
					      .class = of_class,          \
					      .describe = files_describe, \
					      __VA_ARGS__ }

FILES_STEP(step_store, STEP_STORE, PHASE_PREPARE, CLASS_I, .done = store_done, .act = store_act,
	   .undo = store_undo);
FILES_STEP(step_history, STEP_HISTORY, PHASE_PREPARE, CLASS_I, .done = history_table_done,
	   .act = history_table_act);
FILES_STEP(step_adopt, STEP_ADOPT, PHASE_PREPARE, CLASS_I, .done = adopt_done, .act = adopt_act);
FILES_STEP(step_canary, STEP_CANARY, PHASE_DATA, CLASS_I, .done = apply_done, .act = apply_act,
	   .undo = apply_undo);
FILES_STEP(step_canary_window, STEP_CANARY_WINDOW, PHASE_DATA, CLASS_R, .done = canary_window_done,
	   .act = canary_window_act);
FILES_STEP(step_apply, STEP_APPLY, PHASE_FINALIZE, CLASS_I, .done = apply_done, .act = apply_act,
	   .undo = apply_undo);

static const struct step_def *const defs[] = {
	&step_store,         &step_history, &step_adopt, &step_canary,
	&step_canary_window, &step_apply,   NULL,
};

/* ---- the plan ---- */

struct planning {
	struct job *j;
	struct plan *out;
	struct file_regions regions;
	const struct tree *tree;
	struct strlist *adopted; /* one for each region */
};

bool
files_is_pending(struct job *j, const struct file_region *r, const char *file)
{
	const struct history_row *row = history_find(&r->history, file);

	if (!history_is_done(row))
		return true;
	return row->mig == job_id(j) && row->origin[0] == '\0';
}

static int
add_file(struct planning *p, const struct step_def *def, size_t region, size_t file)
{
	const struct file_region *r = &p->regions.v[region];
	const char *name = p->tree->v[file].up.name;

	if (!region_takes_files(r) || !files_is_pending(p->j, r, name) ||
	    strlist_has(&p->adopted[region], name))
		return 0;
	return plan_add(p->out, def, r->name, name, NULL) < 0 ? -1 : 0;
}

/* Region by region, the canary in a phase of its own. */
static int
plan_by_region(struct planning *p)
{
	for (size_t i = 0; i < p->regions.n; i++) {
		const struct file_region *r = &p->regions.v[i];

		if (!region_takes_files(r))
			continue;
		for (size_t k = 0; k < p->tree->n; k++)
			if (add_file(p, r->is_canary ? &step_canary : &step_apply, i, k) < 0)
				return -1;
		if (r->is_canary &&
		    plan_add(p->out, &step_canary_window, r->name, r->name, NULL) < 0)
			return -1;
	}
	return 0;
}

/* File by file: subscribers first, or publishers first. */
static int
plan_by_file(struct planning *p)
{
	size_t *order = xcalloc(p->regions.n + 1, sizeof(*order));
	int rc = 0;

	for (size_t i = 0; i < p->tree->n && rc == 0; i++) {
		const struct script *s = &p->tree->v[i].up.script;
		unsigned way = 0;

		for (size_t k = 0; k < s->n; k++)
			way |= lint_way(s->v[k].text);
		regions_order(&p->regions, way, order);
		for (size_t k = 0; k < p->regions.n && rc == 0; k++)
			rc = add_file(p, &step_apply, order[k], i);
	}
	free(order);
	return rc;
}

static int
plan_histories(struct planning *p)
{
	bool adopts = !job_option_is(p->j, "adopt", "none");

	for (size_t i = 0; i < p->regions.n; i++) {
		const char *name = p->regions.v[i].name;

		if (!region_takes_files(&p->regions.v[i]))
			continue;
		if (plan_add(p->out, &step_history, name, name, NULL) < 0 ||
		    (adopts && plan_add(p->out, &step_adopt, name, name, NULL) < 0))
			return -1;
	}
	return 0;
}

static int
make_plan(struct planning *p, struct err *e)
{
	const char *home = job_first_place(p->j), *tool = job_option(p->j, "adopt");

	/* Every region has to answer: one that is left out would never get its files. */
	for (size_t i = 0; i < p->regions.n; i++)
		if (p->regions.v[i].db == NULL && !p->regions.v[i].is_standby) {
			*e = p->regions.v[i].why;
			return err_prefix(e, "region %s", p->regions.v[i].name);
		}
	p->tree = files_tree(p->j, e);
	if (p->tree == NULL)
		return -1;
	for (size_t i = 0; i < p->regions.n && strcmp(tool, "none") != 0; i++)
		if (region_takes_files(&p->regions.v[i]) &&
		    adopt_list(p->regions.v[i].db, tool, p->tree, &p->adopted[i], e) < 0)
			return -1;
	if (plan_add(p->out, &step_store, home, job_spec(p->j)->directory, NULL) < 0 ||
	    plan_histories(p) < 0 ||
	    (regions_are_linked(&p->regions) ? plan_by_file(p) : plan_by_region(p)) < 0)
		return err_set(e, "54000", "the plan is too long");
	return 0;
}

static int
files_plan(struct job *j, struct plan *out, struct err *e)
{
	struct planning p = { .j = j, .out = out };
	int rc;

	regions_ask(j, &p.regions);
	p.adopted = xcalloc(p.regions.n + 1, sizeof(*p.adopted));
	rc = make_plan(&p, e);
	for (size_t i = 0; i < p.regions.n; i++)
		strlist_fini(&p.adopted[i]);
	free(p.adopted);
	regions_fini(&p.regions);
	return rc;
}

const struct kind kind_files = {
	.id = KIND_FILES,
	.defs = defs,
	.resolve = regions_resolve,
	.check = files_check,
	.plan = files_plan,
	.show = files_show,
	.may_abort = files_may_abort,
};
